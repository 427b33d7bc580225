//! Why a rollout or one of its targets is where it is.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::look::{Look, Tone};
use super::table::{escaped, shown};
use super::{View, typed, words};

#[derive(Debug, Clone, Serialize)]
pub struct Why {
    pub rollout: String,
    pub target: String,
    pub state: &'static str,
    /// Events that it rests on.
    pub seq: u64,
    pub at_ms: u64,
    pub past: bool,
    pub sentences: Vec<String>,
}

impl Why {
    pub fn new(request: &v1::ExplainRequest, reply: &v1::ExplainReply) -> Self {
        Self {
            rollout: request.rollout.clone(),
            target: request.target.clone(),
            state: words::rollout(reply.state()),
            seq: reply.seq,
            at_ms: reply.at_ms,
            past: request.at.is_some(),
            sentences: reply.sentences.clone(),
        }
    }

    fn title(&self, look: &Look) -> String {
        let target = if self.target.is_empty() { "" } else { " · " };
        let when = if self.past {
            format!(" · as of event {}, {}", self.seq.saturating_sub(1), look.time(self.at_ms))
        } else {
            String::new()
        };
        format!("{} {}{target}{}{when}", self.rollout, self.state, self.target)
    }
}

impl View for Why {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", look.paint(Tone::Strong, &shown(&self.title(look))))?;
        for sentence in &self.sentences {
            writeln!(out, "  {}", shown(sentence))?;
        }
        Ok(())
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "### {}\n", escaped(&self.title(&Look::default())))?;
        for sentence in &self.sentences {
            writeln!(out, "- {}", escaped(sentence))?;
        }
        Ok(())
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("why", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        Ok(vec![self.json()?])
    }
}
