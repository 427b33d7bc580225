//! Asks gates: of targets, and of what this agent's own configuration names.
//!
//! ```text
//! Asks (a wave's) ─┐
//! a leg (a step's) ┴─► Asker::judge ─ sample ─┬─ sql         in the target, reading only
//!                         │  tally ◄──────────┼─ http        an address by its name in skein.toml
//!                         ▼                   ├─ command     a program by its name
//!                      Judged                 └─ prometheus  a server by its name
//! ```
//!
//! What holds: nothing is run or called but what `[agent.gate.NAME]` says, and no shell; every sample is bounded
//! in time and bytes; what cannot be asked is no success; of an answer only its first value is told, and of a
//! URL nothing.

mod command;
mod compare;
mod http;
mod prometheus;
mod sql;
mod tally;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use skein_proto::agent::v1::Judged;
use skein_proto::v1::Gate;
use skein_proto::v1::gate::Question;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::{GateSource, TargetId};
use crate::roster::Roster;
pub(crate) use tally::Sample;
use tally::{Tally, Verdict};

/// Samples at one time: of a large wave many gates are asked of a server that has other work.
const SAMPLES_MAX: usize = 8;

/// Puts questions.
#[derive(Debug)]
pub(crate) struct Asker {
    roster: Arc<Roster>,
    sources: BTreeMap<String, GateSource>,
    /// What relative paths are relative to.
    directory: PathBuf,
    turns: Semaphore,
}

impl Asker {
    pub(crate) fn new(
        roster: Arc<Roster>,
        sources: BTreeMap<String, GateSource>,
        directory: PathBuf,
    ) -> Self {
        Self { roster, sources, directory, turns: Semaphore::new(SAMPLES_MAX) }
    }

    /// What it can ask besides targets.
    pub(crate) fn sources(&self) -> Vec<String> {
        self.sources.keys().cloned().collect()
    }

    /// Asks until it is decided; of a soak, for so long, and then until it is.
    pub(crate) async fn judge(&self, gate: &Gate, target: &str, long: Duration) -> Judged {
        let until = Instant::now() + long;
        let pause = Duration::from_millis(gate.interval_ms);
        let mut tally = Tally::new(gate.samples, gate.need);
        loop {
            tally.add(self.sample(gate, target).await);
            let verdict = tally.verdict();
            let over = match verdict {
                Verdict::Failed | Verdict::Inconclusive => true,
                Verdict::Passed => Instant::now() >= until,
                Verdict::Open => false,
            };
            if over {
                let expected = compare::expectation(gate);
                return Judged {
                    passed: verdict == Verdict::Passed,
                    inconclusive: verdict == Verdict::Inconclusive,
                    measured: format!("{} (expected {expected})", tally.measured()),
                    ..Judged::default()
                };
            }
            // The end of a soak is looked at when it is there.
            let next = Instant::now() + pause;
            let next = if verdict == Verdict::Passed { next.min(until) } else { next };
            tokio::time::sleep_until(next).await;
        }
    }

    async fn sample(&self, gate: &Gate, target: &str) -> Sample {
        // Its time begins with its turn.
        let _turn = self.turns.acquire().await;
        let limit = Duration::from_millis(gate.timeout_ms);
        let answer = tokio::time::timeout(limit, self.answer(gate, target, limit));
        match Box::pin(answer).await {
            Ok(Ok(answer)) => compare::judge(gate, &answer),
            Ok(Err(why)) => Sample::Silent(why),
            Err(_) => Sample::Silent(format!("none within {} ms", gate.timeout_ms)),
        }
    }

    async fn answer(&self, gate: &Gate, target: &str, limit: Duration) -> Result<String, String> {
        let Some(question) = &gate.question else {
            return Err("this agent does not know what is asked; upgrade the agent".to_owned());
        };
        let (name, query) = match question {
            Question::Sql(query) => {
                let target = TargetId::parse(target).ok().and_then(|id| self.roster.get(&id));
                let target = target.ok_or("this agent does not serve the target")?;
                return sql::ask(&target, query, limit).await;
            }
            Question::Http(name) | Question::Command(name) => (name, ""),
            Question::Prometheus(it) => (&it.source, it.query.as_str()),
        };
        match (question, self.sources.get(name)) {
            (Question::Command(_), Some(GateSource::Command(words))) => {
                command::ask(words, &self.directory, target).await
            }
            (Question::Http(_), Some(GateSource::Http(address))) => {
                http::status(address, &self.directory).await
            }
            (Question::Prometheus(_), Some(GateSource::Prometheus(address))) => {
                prometheus::ask(address, &self.directory, query).await
            }
            (_, Some(_)) => Err(format!("[agent.gate.{name}] is of another kind")),
            (_, None) => Err(format!("this agent's skein.toml has no [agent.gate.{name}]")),
        }
    }
}
