//! Agents and what they hold.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::look::{Look, Sign, Tone};
use super::sources::Source;
use super::table::Table;
use super::{View, typed};

#[derive(Debug, Clone, Default, Serialize)]
pub struct Agents {
    pub agents: Vec<Agent>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Agent {
    pub id: String,
    pub connected: bool,
    pub targets: u32,
    pub legs: u32,
    pub version: String,
    /// Of one that is away: when the leader heard of it last; 0: not since it leads.
    #[serde(skip_serializing_if = "super::is_never")]
    pub heard_ms: u64,
    /// Where it finds targets beside its file.
    pub sources: Vec<Source>,
}

impl Agents {
    pub fn new(agents: &[v1::Agent]) -> Self {
        let agents = agents.iter().map(|agent| Agent {
            id: agent.id.clone(),
            connected: agent.connected,
            targets: agent.targets,
            legs: agent.legs,
            version: agent.version.clone(),
            heard_ms: agent.heard_ms,
            sources: agent.sources.iter().map(|one| Source::new(&agent.id, one)).collect(),
        });
        Self { agents: agents.collect() }
    }

    fn table(&self, look: &Look) -> Table {
        let mut table =
            Table::new(&["AGENT", "STATE", "TARGETS", "LEGS", "RELEASE"]).right(&[2, 3]);
        for agent in &self.agents {
            let (sign, state, tone) = match (agent.connected, agent.heard_ms) {
                (true, _) => (Sign::Good, "connected".to_owned(), Tone::Good),
                (false, 0) => (Sign::Warning, "away".to_owned(), Tone::Warning),
                (false, at) => {
                    (Sign::Warning, format!("away since {}", look.time(at)), Tone::Warning)
                }
            };
            table.row([
                (agent.id.clone(), Tone::Plain),
                (format!("{} {state}", look.sign(sign)), tone),
                (agent.targets.to_string(), Tone::Plain),
                (agent.legs.to_string(), Tone::Plain),
                (agent.version.clone(), Tone::Plain),
            ]);
        }
        table
    }
}

impl View for Agents {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.agents.is_empty() {
            return writeln!(
                out,
                "No agent has come yet. `skein agent` runs one beside its targets."
            );
        }
        self.table(look).text(look, "", out)?;
        for source in self.agents.iter().flat_map(|agent| &agent.sources) {
            source.troubles(look, out)?;
        }
        Ok(())
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table(&Look::default()).markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("agents", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        self.agents.iter().map(|agent| typed("agent", agent)).collect()
    }
}
