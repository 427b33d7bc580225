//! What a rollback undoes, and where it has to stop.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::look::{Look, Sign, Tone};
use super::table::{Table, shown};
use super::{View, typed, words};

#[derive(Debug, Clone, Serialize)]
pub struct Undo {
    pub rollout: String,
    /// It is on its way forward, and turns.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forward: bool,
    pub targets: Vec<Line>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub target: String,
    /// One-based; the last one is undone first.
    pub wave: u32,
    /// In the order in which they are undone.
    pub versions: Vec<String>,
    /// Empty: it goes all the way.
    pub stops_at: String,
    pub why: String,
    /// Versions whose undoing destroys data or schema.
    pub destroys: Vec<String>,
}

impl Undo {
    pub fn new(reply: &v1::RollBackReply) -> Self {
        let targets = reply.undo.iter().map(|line| Line {
            target: line.target.clone(),
            versions: line.versions.clone(),
            wave: line.wave,
            stops_at: line.stops_at.clone(),
            why: line.why.clone(),
            destroys: line.destroys.clone(),
        });
        let (rollout, forward) = (reply.rollout.clone(), reply.forward);
        Self { rollout, forward, targets: targets.collect() }
    }

    /// Nothing is applied that could be undone.
    pub fn is_empty(&self) -> bool {
        self.targets.iter().all(|line| line.versions.is_empty() && line.stops_at.is_empty())
    }

    pub fn stops(&self) -> usize {
        self.targets.iter().filter(|line| !line.stops_at.is_empty()).count()
    }

    fn steps(&self) -> u64 {
        self.targets.iter().map(|line| line.versions.len() as u64).sum()
    }

    fn table(&self, look: &Look) -> Table {
        let mut table =
            Table::new(&["TARGET", "WAVE", "UNDOES", "DESTROYS DATA", "STOPS"]).right(&[1]);
        for line in &self.targets {
            let stop = if line.stops_at.is_empty() {
                (String::new(), Tone::Plain)
            } else {
                let text =
                    format!("{} before {}: {}", look.sign(Sign::Warning), line.stops_at, line.why);
                (text, Tone::Bad)
            };
            table.row([
                (line.target.clone(), Tone::Plain),
                (line.wave.to_string(), Tone::Plain),
                (line.versions.join(" "), Tone::Plain),
                (line.destroys.join(" "), Tone::Bad),
                stop,
            ]);
        }
        table
    }
}

impl View for Undo {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.is_empty() && self.forward {
            return writeln!(
                out,
                "Nothing of {} is applied yet. It turns back: no step begins any more, and what is under way \
                 is undone.",
                shown(&self.rollout)
            );
        }
        if self.is_empty() {
            return writeln!(
                out,
                "Nothing to undo: {} applied nothing that is still in force.",
                shown(&self.rollout)
            );
        }
        self.table(look).text(look, "  ", out)?;
        writeln!(out)?;
        let stops = match self.stops() {
            0 => String::new(),
            some => format!("; {} cannot go all the way", words::count(some as u64, "target")),
        };
        let lost = self.targets.iter().filter(|line| !line.destroys.is_empty()).count();
        if lost > 0 {
            let count = words::count(lost as u64, "target");
            let text = format!(
                "{} Undoing destroys what was written since on {count}: the versions named there drop \
                 tables, columns or rows.",
                look.sign(Sign::Warning)
            );
            writeln!(out, "{}", look.paint(Tone::Bad, &text))?;
        }
        writeln!(
            out,
            "Undo of {}: {} on {}, in the reverse of the order in which they were applied{stops}.",
            self.rollout,
            words::count(self.steps(), "step"),
            words::count(self.targets.len() as u64, "target"),
        )
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table(&Look::default()).markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("undo", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        self.targets.iter().map(|line| typed("undo_target", line)).collect()
    }
}
