//! How results look. A view is made from what the coordinator said; it is written as text, JSON, JSON
//! lines or Markdown into whatever is given. Nothing here reads a clock, a terminal or the environment.

pub mod look;
pub mod table;
pub mod words;

pub mod schema;

mod batches;
pub mod blocks;

pub mod plan;

pub mod rollout;

pub mod fleet;
mod gate;
mod silence;

pub mod event;
mod event_forecast;
mod event_late;
mod event_pace;
mod event_repair;
pub mod forecast;
pub mod freezes;

pub mod history;
pub mod knobs;
mod throttle;

pub mod sources;
pub mod targets;

pub mod agents;

pub mod cluster;

pub mod cluster_backup;

pub mod resumption;
pub mod undo;

pub mod repair;

pub mod verify;

pub mod audit;

pub mod backups;

pub mod exits;

pub mod line;

pub mod cadence;

pub mod live;
pub mod why;

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use crate::args::Format;
pub use look::Look;

/// Version of what `-o json` and `-o jsonl` write.
pub const SCHEMA: &str = "1.0";

/// A result in every form.
pub trait View {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()>;

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()>;

    /// The whole result as one object.
    fn json(&self) -> serde_json::Result<Value>;

    /// The result in lines: each an object with a `type`.
    fn lines(&self) -> serde_json::Result<Vec<Value>>;
}

/// Writes a view in a format, with what belongs around it.
pub fn write(view: &dyn View, format: Format, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Text => view.text(look, out),
        Format::Wide => view.text(&Look { wide: true, ..*look }, out),
        Format::Markdown => view.markdown(out),
        Format::Json => {
            let mut object = view.json()?;
            if let Value::Object(fields) = &mut object {
                fields.insert("schema".to_owned(), SCHEMA.into());
                fields.insert("skein".to_owned(), env!("CARGO_PKG_VERSION").into());
            }
            serde_json::to_writer_pretty(&mut *out, &object)?;
            writeln!(out)
        }
        Format::Jsonl => {
            version_line(out)?;
            for line in view.lines()? {
                json_line(&line, out)?;
            }
            Ok(())
        }
    }
}

/// The first line of every stream of JSON lines.
pub fn version_line(out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Version {
        r#type: &'static str,
        schema: &'static str,
        skein: &'static str,
    }
    let version = Version { r#type: "version", schema: SCHEMA, skein: env!("CARGO_PKG_VERSION") };
    json_line(&version, out)
}

pub fn json_line(line: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    writeln!(out)
}

/// An object with its `type` in it.
pub fn typed(kind: &str, value: &impl Serialize) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(value)?;
    if let Value::Object(fields) = &mut value {
        fields.insert("type".to_owned(), kind.into());
    }
    Ok(value)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_never(at_ms: &u64) -> bool {
    *at_ms == 0
}
