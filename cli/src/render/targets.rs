//! Targets and what is in force there.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::look::{Look, Sign, Tone};
use super::table::Table;
use super::{View, typed, words};

#[derive(Debug, Clone, Default, Serialize)]
pub struct Targets {
    #[serde(rename = "targets")]
    pub all: Vec<Target>,
    /// Those that did not answer in time, where they were asked.
    pub silent: Vec<String>,
    /// No agent is here because this command needs none.
    pub at_rest: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct Target {
    pub id: String,
    pub engine: &'static str,
    pub engine_version: String,
    pub labels: std::collections::BTreeMap<String, String>,
    pub resource_group: String,
    pub agents: Vec<String>,
    pub connected: bool,
    pub retired: bool,
    pub observed: bool,
    pub observed_at_ms: u64,
    /// Newest in force; empty: nothing, or not looked at.
    pub version: String,
    pub in_force: Vec<String>,
    /// The first digits of what its class is called: the targets of one get the same steps.
    pub class: String,
    /// SHA-256 of the canonical schema, hexadecimal.
    pub fingerprint: String,
    pub fence: u64,
    pub open_intent: String,
    pub problem: String,
    pub rollout: String,
    /// What it lacks of the newest completed rollout that means it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owes: Option<Debt>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Debt {
    pub rollout: String,
    pub versions: Vec<String>,
    /// By whom it was left out, and why; empty: it was not.
    pub left_out: String,
    /// It is not due before; 0: it is.
    pub not_before_ms: u64,
}

impl Debt {
    fn new(debt: &v1::Debt) -> Self {
        Self {
            rollout: debt.rollout.clone(),
            versions: debt.versions.clone(),
            left_out: debt.left_out.clone(),
            not_before_ms: debt.not_before_ms,
        }
    }

    fn text(&self, look: &Look) -> String {
        const SHOWN: usize = 4;
        let more = if self.versions.len() > SHOWN { " …" } else { "" };
        let few: Vec<&str> = self.versions.iter().take(SHOWN).map(String::as_str).collect();
        let left_out =
            if self.left_out.is_empty() { String::new() } else { format!("; {}", self.left_out) };
        let until = match self.not_before_ms {
            0 => String::new(),
            until => format!(", until {}", look.time(until)),
        };
        format!("owes {}{more} of {}{left_out}{until}", few.join(" "), self.rollout)
    }
}

impl Target {
    pub fn new(target: &v1::Target) -> Self {
        let description = target.description.clone().unwrap_or_default();
        let seen = target.observation.clone().unwrap_or_default();
        let in_force: Vec<String> = seen.ledger.iter().map(|entry| entry.version.clone()).collect();
        Self {
            engine: words::engine(description.engine()),
            id: description.id,
            engine_version: seen.engine_version,
            labels: description.labels,
            resource_group: description.resource_group,
            agents: target.agents.clone(),
            connected: target.connected,
            retired: target.retired,
            observed: target.observation.is_some(),
            observed_at_ms: target.observed_at_ms,
            version: in_force.last().cloned().unwrap_or_default(),
            in_force,
            class: words::id(&words::hex(&target.class), false).to_owned(),
            fingerprint: words::hex(&seen.fingerprint),
            fence: seen.fence,
            open_intent: seen.open_intent,
            problem: target.problem.clone(),
            rollout: target.rollout.clone(),
            owes: target.owes.as_ref().map(Debt::new),
        }
    }

    fn state(&self, at_rest: bool) -> (Sign, &'static str, Tone) {
        if self.retired {
            (Sign::Waiting, "retired", Tone::Faint)
        } else if !self.problem.is_empty() {
            (Sign::Bad, "problem", Tone::Bad)
        } else if !self.connected {
            (Sign::Warning, if at_rest { "at rest" } else { "no agent" }, Tone::Warning)
        } else if !self.observed {
            (Sign::Waiting, "not looked at", Tone::Warning)
        } else {
            (Sign::Good, "ready", Tone::Good)
        }
    }
}

impl Targets {
    pub fn new(targets: &[v1::Target], silent: &[String]) -> Self {
        Self {
            all: targets.iter().map(Target::new).collect(),
            silent: silent.to_vec(),
            at_rest: false,
        }
    }

    fn table(&self, look: &Look) -> Table {
        let mut head =
            vec!["TARGET", "STATE", "ENGINE", "IN FORCE", "SCHEMA", "ROLLOUT", "LABELS", "NOTE"];
        if look.wide {
            head.extend(["GROUP", "CLASS", "AGENTS", "FENCE", "LOOKED AT"]);
        }
        let mut table = Table::new(&head);
        for target in &self.all {
            let (sign, state, tone) = target.state(self.at_rest);
            let engine = match target.engine_version.as_str() {
                "" => target.engine.to_owned(),
                version => version.to_owned(),
            };
            let labels: Vec<String> =
                target.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let note = match (target.problem.as_str(), target.open_intent.as_str()) {
                ("", "") => target.owes.as_ref().map(|debt| debt.text(look)).unwrap_or_default(),
                ("", intent) => format!("{intent} begun and neither finished nor undone"),
                (problem, _) => problem.to_owned(),
            };
            let in_force = match (target.observed, target.version.as_str()) {
                (false, _) => "?",
                (true, "") => "nothing",
                (true, version) => version,
            };
            let mut row = vec![
                (target.id.clone(), Tone::Plain),
                (format!("{} {state}", look.sign(sign)), tone),
                (engine, Tone::Plain),
                (in_force.to_owned(), Tone::Plain),
                (words::id(&target.fingerprint, look.wide).to_owned(), Tone::Plain),
                (target.rollout.clone(), Tone::Plain),
                (labels.join(","), Tone::Faint),
                (note, Tone::Plain),
            ];
            if look.wide {
                let at =
                    if target.observed { look.time(target.observed_at_ms) } else { String::new() };
                row.extend([
                    (target.resource_group.clone(), Tone::Plain),
                    (target.class.clone(), Tone::Plain),
                    (target.agents.join(","), Tone::Plain),
                    (target.fence.to_string(), Tone::Plain),
                    (at, Tone::Plain),
                ]);
            }
            table.row(row);
        }
        table
    }
}

impl View for Targets {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.all.is_empty() {
            writeln!(
                out,
                "No target. An agent brings its targets along: skein.toml lists them, or a discovery there."
            )?;
        } else {
            self.table(look).text(look, "", out)?;
        }
        let owing = self.all.iter().filter(|target| {
            target.problem.is_empty()
                && target.owes.as_ref().is_some_and(|debt| debt.not_before_ms == 0)
        });
        let owing: Vec<&str> = owing.map(|target| target.id.as_str()).collect();
        if let Some(first) = owing.first() {
            let on = if owing.len() == 1 { (*first).to_owned() } else { owing.join(",") };
            let on = if on.len() > 60 { format!("{first},…") } else { on };
            writeln!(out, "\nnext: skein apply --on {on}  gives what is owed")?;
        }
        for silent in &self.silent {
            writeln!(out, "{} {silent}: no answer in time", look.sign(Sign::Warning))?;
        }
        Ok(())
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table(&Look { wide: true, ..Look::default() }).markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("targets", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        let targets = self.all.iter().map(|target| typed("target", target));
        let silent =
            self.silent.iter().map(|id| Ok(serde_json::json!({ "type": "silent", "id": id })));
        targets.chain(silent).collect()
    }
}
