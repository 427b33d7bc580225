//! Regions that nobody hears of, and what of a rollout waits for them.

use std::io::{self, Write};

use serde::Serialize;
use skein_proto::v1;

use super::look::{Look, Sign, Tone};
use super::rollout::Rollout;
use super::table::shown;
use super::words;

/// So many agents are named in a line.
const NAMED: usize = 3;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Silence {
    /// Empty: the targets do not say.
    pub region: String,
    pub agents: Vec<String>,
    /// When one of the agents was heard of last; 0: not since the leader leads.
    pub since_ms: u64,
    pub targets: u32,
    pub example: String,
}

impl Silence {
    pub(super) fn new(wire: &v1::Silence) -> Self {
        Self {
            region: wire.region.clone(),
            agents: wire.agents.clone(),
            since_ms: wire.since_ms,
            targets: wire.targets,
            example: wire.example.clone(),
        }
    }

    /// What is silent, in a word or two.
    pub(super) fn name(&self) -> String {
        let agents = || format!("agents {}", self.agents.join(", "));
        if self.region.is_empty() { agents() } else { format!("region {}", self.region) }
    }

    /// `region eu: last heard of 42 s ago · agent-eu · 3 targets wait, such as eu-1`.
    pub(super) fn line(&self, look: &Look) -> String {
        let mut names = self.agents.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if let more @ 1.. = self.agents.len().saturating_sub(NAMED) {
            names = format!("{names} and {more} more");
        }
        let (what, agents) = if self.region.is_empty() {
            (names, String::new())
        } else {
            (format!("region {}", self.region), format!("{}{names}", look.dot()))
        };
        let heard = match self.since_ms {
            0 => "not heard of since the leader leads".to_owned(),
            at => format!("last heard of {}", look.time(at)),
        };
        format!(
            "{what}: {heard}{agents}{}{} {}, such as {}",
            look.dot(),
            words::count(u64::from(self.targets), "target"),
            if self.targets == 1 { "waits" } else { "wait" },
            self.example
        )
    }
}

impl Rollout {
    /// A line for each region that it waits for.
    pub fn silent_text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        for silence in &self.silent {
            let line = format!("{} {}", look.sign(Sign::Warning), shown(&silence.line(look)));
            writeln!(out, "  {}", look.paint(Tone::Warning, &line))?;
        }
        Ok(())
    }
}
