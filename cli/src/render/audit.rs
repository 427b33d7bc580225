//! Whether the history is what it was, on every node.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::look::{Look, Sign, Tone};
use super::table::Table;
use super::{View, typed, words};

#[derive(Debug, Clone, Default, Serialize)]
pub struct Audit {
    pub nodes: Vec<Node>,
    /// The size at which the trees were compared.
    pub compared_at: u64,
    pub verified: bool,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Node {
    /// 0 for a directory.
    pub number: u64,
    /// Address or directory.
    pub place: String,
    pub events: u64,
    /// RFC 6962 root over the events on its disk, hexadecimal.
    pub root: String,
    /// Root over the first `compared_at` events.
    pub common_root: String,
    /// Empty: none.
    pub fault: String,
    /// It could not be asked.
    pub unreachable: bool,
}

impl Audit {
    fn table(&self, look: &Look) -> Table {
        let mut table = Table::new(&["NODE", "PLACE", "", "EVENTS", "ROOT", "COMPARED", "FAULT"])
            .right(&[0, 3]);
        for node in &self.nodes {
            let (sign, word, tone) = match (node.unreachable, node.fault.is_empty()) {
                (true, _) => (Sign::Warning, "not reached", Tone::Warning),
                (false, true) => (Sign::Good, "verified", Tone::Good),
                (false, false) => (Sign::Bad, "differs", Tone::Bad),
            };
            table.row([
                (
                    if node.number == 0 { String::new() } else { node.number.to_string() },
                    Tone::Plain,
                ),
                (node.place.clone(), Tone::Plain),
                (format!("{} {word}", look.sign(sign)), tone),
                (node.events.to_string(), Tone::Plain),
                (words::id(&node.root, look.wide).to_owned(), Tone::Plain),
                (words::id(&node.common_root, look.wide).to_owned(), Tone::Plain),
                (node.fault.clone(), Tone::Bad),
            ]);
        }
        table
    }
}

impl View for Audit {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        self.table(look).text(look, "", out)?;
        writeln!(out)?;
        let missing = self.nodes.iter().filter(|node| node.unreachable).count();
        if !self.verified {
            let bad = format!("{} the history does not verify", look.sign(Sign::Bad));
            return writeln!(out, "{}", look.paint(Tone::Bad, &bad));
        }
        let heard = self.nodes.len() - missing;
        let good = format!(
            "{} {} verified from the first byte on {}",
            look.sign(Sign::Good),
            words::count(self.compared_at, "event"),
            words::count(heard as u64, "node"),
        );
        writeln!(out, "{}", look.paint(Tone::Good, &good))?;
        if missing > 0 {
            let some = format!("{} {missing} not reached: not checked", look.sign(Sign::Warning));
            writeln!(out, "{}", look.paint(Tone::Warning, &some))?;
        }
        Ok(())
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table(&Look::default()).markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("history_verify", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        let mut lines: Vec<Value> =
            self.nodes.iter().map(|node| typed("node", node)).collect::<Result<_, _>>()?;
        lines.push(serde_json::json!({
            "type": "history_verify", "compared_at": self.compared_at, "verified": self.verified,
        }));
        Ok(lines)
    }
}
