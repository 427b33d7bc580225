//! `skein backup verify`: the archive is restored into a scratch database, and what comes out is
//! compared with what was backed up.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_agent::backup::{BackupError, Mode, Restored, Source, restore};
use skein_agent::db::{Location, observe};

use super::super::with_session;
use super::failed;
use super::named::Named;
use super::scratch::Scratch;
use crate::args::Global;
use crate::exit::ExitCode;
use crate::failure::{Failure, chain};
use crate::render::look::{Look, Sign, Tone, duration};
use crate::render::{View, typed, words};
use crate::screen::Screen;
use crate::session::Need;

pub(super) async fn run(
    what: &str,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let named = Named::find(session, what).await?;
        let scratch = Scratch::make(named.source.engine(), &named.url).await?;
        let checked = try_in(&named, &scratch).await;
        let removed = scratch.remove().await;
        let checked = checked?;
        screen.show(&checked)?;
        removed?;
        Ok(if checked.equal == Some(false) { ExitCode::BackupUnusable } else { ExitCode::Done })
    })
    .await
}

async fn try_in(named: &Named, scratch: &Scratch) -> Result<Checked, Failure> {
    let schema = named.target.schema.as_deref();
    let into = Source::from_url(scratch.url().expose(), schema).map_err(|error| failed(&error))?;
    let restored = restore(&named.archive, &named.destination, &into, Mode::Empty)
        .await
        .map_err(|error| untried(&error))?;
    let location = Location::parse(scratch.url().expose(), schema)
        .map_err(|error| Failure::new(ExitCode::Internal, chain(&error)))?;
    let seen = observe(&location).await.map_err(|error| {
        Failure::new(
            ExitCode::Internal,
            format!("the scratch database cannot be looked at: {}", chain(&error)),
        )
    })?;
    Ok(Checked::new(named, &restored, &words::hex(&seen.fingerprint.0)))
}

/// The archive is whole where the engine's own tool does not bring it back into an empty database: that is what is
/// asked for here.
fn untried(error: &BackupError) -> Failure {
    match error {
        BackupError::HalfRestored { source, .. } => untried(source),
        BackupError::ToolFailed { .. } => Failure::new(
            ExitCode::BackupUnusable,
            format!("the archive is whole, and was not restored: {}", chain(error)),
        )
        .next("mend what the tool names and verify it again; until then the steps behind it are not restorable"),
        _ => failed(error),
    }
}

#[derive(Debug, Serialize)]
struct Checked {
    archive: String,
    target: String,
    tables: usize,
    entries: u64,
    bytes: u64,
    ms: u64,
    /// Schema as it was backed up and as it was restored, hexadecimal.
    fingerprint: String,
    restored_fingerprint: String,
    /// `null`: the archive holds some tables only, so that the two cannot be compared.
    equal: Option<bool>,
}

impl Checked {
    fn new(named: &Named, restored: &Restored, fingerprint: &str) -> Self {
        Self {
            archive: named.backup.archive.clone(),
            target: named.backup.target.clone(),
            tables: restored.listing.tables.len(),
            entries: restored.listing.entries,
            bytes: restored.listing.bytes_dumped,
            ms: restored.ms,
            fingerprint: named.backup.fingerprint.clone(),
            restored_fingerprint: fingerprint.to_owned(),
            equal: named.is_whole().then(|| named.backup.fingerprint == fingerprint),
        }
    }

    fn verdict(&self) -> (Sign, Tone, String) {
        match self.equal {
            Some(true) => {
                (Sign::Good, Tone::Good, "restores to the schema that was backed up".to_owned())
            }
            Some(false) => (
                Sign::Bad,
                Tone::Bad,
                format!(
                    "restores to schema {}, and {} was backed up",
                    words::id(&self.restored_fingerprint, false),
                    words::id(&self.fingerprint, false)
                ),
            ),
            None => (
                Sign::Warning,
                Tone::Warning,
                "restores; it holds some tables only, so that there is no schema to compare"
                    .to_owned(),
            ),
        }
    }
}

impl View for Checked {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let (sign, tone, verdict) = self.verdict();
        writeln!(out, "{} {} {verdict}", look.paint(tone, look.sign(sign)), self.archive)?;
        writeln!(
            out,
            "  {} of {}, {} unpacked, in {}",
            words::count(self.tables as u64, "table"),
            self.target,
            words::bytes(self.bytes),
            duration(self.ms),
        )
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.text(&Look::default(), out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("backup_verify", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        Ok(vec![self.json()?])
    }
}
