//! Leases: who carries out a lane, and what becomes of it when the lease ends.

use std::sync::Arc;

use super::{Impossible, state_mut, target_ix};
use crate::event::LegKind;
use crate::ids::{AgentId, Fence, LaneIx, Millis, RolloutId, Seq, TargetId, TargetIx};
use crate::plan::{Class, Undo};
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase, class_of};
use crate::state::target::Lease;

pub(super) fn lane_of(
    fleet: &Fleet,
    rollout: RolloutId,
    target: &TargetId,
) -> Result<(TargetIx, LaneIx), Impossible> {
    let ix = target_ix(fleet, target)?;
    match fleet.targets.get(ix).and_then(|target| target.lane) {
        Some((held, lane)) if held == rollout => Ok((ix, lane)),
        Some(_) | None => Err(Impossible(format!("{target} is not in the hands of {rollout}"))),
    }
}

pub(super) fn assigned(
    fleet: &mut Fleet,
    (seq, at): (Seq, Millis),
    rollout: RolloutId,
    (target, agent, kind): (&TargetId, &AgentId, LegKind),
) -> Result<(), Impossible> {
    let fence = fleet.fence(seq);
    let (ix, lane) = lane_of(fleet, rollout, target)?;
    let known = fleet.rollouts.get(&rollout);
    let heavy = known.is_some_and(|it| it.lanes.get(lane).is_some_and(|lane| it.is_heavy(lane)));
    if let Some(mut target) = fleet.targets.get_mut(ix) {
        if target.lease.is_some() {
            return Err(Impossible(format!("{} is leased twice", target.id)));
        }
        target.lease = Some(Lease { fence, agent: agent.clone(), heavy });
    }
    fleet.agents.entry(agent.clone()).or_default().legs.insert(fence, ix);
    super::gate::forget(fleet, rollout)?;
    let state = state_mut(fleet, rollout)?;
    // Work anew in a wave that was done, or watched to the end: its gates are asked, and it is watched, from
    // its new end on.
    state.checked = state.checked.min(state.opened.saturating_sub(1));
    state.soaking_since = None;
    state.soaked = state.soaked.min(state.opened.saturating_sub(1));
    state.change(lane, |lane, _| {
        lane.fence = Some(fence);
        lane.since = at;
        lane.passed = 0;
        lane.phase = match kind {
            LegKind::Forward | LegKind::Trial => Phase::Leased,
            LegKind::Undo => Phase::UndoLeased,
        };
    });
    Ok(())
}

pub(super) fn expired(
    fleet: &mut Fleet,
    rollout: RolloutId,
    target: &TargetId,
    fence: Fence,
    (why, released): (&str, bool),
) -> Result<(), Impossible> {
    let (ix, lane) = lane_of(fleet, rollout, target)?;
    if fleet.targets.get(ix).and_then(|target| target.lease.as_ref()).map(|lease| lease.fence)
        != Some(fence)
    {
        return Err(Impossible(format!("{target} is not leased under fence {fence}")));
    }
    end(fleet, rollout, ix, lane, |lane| {
        // Nothing runs before the backup is recorded.
        lane.doubt = !released && lane.phase == Phase::Leased && lane.archive.is_some();
        lane.note = (!why.is_empty()).then(|| why.into());
        lane.phase = match lane.phase {
            Phase::UndoLeased => Phase::UndoReady,
            Phase::Leased
            | Phase::Waiting
            | Phase::Ready
            | Phase::Done
            | Phase::Failed
            | Phase::Stuck
            | Phase::UndoReady
            | Phase::Undone
            | Phase::Residual
            | Phase::Waived => Phase::Ready,
        };
    })
}

/// The lease of a lane ends; `settle` says where the lane is then.
pub(super) fn end(
    fleet: &mut Fleet,
    rollout: RolloutId,
    target: TargetIx,
    lane: LaneIx,
    settle: impl FnOnce(&mut Lane),
) -> Result<(), Impossible> {
    let seq = fleet.seq;
    let lease = fleet.targets.get_mut(target).and_then(|mut target| {
        target.worked_on = Some(seq);
        target.lease.take()
    });
    if let Some(lease) = lease
        && let Some(agent) = fleet.agents.get_mut(&lease.agent)
    {
        agent.legs.remove(&lease.fence);
    }
    let state = state_mut(fleet, rollout)?;
    let (plan, late) = (Arc::clone(&state.plan), Arc::clone(&state.late));
    let given_up = state.change(lane, |lane, _| {
        let undoing = lane.phase == Phase::UndoLeased;
        lane.fence = None;
        lane.kill = false;
        lane.leaves = false;
        lane.doubt = false;
        settle(lane);
        if lane.unwind && !undoing && !lane.given_up {
            turn(lane, class_of(&plan, &late, lane.class));
        }
        lane.given_up
    });
    if given_up == Some(true) {
        return super::part::left(fleet, rollout, (target, lane));
    }
    Ok(())
}

/// A step above the floor of an undo may have come since it began, by a leg that was under way or by a
/// repair, that nothing undoes: it stays, and all below it.
pub(super) fn stop_at_wall(lane: &mut Lane, class: Option<&Class>) {
    let steps = class.map_or(&[][..], |class| &class.steps);
    let undone_from = usize::try_from(lane.keep).unwrap_or(usize::MAX);
    let applied = usize::try_from(lane.applied).unwrap_or(usize::MAX);
    let wall = steps
        .iter()
        .zip(1_u32..)
        .take(applied)
        .skip(undone_from)
        .filter(|(step, _)| step.undo == Undo::Impossible)
        .last();
    if let Some((step, keep)) = wall {
        lane.keep = keep;
        lane.blocked_by = Some(step.entry.version.as_str().into());
    }
}

/// A lane that is to be unwound and has no lease: what is left to do for it?
pub(super) fn turn(lane: &mut Lane, class: Option<&Class>) {
    lane.overran = false;
    stop_at_wall(lane, class);
    lane.phase = if lane.partly {
        // Its down must not run on a half.
        Phase::Residual
    } else if lane.doubt || lane.applied > lane.keep {
        Phase::UndoReady
    } else {
        settled(lane)
    };
}

/// Where a lane is once nothing is left to undo.
pub(super) fn settled(lane: &mut Lane) -> Phase {
    match &lane.blocked_by {
        Some(step) => {
            lane.note = Some(format!("step {step} cannot be undone").into());
            Phase::Residual
        }
        None => Phase::Undone,
    }
}
