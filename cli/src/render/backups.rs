//! Backups that stand behind applied steps.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::log::v1::{self as log, event::Body};

use super::event::rollout_name;
use super::look::{Look, Tone};
use super::table::Table;
use super::{View, typed, words};

#[derive(Debug, Clone, Default, Serialize)]
pub struct Backups {
    pub backups: Vec<Backup>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backup {
    pub seq: u64,
    pub at_ms: u64,
    pub rollout: String,
    pub target: String,
    pub archive: String,
    /// Hexadecimal.
    pub sha256: String,
    pub bytes: u64,
    pub tool: String,
    pub scope: &'static str,
    pub steps: Vec<String>,
    /// Schema when it was taken, hexadecimal.
    pub fingerprint: String,
    /// Not empty: none was taken, by this rule.
    pub exemption: String,
}

impl Backup {
    /// `None` for any other event.
    pub fn new(event: &log::Event) -> Option<Self> {
        let Some(Body::StepBackedUp(body)) = &event.body else { return None };
        let backup = body.backup.clone().unwrap_or_default();
        Some(Self {
            seq: event.seq,
            at_ms: event.at_ms,
            rollout: rollout_name(body.rollout),
            target: body.target.clone(),
            scope: words::backup(backup.scope()),
            sha256: words::hex(&backup.sha256),
            fingerprint: words::hex(&backup.fingerprint),
            archive: backup.archive,
            bytes: backup.bytes,
            tool: backup.tool,
            steps: body.steps.clone(),
            exemption: backup.exemption,
        })
    }
}

impl Backups {
    fn table(&self, look: &Look) -> Table {
        let mut head = vec!["ARCHIVE", "TARGET", "ROLLOUT", "BEHIND", "SCOPE", "SIZE", "TAKEN"];
        if look.wide {
            head.extend(["TOOL", "SHA-256"]);
        }
        let mut table = Table::new(&head).right(&[5]);
        for backup in &self.backups {
            let archive = if backup.exemption.is_empty() {
                (backup.archive.clone(), Tone::Plain)
            } else {
                (format!("none: {}", backup.exemption), Tone::Warning)
            };
            let mut row = vec![
                archive,
                (backup.target.clone(), Tone::Plain),
                (backup.rollout.clone(), Tone::Plain),
                (backup.steps.join(" "), Tone::Plain),
                (backup.scope.to_owned(), Tone::Plain),
                (words::bytes(backup.bytes), Tone::Plain),
                (look.time(backup.at_ms), Tone::Faint),
            ];
            if look.wide {
                row.extend([
                    (backup.tool.clone(), Tone::Plain),
                    (backup.sha256.clone(), Tone::Plain),
                ]);
            }
            table.row(row);
        }
        table
    }
}

impl View for Backups {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.backups.is_empty() {
            return writeln!(
                out,
                "No backup in the log. One is taken before a target's first step."
            );
        }
        self.table(look).text(look, "", out)
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table(&Look::default()).markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("backups", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        self.backups.iter().map(|backup| typed("backup", backup)).collect()
    }
}
