//! A rollout that had turned back goes forward again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Impossible, rollout, state_mut};
use crate::ids::{LaneIx, Millis, RolloutId, TargetId, WaveIx};
use crate::plan::Homes;
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase, Progress, State, Status};

/// These targets wait in their waves again, and waves from `from` on are opened anew: with the word, the gates
/// and the watch that they had. What failed elsewhere is tried again, as whenever a rollout is resumed. What is
/// done stays done.
pub(super) fn turned(
    fleet: &mut Fleet,
    id: RolloutId,
    from: WaveIx,
    targets: &[TargetId],
) -> Result<(), Impossible> {
    let back = rollout::lanes_of(fleet, id, &targets.iter().collect::<Vec<_>>())?;
    super::gate::forget(fleet, id)?;
    let state = state_mut(fleet, id)?;
    state.status = Status::Running;
    state.turned = false;
    state.stopping = false;
    state.aborted = None;
    state.gate_failed = None;
    state.step_gates_failed.clear();
    state.again.clear();
    state.reason.clear();
    state.ended_at = Millis(0);
    state.opened = state.opened.min(from.0);
    state.soaking_since = None;
    state.soaked = state.soaked.min(from.0);
    state.checked = state.checked.min(from.0);
    state.approved.retain(|wave| *wave < from);
    let plan = Arc::clone(&state.plan);
    let homes = Homes::of(&plan);
    for (ix, target) in back.iter().zip(targets) {
        begin_anew(state, *ix, (&homes, target));
    }
    forget_baselines(state, &back);
    let open: Vec<(LaneIx, Phase)> =
        state.lanes.iter().filter_map(|(ix, lane)| Some((ix, goes_on(lane, from)?))).collect();
    for (ix, phase) in open {
        rollout::try_again(state, ix, phase);
    }
    state.progress = counted(state);
    fleet.active.insert(id);
    rollout::take_targets(fleet, id)?;
    super::late::look_around(fleet, id)
}

/// It was taken back, and goes on from what stayed.
fn begin_anew(state: &mut State, ix: LaneIx, (homes, target): (&Homes<'_>, &TargetId)) {
    let known = state.lanes.get(ix).and_then(|lane| Some((lane, state.class(lane)?)));
    let Some((lane, class)) = known else { return };
    let steps = state.plan.reach(class, state.plan.stage_of(lane.wave));
    let home = homes.home((target, class), (lane.wave, lane.applied));
    state.change(ix, |lane, _| {
        lane.wave = home;
        let whole = lane.applied == steps && lane.verified == steps;
        lane.begin_anew(whole);
        lane.phase = if whole { Phase::Done } else { Phase::Ready };
    });
    // What it had begun of later stages lies ahead of it once more.
    state.look_ahead(ix);
}

/// What was measured before a first step that is to come again.
fn forget_baselines(state: &mut State, back: &[LaneIx]) {
    let unbegun = |ix: &LaneIx| state.lanes.get(*ix).is_some_and(|lane| lane.applied == 0);
    let unbegun: BTreeSet<LaneIx> = back.iter().copied().filter(unbegun).collect();
    state.baselines.retain(|(ix, _), _| !unbegun.contains(ix));
}

/// Where a lane is to go on; `None`: it stays as it is.
fn goes_on(lane: &Lane, from: WaveIx) -> Option<Phase> {
    match lane.phase {
        Phase::Ready | Phase::Failed | Phase::Stuck => {
            Some(if lane.wave < from { Phase::Ready } else { Phase::Waiting })
        }
        Phase::Waiting
        | Phase::Leased
        | Phase::Done
        | Phase::UndoReady
        | Phase::UndoLeased
        | Phase::Undone
        | Phase::Residual
        | Phase::Waived => None,
    }
}

/// The steps as they stand: what was undone is ahead again.
fn counted(state: &State) -> Progress {
    let mut progress = Progress { planned: state.progress.planned, ..Progress::default() };
    for (_, lane) in state.lanes.iter() {
        progress.applied += u64::from(lane.applied);
        progress.verified += u64::from(lane.verified);
    }
    progress
}
