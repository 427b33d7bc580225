//! Freezes in force.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::look::{Look, rfc3339};
use super::table::Table;
use super::{View, typed};

#[derive(Debug, Clone, Serialize)]
pub struct Freezes {
    pub freezes: Vec<Freeze>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Freeze {
    pub id: String,
    /// Which targets, in words.
    pub on: String,
    /// Unix milliseconds; 0: until somebody thaws it.
    pub until_ms: u64,
    pub reason: String,
    pub by: String,
    pub at_ms: u64,
}

/// A selection by ids and labels, in words.
pub fn meant(selector: Option<&v1::Selector>) -> String {
    let Some(selector) = selector else { return "every target".to_owned() };
    let label = |label: &v1::LabelMatch| format!("{}={}", label.name, label.values.join(","));
    let mut parts: Vec<String> = selector.labels.iter().map(label).collect();
    if !selector.targets.is_empty() {
        parts.push(selector.targets.join(", "));
    }
    if parts.is_empty() { "every target".to_owned() } else { parts.join(" and ") }
}

impl Freeze {
    pub fn new(freeze: &v1::Freeze) -> Self {
        Self {
            id: freeze.id.clone(),
            on: meant(freeze.selector.as_ref()),
            until_ms: freeze.until_ms,
            reason: freeze.reason.clone(),
            by: freeze.by.clone(),
            at_ms: freeze.at_ms,
        }
    }

    /// Until when.
    pub fn until(&self) -> String {
        match self.until_ms {
            0 => "somebody thaws it".to_owned(),
            until => rfc3339(until),
        }
    }
}

impl Freezes {
    pub fn new(freezes: &[v1::Freeze]) -> Self {
        Self { freezes: freezes.iter().map(Freeze::new).collect() }
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["FREEZE", "ON", "UNTIL", "BY", "REASON"]);
        for freeze in &self.freezes {
            table.plain([
                freeze.id.clone(),
                freeze.on.clone(),
                freeze.until(),
                freeze.by.clone(),
                freeze.reason.clone(),
            ]);
        }
        table
    }
}

impl View for Freezes {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.freezes.is_empty() {
            return writeln!(out, "Nothing is frozen.");
        }
        self.table().text(look, "", out)
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table().markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("freezes", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        self.freezes.iter().map(|freeze| typed("freeze", freeze)).collect()
    }
}
