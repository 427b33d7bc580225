//! Throttles: what steps wait for while a database, or something beside it, has too much to do.
//!
//! ```text
//! a leg, before a step ──────────┐
//! a file, between its statements ┴► Brake ─ Gauge::measure ─┬─ lag    replicas, as the primary or they themselves tell
//!                                    │                      ├─ load   statements that the server runs
//!                                    ▼                      ├─ query  the first value, in the target
//!                                  Waits ─► heartbeat       └─ http   an address by its name in skein.toml
//! ```
//!
//! What holds: what cannot be measured holds work back; a measuring that was good holds for its interval, so that small
//! statements cost nothing; nothing waits inside of a transaction, or where a statement may have left a lock; who waits
//! is told with every heartbeat, and not in the log.

mod brake;
mod figure;
mod lag;
mod load;
mod pace;
mod progress;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use skein_proto::v1;
use skein_proto::v1::throttle::Measure;
use tokio::sync::Semaphore;

use crate::config::{Target, TargetId};
use crate::db::{self, Location, Named, Timeouts};
use crate::gate::Asker;
use crate::roster::Roster;
use crate::text::chain;
pub(crate) use brake::Brake;
pub(crate) use pace::Pace;
pub(crate) use progress::Progress;
pub(crate) use waits::Waits;

/// Measurings at one time: a server that has too much to do is not to have more of them.
const MEASURINGS_MAX: usize = 8;
/// Of one answer: so many rows, and of a value so many bytes.
const ANSWER_MAX: (usize, usize) = (256, 4_096);
/// Of what is told of a wait, characters.
const WHY_MAX: usize = 400;

/// Measures.
#[derive(Debug)]
pub(crate) struct Gauge {
    roster: Arc<Roster>,
    asker: Arc<Asker>,
    turns: Semaphore,
}

impl Gauge {
    pub(crate) fn new(roster: Arc<Roster>, asker: Arc<Asker>) -> Self {
        Self { roster, asker, turns: Semaphore::new(MEASURINGS_MAX) }
    }

    /// `Err`: work waits, and why.
    async fn measure(&self, throttle: &v1::Throttle, target: &str) -> Result<(), String> {
        let _turn = self.turns.acquire().await;
        let limit = Duration::from_millis(throttle.timeout_ms);
        let measured = tokio::time::timeout(limit, self.answer(throttle, target, limit));
        let why = match Box::pin(measured).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(Held::Over(why))) => why,
            Ok(Err(Held::Unread(why))) => format!("{} cannot be read: {why}", subject(throttle)),
            Err(_) => {
                let ms = throttle.timeout_ms;
                format!("{} cannot be read: no answer within {ms} ms", subject(throttle))
            }
        };
        let why: String = format!("`{}`: {why}", throttle.name).chars().take(WHY_MAX).collect();
        Err(why)
    }

    async fn answer(
        &self,
        throttle: &v1::Throttle,
        target: &str,
        limit: Duration,
    ) -> Result<(), Held> {
        let Some(measure) = &throttle.measure else {
            return unread("this agent does not know what is measured; upgrade the agent");
        };
        if let Measure::Http(name) = measure {
            return match self.asker.status(name).await.map_err(Held::Unread)?.as_str() {
                "200" => Ok(()),
                status => over(format!("the signal `{name}` answers {status}, and 200 says go on")),
            };
        }
        let target = TargetId::parse(target).ok().and_then(|id| self.roster.get(&id));
        let Some(target) = target else { return unread("this agent does not serve the target") };
        let asked = Asked { target: &target, limit };
        match measure {
            Measure::ReplicaLag(lag) => lag::measure(&asked, (throttle.limit, lag.replicas)).await,
            Measure::Load(v1::Load {}) => load::measure(&asked, throttle.limit).await,
            Measure::Query(query) => {
                let answer = self.asker.first_value(&target, query, limit).await;
                compare(answer.map_err(Held::Unread)?.trim(), throttle.limit)
            }
            Measure::Http(_) => Ok(()),
        }
    }
}

/// Why work waits.
enum Held {
    /// What was measured is over the limit.
    Over(String),
    /// It could not be measured.
    Unread(String),
}

fn over(why: String) -> Result<(), Held> {
    Err(Held::Over(why))
}

fn unread<T>(why: impl Into<String>) -> Result<T, Held> {
    Err(Held::Unread(why.into()))
}

fn subject(throttle: &v1::Throttle) -> &'static str {
    match throttle.measure {
        Some(Measure::ReplicaLag(_)) => "replica lag",
        Some(Measure::Load(_)) => "load",
        Some(Measure::Query(_)) => "the query",
        Some(Measure::Http(_)) => "the signal",
        None => "what it measures",
    }
}

fn compare(answer: &str, limit: u64) -> Result<(), Held> {
    let limit = figure::thousandths(limit);
    match (answer.parse::<f64>(), limit.parse::<f64>()) {
        (Ok(value), Ok(most)) if value.is_finite() => {
            if value < most {
                Ok(())
            } else {
                over(format!("the query answers {answer} >= {limit}"))
            }
        }
        _ => {
            let answer: String = answer.chars().take(40).collect();
            unread(format!("{answer:?} is no number"))
        }
    }
}

/// A target that is measured, and how long that may take.
struct Asked<'a> {
    target: &'a Target,
    limit: Duration,
}

impl Asked<'_> {
    async fn location(&self) -> Result<Location, Held> {
        let located = self.target.locate().await;
        located.map(|(location, _)| location).map_err(|error| Held::Unread(chain(&error)))
    }

    async fn rows(&self, location: &Location, sql: &str) -> Result<Vec<Named>, Held> {
        let timeouts = Timeouts::within(self.limit);
        db::rows(location, sql, ANSWER_MAX, &timeouts).await.map_err(Held::Unread)
    }
}

/// A value by its column's name.
fn value(row: &Named, holds: impl Fn(&str) -> bool) -> Option<&str> {
    row.iter().find(|(name, _)| holds(name)).and_then(|(_, value)| value.as_deref())
}

#[cfg(test)]
mod tests {
    use super::{Held, compare};

    #[test]
    fn answers_of_queries_are_compared_as_numbers() {
        for (answer, limit, expect) in [
            ("24", 25_000, '+'),
            ("25", 25_000, '-'),
            ("25.001", 25_000, '-'),
            ("-3", 1, '+'),
            ("0.8", 800, '-'),
            ("NaN", 800, '?'),
            ("", 800, '?'),
            ("many", 800, '?'),
        ] {
            let told = match compare(answer, limit) {
                Ok(()) => '+',
                Err(Held::Over(_)) => '-',
                Err(Held::Unread(_)) => '?',
            };
            assert_eq!(told, expect, "{answer} of {limit}");
        }
    }
}
