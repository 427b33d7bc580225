//! What is printed: a table for people, then one line of JSON for programs.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::machine::Circumstances;

/// Says how far a long run is.
pub(crate) fn progress(text: &str) {
    // Who has closed standard error does not want to know.
    drop(writeln!(std::io::stderr().lock(), "  … {text}"));
}

/// Something is missing or went wrong.
pub(crate) fn complain(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "skein-benches: {text}"));
}

/// Collects what one measurement has to say.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    text: String,
    json: serde_json::Map<String, Value>,
    skipped: Vec<String>,
    doubts: Vec<String>,
}

impl Report {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            text: String::new(),
            json: serde_json::Map::new(),
            skipped: Vec::new(),
            doubts: Vec::new(),
        }
    }

    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref());
        self.text.push('\n');
    }

    /// A table with a title; the first row is its head.
    pub(crate) fn table(&mut self, title: &str, rows: &[Vec<String>]) {
        self.line(format!("\n{title}"));
        let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let mut line = String::new();
            for (place, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                line.push_str("  ");
                // The first column is read from the left, figures from the right.
                if place == 0 {
                    line.push_str(cell);
                    line.push_str(&pad);
                } else {
                    line.push_str(&pad);
                    line.push_str(cell);
                }
            }
            self.line(line.trim_end());
        }
    }

    pub(crate) fn json(&mut self, name: &str, value: Value) {
        self.json.insert(name.to_owned(), value);
    }

    /// Says aloud, at once and at the end, what could not be measured.
    pub(crate) fn skip(&mut self, what: &str) {
        complain(&format!("SKIPPED: {what}"));
        self.skipped.push(what.to_owned());
    }

    /// The figures are given and are no verdict, for this reason.
    pub(crate) fn doubt(&mut self, why: String) {
        complain(&why);
        self.doubts.push(why);
    }

    /// Prints everything.
    pub(crate) fn print(mut self, mut circumstances: Circumstances) -> anyhow::Result<()> {
        circumstances.doubt(std::mem::take(&mut self.doubts));
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n== {} ==", self.name)?;
        out.write_all(self.text.as_bytes())?;
        for skipped in &self.skipped {
            writeln!(out, "\nSKIPPED: {skipped}")?;
        }
        if circumstances.refusals.is_empty() {
            writeln!(out, "\nmachine: {}", circumstances.json)?;
        } else {
            let why = circumstances.refusals.join("; ");
            writeln!(out, "\nNO VERDICT: {why}\nmachine: {}", circumstances.json)?;
        }
        self.json.insert("bench".to_owned(), json!(self.name));
        self.json.insert("skipped".to_owned(), json!(self.skipped));
        self.json.insert("machine".to_owned(), circumstances.json);
        writeln!(out, "{}", Value::Object(self.json))?;
        out.flush()?;
        Ok(())
    }
}
