//! What throttles and windows came to, said to the invariants beside what the log and the ledgers say.
//!
//! When an executor has measured something nobody sees from outside. What it can have read at the best is known: the
//! signal remembers when it said wait ([`crate::world::web`]), and how far the replica is behind is read all the time
//! ([`crate::world::replica`]), by the same clock that stamps the rows of the ledgers on PostgreSQL and MariaDB.

use skein_agent::db::{Engine, LedgerRow};
use skein_chaos::observation::Gauged;
use skein_core::hours::{Openings, Span as Open};
use skein_core::ids::{Fence, Millis};
use skein_core::plan::Plan;
use skein_core::spec::{Measure, Window};

use crate::world::replica::Replica;
use crate::world::web::Web;

/// A time, milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// From the measuring to the row, at the most that this holds anybody to where nothing is disturbed.
const SLACK_MS: u64 = 2_500;
/// Faults have their effects so long after they ended: sessions are opened anew, and retried.
const AFTER_MS: u64 = 2_000;
/// Faults of this time before a row count.
const BACK_MS: u64 = 6_000;
/// From the schedule to the event.
const DECIDED_MS: u64 = 2_000;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// Clocks of leaders are set wrong by hours.
const DAYS: u64 = 3;

/// What is known besides the log.
#[derive(Debug)]
pub(super) struct Measured {
    web: Web,
    replica: Option<Replica>,
    disturbed: Vec<Span>,
}

impl Measured {
    pub(super) fn new(web: Web, replica: Option<Replica>) -> Self {
        Self { web, replica, disturbed: Vec::new() }
    }

    pub(super) fn disturbed(&mut self, span: Span) {
        self.disturbed.push(span);
    }

    /// How long it may have taken from the measuring to a row: each fault may have added all of itself.
    fn slack(&self, at: u64) -> u64 {
        let near = |span: &&Span| span.from <= at && span.to + AFTER_MS + BACK_MS >= at;
        let each = |span: &Span| span.to - span.from + AFTER_MS;
        SLACK_MS + self.disturbed.iter().filter(near).map(each).sum::<u64>()
    }

    /// What the executor of a row has read at the best; and whether that says anything.
    pub(super) fn gauged(
        &self,
        plan: &Plan,
        (engine, row): (Engine, &LedgerRow),
        fence: Fence,
    ) -> Option<(Vec<Gauged>, bool)> {
        let throttles = &plan.spec.strategy.throttles;
        // The clock of who works on SQLite may be set wrong.
        if throttles.is_empty() || engine == Engine::Sqlite {
            return None;
        }
        let at = row.at_ms;
        let from = at.saturating_sub(self.slack(at));
        let mut says = false;
        let read = throttles.iter().map(|throttle| {
            let value = match &throttle.measure {
                Measure::Http(_) => {
                    says = true;
                    Some(u64::from(!self.web.was_free(from, at)))
                }
                // A query is too much for three seconds of ten: within the slack it was not.
                Measure::Query(query) => (!query.contains("not_there")).then_some(0),
                // Of other targets than the replica's nobody asks that.
                Measure::ReplicaLag { .. } => {
                    says |= engine == Engine::Postgres;
                    Some(self.replica.as_ref().map_or(0, |replica| replica.least(from, at)))
                }
                Measure::Load => Some(0),
            };
            Gauged { fence, throttle: throttle.name.clone(), value, at }
        });
        let read = read.collect();
        Some((read, says))
    }
}

/// What the windows of a plan come to, around a time.
pub(super) fn openings(plan: &Plan, now: Millis) -> Openings {
    let windows = plan.spec.strategy.windows.iter().map(|window| spans(window, now));
    Openings { windows: windows.collect() }
}

fn spans(window: &Window, now: Millis) -> Vec<Open> {
    let midnight = now.0 - now.0 % DAY_MS;
    let from = u64::from(window.from) * MINUTE_MS;
    let to = u64::from(window.to) * MINUTE_MS;
    // Not later than it opens: on the next day.
    let to = if to <= from { to + DAY_MS } else { to };
    let first = midnight.saturating_sub(DAYS * DAY_MS);
    (0..=2 * DAYS)
        .map(|day| first + day * DAY_MS)
        .map(|day| Open { from: Millis(day + from), until: Millis(day + to + DECIDED_MS) })
        .collect()
}
