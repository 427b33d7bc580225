//! What can be set of a rollout while it runs, and how it stands.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::look::{Look, duration};
use super::table::Table;
use super::{View, typed};

#[derive(Debug, Clone, Serialize)]
pub struct Knobs {
    pub rollout: String,
    pub knobs: Vec<Knob>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Knob {
    pub name: String,
    pub value: String,
    /// What else decides.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub note: &'static str,
}

/// As `skein set` takes it.
pub fn knob(knob: &v1::Knob) -> Knob {
    use v1::knob::Knob as Wire;
    let limit = |most: u32| if most == 0 { "no limit".to_owned() } else { most.to_string() };
    let (name, value) = match &knob.knob {
        Some(Wire::Parallelism(most)) => ("parallelism".to_owned(), most.to_string()),
        Some(Wire::Limit(of)) => (format!("per.{}", of.label), limit(of.most)),
        Some(Wire::PerGroup(most)) => ("per_group".to_owned(), limit(*most)),
        Some(Wire::HeavyPerGroup(most)) => ("heavy.per_group".to_owned(), limit(*most)),
        Some(Wire::SoakMs(0)) => ("soak".to_owned(), "none".to_owned()),
        Some(Wire::SoakMs(soak)) => ("soak".to_owned(), duration(*soak)),
        Some(Wire::BudgetFailed(failed)) => ("budget".to_owned(), failed.to_string()),
        Some(Wire::BudgetPercent(0)) => ("budget.percent".to_owned(), "not set".to_owned()),
        Some(Wire::BudgetPercent(percent)) => ("budget.percent".to_owned(), format!("{percent}%")),
        Some(Wire::Retries(retries)) => ("retries".to_owned(), retries.to_string()),
        Some(Wire::Windows(hold)) => {
            ("windows".to_owned(), if *hold { "on" } else { "off" }.to_owned())
        }
        Some(Wire::Throttle(knob)) => super::throttle::set(knob),
        Some(Wire::Batch(0)) => ("batch".to_owned(), "as the file says".to_owned()),
        Some(Wire::Batch(size)) => ("batch".to_owned(), size.to_string()),
        Some(Wire::BatchPauseMs(0)) => ("batch_pause".to_owned(), "none".to_owned()),
        Some(Wire::BatchPauseMs(pause)) => ("batch_pause".to_owned(), duration(*pause)),
        None => (String::new(), String::new()),
    };
    Knob { name, value, note: "" }
}

impl Knobs {
    pub fn new(status: &v1::RolloutStatus) -> Self {
        use v1::knob::Knob as Wire;
        let mut knobs: Vec<Knob> = status.knobs.iter().map(knob).collect();
        let share = |it: &v1::Knob| matches!(it.knob, Some(Wire::BudgetPercent(1..)));
        if status.knobs.iter().any(share) {
            for (knob, wire) in knobs.iter_mut().zip(&status.knobs) {
                match wire.knob {
                    Some(Wire::BudgetFailed(0)) => knob.note = "the share alone holds",
                    Some(Wire::BudgetFailed(_)) => knob.note = "or the share: the smaller holds",
                    _ => {}
                }
            }
        }
        Self { rollout: status.id.clone(), knobs }
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["KNOB", "VALUE"]);
        for knob in &self.knobs {
            let note = if knob.note.is_empty() { "" } else { " · " };
            table.plain([knob.name.clone(), format!("{}{note}{}", knob.value, knob.note)]);
        }
        table
    }
}

impl View for Knobs {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        self.table().text(look, "", out)?;
        writeln!(out, "\nnext: skein set {} KNOB=VALUE", self.rollout)
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table().markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("knobs", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        self.knobs.iter().map(|knob| typed("knob", knob)).collect()
    }
}
