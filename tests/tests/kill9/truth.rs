//! What every target has to be after a round, however the round went.

use std::collections::BTreeSet;

use skein_agent::db::Direction;
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
    versions: Vec<String>,
}

/// Names in the order in which they took effect, one for each time.
const EFFECTS: &str = "SELECT step FROM effects ORDER BY id";
/// A digest of the data that the steps wrote.
const ROWS: &str = "SELECT concat(id, ' ', amount, ' ', doubled, ' ', note) FROM items ORDER BY id";

impl Truth {
    pub(crate) async fn of(database: &Database) -> Self {
        let effects = database.column(EFFECTS).await.expect("effects are counted");
        let unique: BTreeSet<&String> = effects.iter().collect();
        assert_eq!(unique.len(), effects.len(), "undisturbed, each has one effect: {effects:?}");
        Self {
            schema: database.schema().await,
            rows: database.column(ROWS).await.expect("items are there"),
            versions: database.in_force().await,
            effects,
        }
    }

    /// How many steps there are.
    pub(crate) fn steps(&self) -> usize {
        self.versions.len()
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

        // The ledger: each step once, upwards, in order, with nothing left open.
        let now = database.observe().await;
        let steps: Vec<&str> = now.ledger.iter().map(|row| row.step.as_str()).collect();
        assert_eq!(steps, self.versions, "{id}: the ledger");
        assert!(now.ledger.iter().all(|row| row.direction == Direction::Up), "{id}");
        assert_eq!(now.intent, None, "{id}: a step is open");
        let tokens: Vec<u64> = now.ledger.iter().map(|row| row.token.0).collect();
        assert!(tokens.is_sorted(), "{id}: a step ran under an older lease: {tokens:?}");
        assert!(now.fence.is_some_and(|fence| tokens.iter().all(|token| *token <= fence.0)));

        // The log: leases ever newer; a backup before the first effect; each step applied once and
        // then verified, in the order of the ledger.
        let mut log = Log::default();
        for event in events {
            log.read(id, event, seen);
        }
        assert_eq!(log.applied, self.versions, "{id}: the log's account of what was applied");
        assert_eq!(log.verified, self.versions, "{id}: the log's account of what was verified");
        for (row, token) in now.ledger.iter().zip(&tokens) {
            assert!(log.leases.contains(token), "{id}: {} ran without a lease", row.step);
        }
        for (at, fence) in log.applied_under.iter().enumerate() {
            assert!(tokens[at] <= *fence, "{id}: {} reported before it ran", self.versions[at]);
        }
    }
}

/// What the log says of one target.
#[derive(Debug, Default)]
struct Log {
    leases: BTreeSet<u64>,
    backed_up: bool,
    applied: Vec<String>,
    applied_under: Vec<u64>,
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
                assert!(self.backed_up, "{id}: {} was applied before a backup", step.version);
                assert_eq!(self.applied.len(), self.verified.len(), "{id}: one at a time");
                assert!(self.leases.contains(&step.fence), "{id}: {seq} is under no lease");
                let outcome = step.applied.as_ref().expect("it says how");
                seen.already += usize::from(outcome.already);
                self.applied.push(step.version.clone());
                self.applied_under.push(step.fence);
            }
            Body::StepVerified(step) if step.target == id => {
                self.verified.push(step.version.clone());
            }
            Body::StepFailed(step) if step.target == id => seen.failed += 1,
            Body::StepStuck(step) if step.target == id => seen.stuck += 1,
            _ => {}
        }
    }
}
