//! What resuming a rollout comes to.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;
use skein_proto::v1::resumption_reply::Way;

use super::look::{Look, Tone};
use super::table::{Table, shown};
use super::{View, typed, words};

/// So many targets are named in a line.
const NAMED: usize = 3;

#[derive(Debug, Clone, Serialize)]
pub struct Resumption {
    pub rollout: String,
    /// `on`, `back`, `forward`; empty: it goes on already.
    pub way: &'static str,
    /// One-based: this wave and the later ones open anew; 0: none.
    pub from_wave: u32,
    /// With what was taken back and goes forward again.
    pub waves: Vec<Anew>,
    /// What failed, and is tried again.
    pub again: Vec<String>,
    /// What was retired meanwhile, and is left as it is.
    pub left_out: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Anew {
    /// One-based.
    pub wave: u32,
    pub name: String,
    pub targets: Vec<String>,
    /// It waits for somebody's word once more.
    pub approval: bool,
}

impl Resumption {
    pub fn new(reply: v1::ResumptionReply) -> Self {
        let way = match reply.way() {
            Way::Unspecified | Way::AsItIs => "",
            Way::On => "on",
            Way::Back => "back",
            Way::Forward => "forward",
        };
        let waves = reply.waves.into_iter().map(|wave| Anew {
            wave: wave.wave,
            name: wave.name,
            targets: wave.targets,
            approval: wave.approval,
        });
        Self {
            rollout: reply.rollout,
            way,
            from_wave: reply.from_wave,
            waves: waves.collect(),
            again: reply.again,
            left_out: reply.left_out,
        }
    }

    fn targets(&self) -> u64 {
        self.waves.iter().map(|wave| wave.targets.len() as u64).sum()
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["WAVE", "NAME", "TARGETS", "GO FORWARD AGAIN", "WAITS FOR"]);
        for wave in &self.waves {
            let word = if wave.approval { "somebody's word" } else { "" };
            table.row([
                (wave.wave.to_string(), Tone::Plain),
                (wave.name.clone(), Tone::Plain),
                (wave.targets.len().to_string(), Tone::Plain),
                (few(&wave.targets), Tone::Plain),
                (word.to_owned(), Tone::Warning),
            ]);
        }
        table.right(&[0, 2])
    }

    fn sentence(&self) -> String {
        let rollout = shown(&self.rollout);
        let again = match self.again.as_slice() {
            [] => String::new(),
            again => {
                let count = words::count(again.len() as u64, "target");
                format!(" Tried again: {count} that failed ({}).", few(again))
            }
        };
        let again = match self.left_out.as_slice() {
            [] => again,
            retired => {
                let count = words::count(retired.len() as u64, "target");
                format!("{again} Left out: {count} retired meanwhile ({}).", few(retired))
            }
        };
        match self.way {
            "forward" if self.waves.is_empty() => {
                format!(
                    "{rollout} goes forward again. Nothing was taken back that goes with it.{again}"
                )
            }
            "forward" => format!(
                "{rollout} goes forward again from wave {}: {} with what was taken back, each behind a new \
                 backup. Word, gates and soak of these waves are asked anew; what is in force does not run \
                 again.{again}",
                self.from_wave,
                words::count(self.targets(), "target")
            ),
            "back" => format!(
                "{rollout} goes on back: its undo comes to its end first. After that, resume it again to go \
                 forward.{again}"
            ),
            "on" => format!("{rollout} goes on as it was going.{again}"),
            _ => format!("{rollout} goes on already."),
        }
    }
}

fn few(targets: &[String]) -> String {
    let named: Vec<&str> = targets.iter().take(NAMED).map(String::as_str).collect();
    match targets.len().saturating_sub(NAMED) {
        0 => named.join(" "),
        more => format!("{} and {more} more", named.join(" ")),
    }
}

impl View for Resumption {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if !self.waves.is_empty() {
            self.table().text(look, "  ", out)?;
            writeln!(out)?;
        }
        writeln!(out, "{}", self.sentence())
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.sentence())?;
        if self.waves.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        self.table().markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("resumption", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        Ok(vec![self.json()?])
    }
}
