//! Answers about the state: counters and folds, never a change.

mod back;
mod owes;
mod silence;
mod why;

pub use back::{forward_again, taken_over, unfinished};
pub use owes::{Debt, creditors, owes};
pub use silence::{REGION, Silence, silences};
pub use why::{spared, why};

use std::collections::BTreeMap;

use crate::ids::{LaneIx, Version};
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase, State};

/// How many targets have which newest version; `None`: nothing is in force.
pub fn versions(fleet: &Fleet) -> BTreeMap<Option<Version>, u32> {
    let mut versions = BTreeMap::new();
    // A version may have been applied from more than one file.
    for (newest, targets) in &fleet.targets.sums().newest {
        let newest = newest.and_then(|ix| fleet.entries.get(ix));
        *versions.entry(newest.map(|entry| entry.version.clone())).or_default() += targets;
    }
    versions
}

/// Lanes that the rollout was told to go on without.
pub fn waived(state: &State) -> impl Iterator<Item = (LaneIx, &Lane)> {
    let any = state.total.of(Phase::Waived) > 0;
    state.lanes.iter().filter(move |(_, lane)| any && lane.phase == Phase::Waived)
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
        | Phase::Undone
        | Phase::Waived => ended && state.left_over(lane),
    })
}
