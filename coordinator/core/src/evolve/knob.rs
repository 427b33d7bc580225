//! What people change of a rollout while it runs.

use super::{Impossible, rollout, state_mut};
use crate::ids::{RolloutId, TargetId};
use crate::state::Fleet;
use crate::state::rollout::Status;

/// The statements of lanes that are leased are killed; with a reason, all of them are held.
pub(super) fn cancelled(
    fleet: &mut Fleet,
    id: RolloutId,
    targets: &[TargetId],
    held: Option<&String>,
) -> Result<(), Impossible> {
    let lanes = rollout::lanes_of(fleet, id, &targets.iter().collect::<Vec<_>>())?;
    let state = state_mut(fleet, id)?;
    for ix in lanes {
        state.change(ix, |lane, _| {
            lane.kill = lane.fence.is_some();
            if let Some(reason) = held {
                lane.held = Some(reason.as_str().into());
                lane.finishes = false;
            }
        });
    }
    Ok(())
}

pub(super) fn aborted(fleet: &mut Fleet, id: RolloutId, reason: &str) -> Result<(), Impossible> {
    super::gate::forget(fleet, id)?;
    let state = state_mut(fleet, id)?;
    state.status = Status::Paused;
    state.stopping = true;
    state.again.clear();
    state.aborted = Some(reason.to_owned());
    reason.clone_into(&mut state.reason);
    Ok(())
}
