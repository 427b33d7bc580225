//! A copy of what the coordinators keep, and a cluster that begins again from one.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use skein_coordinator::backup::{Restored, Written};

use super::look::{Look, Sign};
use super::{View, typed, words};

#[derive(Debug, Clone, Serialize)]
pub struct Backup {
    pub place: String,
    /// Whose data was copied.
    pub node: u64,
    pub events: u64,
    /// RFC 6962 root over the events, hexadecimal.
    pub root: String,
    pub bundles: u64,
    /// Entries of a stopped node's log that it had not heard to be committed.
    pub doubtful_entries: u64,
    pub taken_ms: u64,
}

impl Backup {
    pub(crate) fn new(place: &Path, written: &Written) -> Self {
        let manifest = &written.manifest;
        Self {
            place: place.display().to_string(),
            node: manifest.node,
            events: manifest.head.size,
            root: words::hex(&manifest.head.root.0),
            bundles: manifest.blobs.len() as u64,
            doubtful_entries: manifest.doubtful,
            taken_ms: manifest.taken_ms,
        }
    }
}

impl View for Backup {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} {} holds {} and {} of node {}, root {}",
            look.sign(Sign::Good),
            self.place,
            words::count(self.events, "event"),
            words::count(self.bundles, "bundle"),
            self.node,
            words::id(&self.root, look.wide),
        )?;
        if self.doubtful_entries > 0 {
            writeln!(
                out,
                "{} of its log went in that the node had not heard to be committed",
                words::count(self.doubtful_entries, "record"),
            )?;
        }
        Ok(())
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.text(&Look::default(), out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("cluster_backup", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        Ok(vec![self.json()?])
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Restore {
    pub data: String,
    pub config: String,
    pub node: u64,
    pub incarnation: String,
    /// In the backup.
    pub events: u64,
    pub root: String,
    /// With the new beginning recorded.
    pub events_now: u64,
    pub root_now: String,
    pub halted: Vec<String>,
    pub leases_over: u64,
    pub targets_held: u64,
    pub taken_ms: u64,
}

impl Restore {
    pub(crate) fn new(data: &Path, config: &Path, restored: &Restored) -> Self {
        Self {
            data: data.display().to_string(),
            config: config.display().to_string(),
            node: restored.node,
            incarnation: restored.incarnation.to_string(),
            events: restored.manifest.head.size,
            root: words::hex(&restored.manifest.head.root.0),
            events_now: restored.head.size,
            root_now: words::hex(&restored.head.root.0),
            halted: restored.halted.clone(),
            leases_over: restored.leases as u64,
            targets_held: restored.targets as u64,
            taken_ms: restored.manifest.taken_ms,
        }
    }
}

impl View for Restore {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} node {} begins again in {} as incarnation {}: {} of the backup verified, root {}",
            look.sign(Sign::Good),
            self.node,
            self.data,
            words::id(&self.incarnation, look.wide),
            words::count(self.events, "event"),
            words::id(&self.root, look.wide),
        )?;
        if !self.halted.is_empty() {
            writeln!(out, "halted: {}", self.halted.join(", "))?;
        }
        writeln!(
            out,
            "{} held until their agents have looked at them",
            words::count(self.targets_held, "target"),
        )?;
        writeln!(
            out,
            "next: see that no node of before runs; then skein coordinator --config {}",
            self.config
        )
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.text(&Look::default(), out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("cluster_restore", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        Ok(vec![self.json()?])
    }
}
