//! Stages: a target that is whole in one goes on in the next, in another wave.

use super::{Impossible, rollout, state_mut};
use crate::ids::{LaneIx, RolloutId, TargetId, WaveIx};
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase, State};

/// Lanes that a wave of a rollout in stages takes over when it opens: its targets come from the stage before, or
/// begin.
pub(crate) fn coming_to(
    fleet: &Fleet,
    state: &State,
    wave: WaveIx,
) -> Result<Vec<LaneIx>, Impossible> {
    let plan = &state.plan;
    let planned: Vec<&TargetId> =
        plan.wave(wave).into_iter().flat_map(|it| &it.targets).map(|it| &it.0).collect();
    let mut lanes = rollout::lanes_of(fleet, state.id, &planned)?;
    let stage = plan.stage_of(wave);
    let is_last = plan.wave(WaveIx(wave.0 + 1)).is_none_or(|next| next.stage != stage);
    // Who came late is in no wave of the plan, and goes through each stage with its last one.
    let came_late = |ix: &LaneIx| {
        let lane = state.lanes.get(*ix);
        lane.is_some_and(|lane| lane.wave == wave || (is_last && lane.phase == Phase::Done))
    };
    lanes.extend(state.late_lanes().filter(came_late));
    // Who was let go and came again is both.
    lanes.sort_unstable();
    lanes.dedup();
    // Who was retired while the rollout stood still stays as it is.
    let retired = |lane: &Lane| fleet.targets.get(lane.target).is_none_or(|target| target.retired);
    let goes_on = |lane: &Lane| match lane.phase {
        Phase::Waiting => lane.wave == wave,
        Phase::Done => {
            let reach = state.class(lane).map_or(0, |class| plan.reach(class, stage));
            plan.stage_of(lane.wave) < stage && lane.verified < reach && !retired(lane)
        }
        Phase::Ready
        | Phase::Leased
        | Phase::Failed
        | Phase::Stuck
        | Phase::UndoReady
        | Phase::UndoLeased
        | Phase::Undone
        | Phase::Residual
        | Phase::Waived => false,
    };
    lanes.retain(|ix| state.lanes.get(*ix).is_some_and(goes_on));
    Ok(lanes)
}

/// A wave of a rollout in stages opens.
pub(super) fn wave_started(
    fleet: &mut Fleet,
    id: RolloutId,
    wave: WaveIx,
) -> Result<(), Impossible> {
    let state =
        fleet.rollouts.get(&id).ok_or_else(|| Impossible(format!("{id} does not exist")))?;
    let lanes = coming_to(fleet, state, wave)?;
    let state = state_mut(fleet, id)?;
    for ix in lanes {
        state.change(ix, |lane, _| {
            lane.wave = wave;
            lane.phase = Phase::Ready;
            rollout::begins_another_leg(lane);
        });
        state.look_ahead(ix);
    }
    Ok(())
}
