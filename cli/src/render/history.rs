//! What happened, event by event.

use std::io::{self, Write};

use serde_json::Value;

use super::event::Event;
use super::look::{Look, Tone, rfc3339};
use super::table::{Table, shown};
use super::{View, typed};

#[derive(Debug, Clone, Default)]
pub struct History {
    pub events: Vec<Event>,
}

impl Event {
    pub fn tone(&self) -> Tone {
        match self.what {
            "step_failed" | "step_stuck" | "rollout_halted" | "target_unreachable"
            | "target_gone" | "lease_expired" => Tone::Bad,
            "rollback_started"
            | "step_rolled_back"
            | "rollout_rolled_back"
            | "rollout_paused"
            | "rollout_aborted"
            | "lanes_held"
            | "step_retried"
            | "step_waived" => Tone::Warning,
            "rollout_completed" => Tone::Good,
            _ => Tone::Plain,
        }
    }

    /// One line: sequence, time, actor, rollout, what.
    pub fn line(&self, look: &Look) -> String {
        let what = look.paint(self.tone(), &shown(&self.said));
        let time = look.paint(Tone::Faint, &look.time(self.at_ms));
        let rollout =
            if self.rollout.is_empty() { String::new() } else { format!("{}  ", self.rollout) };
        let fence = match self.fence {
            Some(fence) if look.wide => format!("  fence {fence}"),
            _ => String::new(),
        };
        let request = if look.wide && !self.request.is_empty() {
            format!("  request {}", self.request)
        } else {
            String::new()
        };
        format!("#{:<6} {time}  {}  {rollout}{what}{fence}{request}", self.seq, shown(&self.actor))
    }
}

impl View for History {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        for event in &self.events {
            writeln!(out, "{}", event.line(look))?;
        }
        Ok(())
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::new(&["seq", "time", "actor", "rollout", "what"]);
        for event in &self.events {
            table.plain([
                event.seq.to_string(),
                rfc3339(event.at_ms),
                event.actor.clone(),
                event.rollout.clone(),
                event.said.clone(),
            ]);
        }
        table.markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        Ok(serde_json::json!({ "type": "history", "events": serde_json::to_value(&self.events)? }))
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        self.events.iter().map(|event| typed("event", event)).collect()
    }
}
