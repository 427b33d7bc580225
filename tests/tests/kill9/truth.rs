//! What every target has to be after a round, however the round went.

use std::collections::BTreeSet;

use skein_agent::db::{Direction, LedgerRow, Observation};
use skein_proto::log::v1::Event;
use skein_proto::log::v1::event::Body;

use crate::arena::Seen;
use crate::support::Database;

/// What an undisturbed rollout leaves.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    schema: String,
    effects: Vec<String>,
    rows: Vec<String>,
    /// The ledger: `2` for a step done, `-2` for one undone.
    ledger: Vec<String>,
    upwards: usize,
}

/// Names in the order in which they took effect, one for each time.
const EFFECTS: &str = "SELECT step FROM effects ORDER BY id";
/// The data that the steps wrote.
const ROWS: &str =
    "SELECT concat(id, ' ', amount, ' ', coalesce(note, '-')) FROM items ORDER BY id";

impl Truth {
    pub(crate) async fn of(database: &Database) -> Self {
        let effects = database.column(EFFECTS).await.expect("effects are counted");
        let unique: BTreeSet<&String> = effects.iter().collect();
        assert_eq!(unique.len(), effects.len(), "undisturbed, each has one effect: {effects:?}");
        let ledger = ledger(&database.observe().await);
        Self {
            schema: database.schema().await,
            rows: database.column(ROWS).await.expect("items are there"),
            upwards: ledger.iter().filter(|step| !step.starts_with('-')).count(),
            ledger,
            effects,
        }
    }

    /// How many rows the ledger ends with.
    pub(crate) fn steps(&self) -> usize {
        self.ledger.len()
    }

    /// Compares what the steps did in one target with the truth.
    pub(crate) async fn check_effects(&self, database: &Database) {
        let id = &database.id;
        let effects = database.column(EFFECTS).await.expect("effects are counted");
        assert_eq!(effects, self.effects, "{id}: each effect exactly once, in order");
        assert_eq!(database.schema().await, self.schema, "{id}: the schema");
        let rows = database.column(ROWS).await.expect("items are there");
        assert_eq!(rows, self.rows, "{id}: the data");
    }

    /// The same, and its own ledger, and the log.
    pub(crate) async fn check(&self, database: &Database, events: &[Event], seen: &mut Seen) {
        let id = &database.id;
        self.check_effects(database).await;

        // The ledger: each step once each way, in order, with nothing left open.
        let now = database.observe().await;
        assert_eq!(ledger(&now), self.ledger, "{id}: the ledger");
        assert_eq!(now.intent, None, "{id}: a step is open");
        let tokens: Vec<u64> = now.ledger.iter().map(|row| row.token.0).collect();
        assert!(tokens.is_sorted(), "{id}: a step ran under an older lease: {tokens:?}");
        assert!(now.fence.is_some_and(|fence| tokens.iter().all(|token| *token <= fence.0)));

        // The log: leases ever newer; a backup before the first effect; each step applied once and
        // then verified, each undo once, in the order of the ledger.
        let mut log = Log::default();
        for event in events {
            log.read(id, event, seen);
        }
        assert_eq!(log.told, self.ledger, "{id}: the log's account of what was done");
        assert_eq!(log.verified, self.ledger[..self.upwards], "{id}: and of what was verified");
        for ((row, token), fence) in now.ledger.iter().zip(&tokens).zip(&log.told_under) {
            assert!(log.leases.contains(token), "{id}: {} ran without a lease", row.step);
            assert!(token <= fence, "{id}: {} was reported before it ran", row.step);
        }
    }
}

/// A target's whole ledger in words.
fn ledger(seen: &Observation) -> Vec<String> {
    let word = |row: &LedgerRow| match row.direction {
        Direction::Up => row.step.clone(),
        Direction::Down => format!("-{}", row.step),
    };
    seen.ledger.iter().map(word).collect()
}

/// What the log says of one target.
#[derive(Debug, Default)]
struct Log {
    leases: BTreeSet<u64>,
    backed_up: bool,
    /// As [`Truth::ledger`].
    told: Vec<String>,
    told_under: Vec<u64>,
    verified: Vec<String>,
}

impl Log {
    fn read(&mut self, id: &str, event: &Event, seen: &mut Seen) {
        let seq = event.seq;
        match event.body.as_ref().expect("an event says what happened") {
            Body::LegAssigned(leg) if leg.target == id => {
                // The fence of a lease is the number of the event that gave it.
                let newer = self.leases.last().is_none_or(|last| *last < seq);
                assert!(newer && self.leases.insert(seq), "{id}: lease {seq} is not newer");
            }
            Body::LeaseExpired(lease) if lease.target == id && !lease.released => {
                seen.expired += 1;
            }
            Body::StepBackedUp(step) if step.target == id => self.backed_up = true,
            Body::StepApplied(step) if step.target == id => {
                assert_eq!(self.told.len(), self.verified.len(), "{id}: one at a time");
                let already = step.applied.as_ref().is_some_and(|applied| applied.already);
                seen.already += usize::from(already);
                self.tell(id, step.version.clone(), step.fence);
            }
            Body::StepVerified(step) if step.target == id => {
                self.verified.push(step.version.clone());
            }
            Body::StepRolledBack(step) if step.target == id => {
                let already = step.rolled_back.as_ref().is_some_and(|undone| undone.already);
                seen.already += usize::from(already);
                self.tell(id, format!("-{}", step.version), step.fence);
            }
            Body::StepFailed(step) if step.target == id => seen.failed += 1,
            Body::StepStuck(step) if step.target == id => seen.stuck += 1,
            _ => {}
        }
    }

    fn tell(&mut self, id: &str, step: String, fence: u64) {
        assert!(self.backed_up, "{id}: {step} was done before a backup");
        assert!(self.leases.contains(&fence), "{id}: {step} is under no lease");
        self.told.push(step);
        self.told_under.push(fence);
    }
}
