//! Asks gates: of targets, and of what this agent's own configuration names.
//!
//! ```text
//! Asks (a wave's) ─┐
//! a leg (a step's) ┴─► Asker::judge ─ sample ─┬─ sql         in the target, reading only
//!                         │  tally ◄──────────┼─ http        an address by its name in skein.toml
//!                         ▼                   ├─ command     a program by its name
//!                      Judged                 ├─ prometheus  a server by its name
//!                                             └─ latency     in the target, again and again
//! ```
//!
//! What holds: nothing is run or called but what `[agent.gate.NAME]` says, and no shell; every sample is bounded
//! in time and bytes; what cannot be asked is no success; of an answer only its first value is told, and of a
//! URL nothing.

mod command;
mod compare;
mod http;
mod latency;
mod prometheus;
mod sql;
mod tally;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use skein_proto::agent::v1::Judged;
use skein_proto::v1::gate::Question;
use skein_proto::v1::{Gate, Quantiles};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::{GateSource, Target, TargetId};
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
    pub(crate) async fn judge(
        &self,
        gate: &Gate,
        (target, before): (&str, &[Quantiles]),
        long: Duration,
    ) -> Judged {
        let until = Instant::now() + long;
        let pause = Duration::from_millis(gate.interval_ms);
        let mut tally = Tally::new(gate.samples, gate.need);
        loop {
            tally.add(self.sample(gate, (target, before)).await);
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

    /// The status of an address that it knows by this name.
    pub(crate) async fn status(&self, name: &str) -> Result<String, String> {
        match self.sources.get(name) {
            Some(GateSource::Http(address)) => http::status(address, &self.directory).await,
            Some(GateSource::Command(_) | GateSource::Prometheus(_)) => Err(other_kind(name)),
            None => Err(unknown(name)),
        }
    }

    /// The first value that a query answers in a target.
    pub(crate) async fn first_value(
        &self,
        target: &Target,
        query: &str,
        limit: Duration,
    ) -> Result<String, String> {
        sql::ask(target, query, limit).await
    }

    /// Measures what a gate will be held against. The error is fit for showing.
    pub(crate) async fn baseline(
        &self,
        gate: &Gate,
        target: &str,
    ) -> Result<Vec<Quantiles>, String> {
        let Some(Question::Latency(latency)) = &gate.question else {
            return Err("this agent does not know what is measured; upgrade the agent".to_owned());
        };
        let target = self.target(target)?;
        let _turn = self.turns.acquire().await;
        let limit = Duration::from_millis(gate.timeout_ms);
        let measured = tokio::time::timeout(limit, latency::baseline(&target, latency, limit));
        match Box::pin(measured).await {
            Ok(measured) => measured,
            Err(_) => Err(format!("not all of it was run within {} ms", gate.timeout_ms)),
        }
    }

    async fn sample(&self, gate: &Gate, (target, before): (&str, &[Quantiles])) -> Sample {
        // Its time begins with its turn.
        let _turn = self.turns.acquire().await;
        let limit = Duration::from_millis(gate.timeout_ms);
        let sampled = async {
            if let Some(Question::Latency(latency)) = &gate.question {
                return match self.target(target) {
                    Ok(target) => latency::sample(&target, (latency, before), limit).await,
                    Err(why) => Sample::Silent(why),
                };
            }
            match self.answer(gate, target, limit).await {
                Ok(answer) => compare::judge(gate, &answer),
                Err(why) => Sample::Silent(why),
            }
        };
        match Box::pin(tokio::time::timeout(limit, sampled)).await {
            Ok(sample) => sample,
            Err(_) => Sample::Silent(format!("none within {} ms", gate.timeout_ms)),
        }
    }

    fn target(&self, id: &str) -> Result<Target, String> {
        let known = TargetId::parse(id).ok().and_then(|id| self.roster.get(&id));
        known.ok_or_else(|| "this agent does not serve the target".to_owned())
    }

    async fn answer(&self, gate: &Gate, target: &str, limit: Duration) -> Result<String, String> {
        let Some(question) = &gate.question else {
            return Err("this agent does not know what is asked; upgrade the agent".to_owned());
        };
        let (name, query) = match question {
            Question::Sql(query) => {
                return sql::ask(&self.target(target)?, query, limit).await;
            }
            Question::Http(name) => return self.status(name).await,
            Question::Command(name) => (name, ""),
            Question::Prometheus(it) => (&it.source, it.query.as_str()),
            Question::Latency(_) => return Err("it is measured, and not asked".to_owned()),
        };
        match (question, self.sources.get(name)) {
            (Question::Command(_), Some(GateSource::Command(words))) => {
                command::ask(words, &self.directory, target).await
            }
            (Question::Prometheus(_), Some(GateSource::Prometheus(address))) => {
                prometheus::ask(address, &self.directory, query).await
            }
            (_, Some(_)) => Err(other_kind(name)),
            (_, None) => Err(unknown(name)),
        }
    }
}

fn other_kind(name: &str) -> String {
    format!("[agent.gate.{name}] is of another kind")
}

fn unknown(name: &str) -> String {
    format!("this agent's skein.toml has no [agent.gate.{name}]")
}
