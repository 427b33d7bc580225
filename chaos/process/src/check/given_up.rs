//! What the log itself says of a target that is not where it should be. It may have been retired since.

use skein_core::ids::{RolloutId, TargetId};
use skein_core::state::Fleet;
use skein_core::state::rollout::Phase;

/// Whether the log says that it is not where it should be.
pub(super) fn named(fleet: &Fleet, id: &TargetId) -> bool {
    let Some(ix) = fleet.targets.find(id) else { return false };
    let Some(target) = fleet.targets.get(ix) else { return false };
    let lanes = fleet.rollouts.values().flat_map(|state| state.lanes.iter());
    !target.problem.is_empty()
        || lanes.map(|(_, lane)| lane).any(|lane| {
            lane.target == ix
                && (lane.doubt
                    || lane.partly
                    || matches!(lane.phase, Phase::Stuck | Phase::Residual | Phase::Failed))
        })
}

/// Whether the log says that a rollout went on, or ended, without knowing where a target stands.
pub(super) fn given_up(fleet: &Fleet, id: &TargetId, rollout: RolloutId) -> bool {
    let Some(ix) = fleet.targets.find(id) else { return false };
    let Some(state) = fleet.rollouts.get(&rollout) else { return false };
    state.lanes.iter().map(|(_, lane)| lane).any(|lane| {
        lane.target == ix
            && (lane.doubt
                || lane.partly
                || matches!(
                    lane.phase,
                    Phase::Stuck | Phase::Residual | Phase::Failed | Phase::Waived
                ))
    })
}
