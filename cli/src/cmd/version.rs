//! `skein version`.

use std::io::{self, Write};

use serde_json::Value;

use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::{Look, SCHEMA, View};
use crate::screen::Screen;

pub(crate) fn run(screen: &mut Screen) -> Result<ExitCode, Failure> {
    screen.show(&Version)?;
    Ok(ExitCode::Done)
}

struct Version;

impl View for Version {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "skein {}", env!("CARGO_PKG_VERSION"))?;
        if look.wide {
            writeln!(out, "output schema {SCHEMA}")?;
            writeln!(out, "built for {} {}", std::env::consts::OS, std::env::consts::ARCH)?;
        }
        Ok(())
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.text(&Look::default(), out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        Ok(serde_json::json!({
            "type": "release",
            "os": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
        }))
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        // The version line says it.
        Ok(Vec::new())
    }
}
