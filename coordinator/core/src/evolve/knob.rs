//! What people change of a rollout while it runs.

use super::{Impossible, state_mut, target_ix};
use crate::ids::{LaneIx, RolloutId, TargetId};
use crate::state::Fleet;
use crate::state::rollout::Status;

/// Lanes that get no legs, for a reason, or get them again.
pub(super) fn held(
    fleet: &mut Fleet,
    id: RolloutId,
    targets: &[TargetId],
    reason: Option<&String>,
) -> Result<(), Impossible> {
    let lanes = targets
        .iter()
        .map(|target| lane_of(fleet, id, target))
        .collect::<Result<Vec<LaneIx>, Impossible>>()?;
    let state = state_mut(fleet, id)?;
    for ix in lanes {
        state.change(ix, |lane, _| lane.held = reason.map(|reason| reason.as_str().into()));
    }
    Ok(())
}

/// A rollout that has not begun has lanes, and not its targets yet.
fn lane_of(fleet: &Fleet, id: RolloutId, target: &TargetId) -> Result<LaneIx, Impossible> {
    let ix = target_ix(fleet, target)?;
    let held = fleet.targets.get(ix).and_then(|target| target.lane);
    if let Some((_, lane)) = held.filter(|(rollout, _)| *rollout == id) {
        return Ok(lane);
    }
    let lanes = fleet.rollouts.get(&id).map(|state| state.lanes.iter());
    let lane = lanes.and_then(|mut lanes| lanes.find(|(_, lane)| lane.target == ix));
    lane.map(|(ix, _)| ix).ok_or_else(|| Impossible(format!("{target} is not part of {id}")))
}

pub(super) fn aborted(fleet: &mut Fleet, id: RolloutId, reason: &str) -> Result<(), Impossible> {
    let state = state_mut(fleet, id)?;
    state.status = Status::Paused;
    state.stopping = true;
    state.aborted = Some(reason.to_owned());
    reason.clone_into(&mut state.reason);
    Ok(())
}
