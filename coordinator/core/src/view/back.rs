//! What became of a rollout that ended before it was done: whether it can go forward again, and who has worked on its
//! targets since.

use std::collections::BTreeMap;

use crate::ids::RolloutId;
use crate::plan::Plan;
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase, State, Status};

/// So many lanes are looked at for who has worked on their targets since.
const LOOKED_AT: usize = 4_096;

/// Targets that a breach took back and that a plain resume takes forward again, where nothing has happened to them
/// since. None where there is more to undo, or where somebody has to say what becomes of what was rolled back by
/// choice.
pub fn forward_again(state: &State) -> u32 {
    let over = matches!(state.status, Status::Halted | Status::RolledBack);
    let undone = state.total.of(Phase::Undone) + state.total.of(Phase::Residual);
    if !over || !state.turned || state.trial() || undone == 0 {
        return 0;
    }
    let open = |lane: &Lane| {
        matches!(lane.phase, Phase::UndoReady | Phase::UndoLeased)
            || (lane.is_back() && (!lane.breach || lane.may_be_undone()))
    };
    if state.lanes.iter().any(|(_, lane)| open(lane)) { 0 } else { undone }
}

/// The newest rollout that has had targets since that this one did not bring to their end; looks at so many lanes.
pub fn taken_over(fleet: &Fleet, state: &State) -> Option<RolloutId> {
    if !matches!(state.status, Status::Halted | Status::RolledBack) {
        return None;
    }
    let lanes = state.lanes.iter().map(|(_, lane)| lane).take(LOOKED_AT);
    let open = lanes.filter(|lane| !matches!(lane.phase, Phase::Done | Phase::Waived));
    let last = open.filter_map(|lane| fleet.targets.get(lane.target)?.last);
    last.map(|(id, _)| id).filter(|id| *id > state.id).max()
}

/// Rollouts that ended before they were done with targets of a plan, and nobody has had since: with how many of
/// them.
pub fn unfinished(fleet: &Fleet, plan: &Plan) -> BTreeMap<RolloutId, u32> {
    let mut found = BTreeMap::new();
    for (id, _) in plan.waves.iter().flat_map(|wave| &wave.targets) {
        let last = fleet.target(id).and_then(|(_, target)| target.last);
        let Some((rollout, lane)) = last else { continue };
        let Some(state) = fleet.rollouts.get(&rollout) else { continue };
        let over = matches!(state.status, Status::Halted | Status::RolledBack);
        let open = |lane: &Lane| !matches!(lane.phase, Phase::Done | Phase::Waived);
        if over && state.lanes.get(lane).is_some_and(open) {
            *found.entry(rollout).or_default() += 1;
        }
    }
    found
}
