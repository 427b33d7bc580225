//! Where agents find their targets.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::look::{Look, Sign, Tone};
use super::table::{Table, shown};
use super::{View, typed};

#[derive(Debug, Clone, Default, Serialize)]
pub struct Sources {
    pub sources: Vec<Source>,
    /// Agents that did not answer in time.
    pub silent: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Source {
    pub agent: String,
    pub name: String,
    pub targets: u32,
    /// Empty: it was read.
    pub problem: String,
    /// The first few.
    pub gone: Vec<String>,
    pub gone_in_all: u32,
    /// The first few.
    pub refused: Vec<String>,
    pub refused_in_all: u32,
}

impl Source {
    pub(super) fn new(agent: &str, source: &v1::Source) -> Self {
        Self {
            agent: agent.to_owned(),
            name: source.name.clone(),
            targets: source.targets,
            problem: source.problem.clone(),
            gone: source.gone.clone(),
            gone_in_all: source.gone_in_all,
            refused: source.refused.clone(),
            refused_in_all: source.refused_in_all,
        }
    }

    /// What is not as it should be, a line each.
    pub(super) fn troubles(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let Self { agent, name, .. } = self;
        let (bad, warning) = (look.sign(Sign::Bad), look.sign(Sign::Warning));
        if !self.problem.is_empty() {
            let problem = shown(&self.problem);
            writeln!(out, "{bad} {agent}, source {name} was not gone by: {problem}")?;
        }
        for refused in &self.refused {
            let refused = shown(refused);
            writeln!(out, "{bad} {agent}, source {name}: {refused}")?;
        }
        more(out, self.refused_in_all, self.refused.len())?;
        for gone in &self.gone {
            let gone = shown(gone);
            writeln!(out, "{warning} {agent}, source {name} does not name {gone} any more")?;
        }
        more(out, self.gone_in_all, self.gone.len())
    }
}

fn more(out: &mut dyn Write, all: u32, shown: usize) -> io::Result<()> {
    match usize::try_from(all).unwrap_or(usize::MAX).checked_sub(shown) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(out, "  and {more} more"),
    }
}

impl Sources {
    pub fn new(agents: &[v1::Agent], silent: &[String]) -> Self {
        let of = |agent: &v1::Agent| {
            let sources = agent.sources.iter().map(|source| Source::new(&agent.id, source));
            sources.collect::<Vec<_>>()
        };
        Self { sources: agents.iter().flat_map(of).collect(), silent: silent.to_vec() }
    }

    /// Every source was read, and each of its rows names a target.
    pub fn is_sound(&self) -> bool {
        let sound = |source: &Source| source.problem.is_empty() && source.refused_in_all == 0;
        self.sources.iter().all(sound)
    }

    fn table(&self, look: &Look) -> Table {
        let mut table =
            Table::new(&["SOURCE", "AGENT", "STATE", "TARGETS", "GONE", "REFUSED ROWS"])
                .right(&[3, 4, 5]);
        for source in &self.sources {
            let (sign, state, tone) = if !source.problem.is_empty() {
                (Sign::Bad, "not read", Tone::Bad)
            } else if source.refused_in_all > 0 {
                (Sign::Warning, "in part", Tone::Warning)
            } else {
                (Sign::Good, "read", Tone::Good)
            };
            table.row([
                (source.name.clone(), Tone::Plain),
                (source.agent.clone(), Tone::Plain),
                (format!("{} {state}", look.sign(sign)), tone),
                (source.targets.to_string(), Tone::Plain),
                (source.gone_in_all.to_string(), Tone::Plain),
                (source.refused_in_all.to_string(), Tone::Plain),
            ]);
        }
        table
    }
}

impl View for Sources {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.sources.is_empty() {
            writeln!(
                out,
                "No agent has a source of targets: [[discovery]] in skein.toml names one."
            )?;
        } else {
            self.table(look).text(look, "", out)?;
        }
        for source in &self.sources {
            source.troubles(look, out)?;
        }
        for silent in &self.silent {
            writeln!(out, "{} {silent}: no answer in time", look.sign(Sign::Warning))?;
        }
        Ok(())
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table(&Look::default()).markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("sources", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        let silent =
            self.silent.iter().map(|id| Ok(serde_json::json!({ "type": "silent", "id": id })));
        self.sources.iter().map(|source| typed("source", source)).chain(silent).collect()
    }
}
