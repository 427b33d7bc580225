//! At the end the databases are what the log says, but for targets that the log itself names as in
//! doubt, in the middle, or held.

use std::collections::BTreeSet;

use skein_core::ids::TargetIx;
use skein_core::state::rollout::Phase;

use super::{Held, Invariant, Past};
use crate::observation::{Database, Seen};

#[derive(Debug, Default)]
pub(super) struct Settled;

impl Invariant for Settled {
    fn sentence(&self) -> &'static str {
        "at the end the databases are what the log says, but for those that it names"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        match seen {
            Seen::Found(database) => found(database, past),
            _ => Ok(()),
        }
    }
}

fn found(database: &Database, past: &Past) -> Held {
    let Some(ix) = past.fleet.targets.find(&database.target) else { return Ok(()) };
    let Some(target) = past.fleet.targets.get(ix) else { return Ok(()) };
    // Nobody has looked at it, and nobody has worked on it.
    if target.observed_at.is_none() || !target.problem.is_empty() || named(past).contains(&ix) {
        return Ok(());
    }
    if let Some(version) = &database.open_intent {
        return Err(format!("{} has a half of {version}", database.target));
    }
    if past.fleet.entries.spell(&target.ledger).eq(&database.ledger) {
        return Ok(());
    }
    let said: Vec<_> =
        past.fleet.entries.spell(&target.ledger).map(|entry| &entry.version).collect();
    let is: Vec<_> = database.ledger.iter().map(|entry| &entry.version).collect();
    Err(format!("{}: the log says {said:?}, and it is {is:?}", database.target))
}

/// Targets that the log itself calls unclear.
fn named(past: &Past) -> BTreeSet<TargetIx> {
    let lanes = past.fleet.rollouts.values().flat_map(|state| state.lanes.iter());
    lanes
        .map(|(_, lane)| lane)
        .filter(|lane| {
            lane.doubt || lane.partly || matches!(lane.phase, Phase::Stuck | Phase::Residual)
        })
        .map(|lane| lane.target)
        .collect()
}
