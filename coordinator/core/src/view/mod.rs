//! Answers about the state: counters and folds, never a change.

mod why;

pub use why::why;

use std::collections::BTreeMap;

use crate::ids::{LaneIx, Version};
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase, State};

/// How many targets have which newest version; `None`: nothing is in force.
pub fn versions(fleet: &Fleet) -> BTreeMap<Option<Version>, u32> {
    let mut versions = BTreeMap::new();
    for (_, target) in fleet.targets.iter().filter(|(_, target)| !target.retired) {
        let newest = target.ledger.last().and_then(|ix| fleet.entries.get(*ix));
        *versions.entry(newest.map(|entry| entry.version.clone())).or_default() += 1;
    }
    versions
}

/// Lanes that are not where they should be: what an operator has to look at.
pub fn residual(state: &State) -> impl Iterator<Item = (LaneIx, &Lane)> {
    let ended = state.status.ended();
    state.lanes.iter().filter(move |(_, lane)| match lane.phase {
        Phase::Failed | Phase::Stuck | Phase::Residual => true,
        Phase::Waiting
        | Phase::Ready
        | Phase::Leased
        | Phase::Done
        | Phase::UndoReady
        | Phase::UndoLeased
        | Phase::Undone => ended && lane.left_over(),
    })
}
