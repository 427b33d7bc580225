//! The fleet: who is there, under which charter, and its rollouts.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::freezes::Freeze;
use super::look::{Look, Sign, Tone};
use super::rollout::Rollout;
use super::table::{Table, shown};
use super::{View, typed, words};

#[derive(Debug, Clone, Serialize)]
pub struct Fleet {
    pub targets: u32,
    pub targets_connected: u32,
    pub agents: u32,
    pub agents_connected: u32,
    /// Newest version in force, and how many targets have it.
    pub versions: Vec<VersionCount>,
    pub held: Vec<Held>,
    /// In force.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
    /// Of the coordinator nodes: what should be looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub concerns: Vec<String>,
    /// SHA-256, hexadecimal.
    pub charter: String,
    pub charter_bound: String,
    pub events: u64,
    pub events_under_charter: u64,
    pub leader: u64,
    pub seq: u64,
    pub rollouts: Vec<Rollout>,
    /// No agent is here because this command needs none.
    pub at_rest: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct VersionCount {
    pub version: String,
    pub targets: u32,
}

#[derive(Debug, Clone, Serialize)]
pub struct Held {
    pub target: String,
    pub reason: String,
}

impl Fleet {
    pub fn new(reply: &v1::StatusReply) -> Self {
        let compliance = reply.compliance.unwrap_or_default();
        Self {
            targets: reply.targets,
            targets_connected: reply.targets_connected,
            agents: reply.agents,
            agents_connected: reply.agents_connected,
            versions: reply
                .versions
                .iter()
                .map(|count| VersionCount {
                    version: count.version.clone(),
                    targets: count.targets,
                })
                .collect(),
            held: reply
                .held
                .iter()
                .map(|held| Held { target: held.target.clone(), reason: held.reason.clone() })
                .collect(),
            freezes: reply.freezes.iter().map(Freeze::new).collect(),
            concerns: reply.concerns.clone(),
            charter: words::hex(&reply.charter),
            charter_bound: reply.charter_bound.clone(),
            events: compliance.events,
            events_under_charter: compliance.under_charter,
            leader: reply.leader,
            seq: reply.seq,
            rollouts: reply.rollouts.iter().map(Rollout::new).collect(),
            at_rest: false,
        }
    }

    fn compliance(&self) -> (String, Tone) {
        let share = percent(self.events_under_charter, self.events);
        let tone = if self.events_under_charter == self.events { Tone::Good } else { Tone::Bad };
        (
            format!(
                "{} of {} ({share})",
                self.events_under_charter,
                words::count(self.events, "event")
            ),
            tone,
        )
    }

    fn facts(&self, look: &Look) -> Table {
        let mut table = Table::new(&["", ""]);
        let all = |some: u32, of: u32| if some == of { Tone::Good } else { Tone::Warning };
        for (name, here, of) in [
            ("targets", self.targets_connected, self.targets),
            ("agents", self.agents_connected, self.agents),
        ] {
            let (text, tone) = if self.at_rest {
                (format!("{of}, at rest: this command starts no agent"), Tone::Plain)
            } else {
                (format!("{here} of {of} connected"), all(here, of))
            };
            table.row([(name.to_owned(), Tone::Faint), (text, tone)]);
        }
        let versions: Vec<String> = self
            .versions
            .iter()
            .map(|count| {
                let version = if count.version.is_empty() { "nothing" } else { &count.version };
                format!("{version} on {}", count.targets)
            })
            .collect();
        if !versions.is_empty() {
            table.row([("in force".to_owned(), Tone::Faint), (versions.join(", "), Tone::Plain)]);
        }
        let bound = if self.charter_bound.is_empty() {
            String::new()
        } else {
            format!(", bound to {}", self.charter_bound)
        };
        table.row([
            ("charter".to_owned(), Tone::Faint),
            (format!("{}{bound}", words::id(&self.charter, look.wide)), Tone::Plain),
        ]);
        let (compliance, tone) = self.compliance();
        table.row([("under the charter".to_owned(), Tone::Faint), (compliance, tone)]);
        let leader = if self.leader == 0 {
            "none known".to_owned()
        } else {
            format!("node {}", self.leader)
        };
        table.row([("leader".to_owned(), Tone::Faint), (leader, Tone::Plain)]);
        table.row([("log".to_owned(), Tone::Faint), (format!("#{}", self.seq), Tone::Plain)]);
        table
    }
}

/// To one decimal, and 100 % only where it is all.
fn percent(some: u64, of: u64) -> String {
    if some >= of {
        return "100 %".to_owned();
    }
    let tenths = u128::from(some) * 1_000 / u128::from(of);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

impl View for Fleet {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        self.facts(look).text(look, "", out)?;
        super::cluster::concerns(&self.concerns, look, out)?;
        if !self.freezes.is_empty() {
            writeln!(out)?;
            writeln!(out, "{}", look.paint(Tone::Warning, "frozen"))?;
            for freeze in &self.freezes {
                writeln!(
                    out,
                    "  {} {}: {} by {}, until {}: {}",
                    look.sign(Sign::Paused),
                    freeze.id,
                    shown(&freeze.on),
                    shown(&freeze.by),
                    freeze.until(),
                    shown(&freeze.reason)
                )?;
            }
        }
        if !self.held.is_empty() {
            writeln!(out)?;
            let title = format!("{} held", words::count(self.held.len() as u64, "target"));
            writeln!(out, "{}", look.paint(Tone::Warning, &title))?;
            for held in &self.held {
                writeln!(
                    out,
                    "  {} {}: {}",
                    look.sign(Sign::Warning),
                    shown(&held.target),
                    shown(&held.reason)
                )?;
            }
        }
        for rollout in &self.rollouts {
            writeln!(out)?;
            writeln!(out, "{}", rollout.headline(look))?;
            if !rollout.reason.is_empty() {
                writeln!(out, "  {}", shown(&rollout.reason))?;
            }
            rollout.wave_lines(look, out)?;
            rollout.silent_text(look, out)?;
            rollout.residual_text(look, out)?;
        }
        if self.rollouts.is_empty() {
            writeln!(out)?;
            writeln!(out, "No rollout yet. `skein plan` shows what there is to do.")?;
        }
        Ok(())
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        let look = Look::default();
        writeln!(out, "### Fleet\n")?;
        self.facts(&look).markdown(out)?;
        for rollout in &self.rollouts {
            writeln!(out)?;
            rollout.markdown(out)?;
        }
        Ok(())
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("fleet", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        let mut lines = Vec::new();
        for rollout in &self.rollouts {
            lines.push(rollout.json()?);
        }
        for held in &self.held {
            lines.push(typed("held", held)?);
        }
        for freeze in &self.freezes {
            lines.push(typed("freeze", freeze)?);
        }
        let mut fleet = self.json()?;
        if let Value::Object(fields) = &mut fleet {
            fields.remove("rollouts");
            fields.remove("held");
            fields.remove("freezes");
        }
        lines.push(fleet);
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn one_event_outside_of_the_charter_is_never_rounded_away() {
        assert_eq!(percent(0, 0), "100 %");
        assert_eq!(percent(214, 214), "100 %");
        assert_eq!(percent(999_999, 1_000_000), "99.9 %");
        assert_eq!(percent(0, 3), "0.0 %");
    }
}
