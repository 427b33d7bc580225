//! A rollout as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Impossible, state_mut, target_ix};
use crate::event::{Event, Stop, Unwind};
use crate::forecast::Reach;
use crate::ids::{Digest, LaneIx, Millis, RolloutId, TargetId, TargetIx, WaveIx};
use crate::plan::Plan;
use crate::state::Fleet;
use crate::state::rollout::{Exempt, Lane, Phase, State, Status, class_of};
use crate::state::target::Doubt;

pub(super) fn planned(
    fleet: &mut Fleet,
    id: RolloutId,
    plan_id: Digest,
    plan: &Arc<Plan>,
) -> Result<(), Impossible> {
    let (mut lanes, mut known, mut again) = (Vec::new(), BTreeMap::new(), Vec::new());
    for (wave, number) in plan.waves.iter().zip(0..) {
        for (target, class) in &wave.targets {
            let ix = target_ix(fleet, target)?;
            // In another stage it is there again.
            if !plan.stages.is_empty() {
                if let Some(lane) = known.get(&ix) {
                    again.push((*lane, WaveIx(number)));
                    continue;
                }
                known.insert(ix, LaneIx(u32::try_from(lanes.len()).unwrap_or(u32::MAX)));
            }
            let told = fleet.targets.get(ix).map(|target| target.told.clone()).unwrap_or_default();
            lanes.push(Lane::new((ix, told), WaveIx(number), *class, Phase::Waiting));
        }
    }
    let reach = plan.classes.iter().map(|class| Reach::of(fleet, plan.spec.bundle, class));
    let plans = (Arc::clone(plan), reach.collect());
    let mut state = State::new((id, fleet.seq), plan_id, plans, lanes);
    for (lane, wave) in again {
        state.goes_through(lane, wave);
    }
    for absent in &plan.absent {
        state.awaited.insert(target_ix(fleet, &absent.target)?, absent.why.as_str().into());
    }
    if fleet.rollouts.insert(id, state).is_some() {
        return Err(Impossible(format!("{id} is planned a second time")));
    }
    fleet.planned.insert(plan_id, id);
    Ok(())
}

pub(super) fn started(fleet: &mut Fleet, id: RolloutId, event: &Event) -> Result<(), Impossible> {
    let state = state_mut(fleet, id)?;
    state.status = Status::Running;
    state.started_at = event.at;
    state.started_by.clone_from(&event.actor);
    let plan = state.plan_id;
    let accepts = state.plan.spec.accept_drift;
    fleet.planned.remove(&plan);
    take_targets(fleet, id)?;
    if accepts {
        let targets: Vec<_> =
            state_mut(fleet, id)?.lanes.iter().map(|(_, lane)| lane.target).collect();
        accept(fleet, &targets);
        vouch(fleet, id)?;
    }
    fleet.active.insert(id);
    super::late::look_around(fleet, id)
}

/// The plan was made on what was seen: from here on the log has that.
pub(super) fn accept(fleet: &mut Fleet, targets: &[TargetIx]) {
    for ix in targets.iter().copied() {
        let Some(mut target) = fleet.targets.get_mut(ix) else { continue };
        let Some(seen) = target.seen.take() else { continue };
        target.vouched = true;
        target.ledger = seen.ledger;
        target.fingerprint = Some(seen.fingerprint);
        let old = target.identity.clone();
        drop(target);
        // A clone keeps its finding: the identity is another target's.
        if old != seen.identity && fleet.targets.with_identity(&seen.identity).is_none() {
            fleet.targets.release_identity(&old, ix);
            fleet.targets.claim_identity(&seen.identity, ix);
            if let Some(mut target) = fleet.targets.get_mut(ix) {
                target.identity = seen.identity;
            }
        }
    }
}

/// What was accepted as it was teaches nobody what schema belongs to its migrations.
fn vouch(fleet: &mut Fleet, id: RolloutId) -> Result<(), Impossible> {
    let plan = Arc::clone(&state_mut(fleet, id)?.plan);
    for target in plan.accepted.iter().flat_map(|block| &block.targets) {
        let ix = fleet.targets.find(target);
        if let Some(mut target) = ix.and_then(|ix| fleet.targets.get_mut(ix)) {
            target.vouched = true;
        }
    }
    Ok(())
}

/// The rollout has its targets until it ends.
pub(super) fn take_targets(fleet: &mut Fleet, id: RolloutId) -> Result<(), Impossible> {
    let state = state_mut(fleet, id)?;
    state.touch_all();
    let stays = |lane: &Lane| lane.phase != Phase::Waived;
    let taken: Vec<_> =
        state.lanes.iter().filter(|(_, lane)| stays(lane)).map(|(ix, _)| ix).collect();
    take(fleet, id, &taken)
}

/// Something is to come in the direction that the rollout has.
fn goes_on(phase: Phase, turned: bool) -> bool {
    match phase {
        Phase::Waiting | Phase::Ready | Phase::Leased => !turned,
        Phase::UndoReady | Phase::UndoLeased => turned,
        Phase::Done
        | Phase::Failed
        | Phase::Stuck
        | Phase::Undone
        | Phase::Residual
        | Phase::Waived => false,
    }
}

/// It has the targets of these lanes.
fn take(fleet: &mut Fleet, id: RolloutId, lanes: &[LaneIx]) -> Result<(), Impossible> {
    let state = state_mut(fleet, id)?;
    let (trial, turned) = (state.trial(), state.turned);
    let known = |ix: &LaneIx| {
        let lane = state.lanes.get(*ix)?;
        Some((lane.target, *ix, goes_on(lane.phase, turned)))
    };
    let taken: Vec<_> = lanes.iter().filter_map(known).collect();
    for (target, lane, goes_on) in taken {
        if let Some(mut target) = fleet.targets.get_mut(target) {
            target.lane = Some((id, lane));
            // Others may have worked since on what stays as it is.
            let newer = !goes_on && target.last.is_some_and(|(last, _)| last > id);
            target.last = if trial || newer { target.last } else { target.lane };
        }
    }
    Ok(())
}

pub(super) fn wave_started(
    fleet: &mut Fleet,
    id: RolloutId,
    wave: WaveIx,
) -> Result<(), Impossible> {
    let state = state_mut(fleet, id)?;
    state.opened = wave.0 + 1;
    if !state.plan.stages.is_empty() {
        return super::stage::wave_started(fleet, id, wave);
    }
    // Lanes stand wave after wave.
    let before: usize = state
        .plan
        .waves
        .iter()
        .take(state.opened as usize - 1)
        .map(|wave| wave.targets.len())
        .sum();
    let count = state.plan.wave(wave).map_or(0, |wave| wave.targets.len());
    let planned = (before..before + count).map(|ix| LaneIx(u32::try_from(ix).unwrap_or(u32::MAX)));
    let lanes: Vec<LaneIx> = planned.chain(state.late_lanes()).collect();
    for ix in lanes {
        if state.lanes.get(ix).is_none_or(|lane| lane.wave != wave) {
            continue;
        }
        state.change(ix, |lane, _| {
            if lane.phase == Phase::Waiting {
                lane.phase = Phase::Ready;
            }
        });
    }
    Ok(())
}

pub(super) fn paused(
    fleet: &mut Fleet,
    id: RolloutId,
    (reason, stop): (&str, Stop),
) -> Result<(), Impossible> {
    let now = fleet.fence(fleet.seq);
    let state = state_mut(fleet, id)?;
    state.status = Status::Paused;
    state.stopping = stop != Stop::AfterLegs;
    state.at_batch = stop == Stop::BehindBatches;
    if state.at_batch {
        state.batches_left = now;
    }
    state.again.clear();
    reason.clone_into(&mut state.reason);
    Ok(())
}

pub(super) fn resumed(fleet: &mut Fleet, id: RolloutId) -> Result<(), Impossible> {
    let state = state_mut(fleet, id)?;
    state.status = if state.turned { Status::Unwinding } else { Status::Running };
    state.stopping = false;
    state.at_batch = false;
    state.aborted = None;
    state.gate_failed = None;
    state.step_gates_failed.clear();
    state.reason.clear();
    state.ended_at = Millis(0);
    let again: Vec<(LaneIx, Phase)> = state
        .lanes
        .iter()
        .filter_map(|(ix, lane)| match lane.phase {
            Phase::Failed | Phase::Stuck if !state.turned => Some((ix, Phase::Ready)),
            Phase::Residual if lane.may_be_undone() => Some((ix, Phase::UndoReady)),
            Phase::Waiting
            | Phase::Ready
            | Phase::Leased
            | Phase::Done
            | Phase::Failed
            | Phase::Stuck
            | Phase::UndoReady
            | Phase::UndoLeased
            | Phase::Undone
            | Phase::Residual
            | Phase::Waived => None,
        })
        .collect();
    state.again.clear();
    for (ix, phase) in again {
        try_again(state, ix, phase);
    }
    fleet.active.insert(id);
    take_targets(fleet, id)?;
    super::late::look_around(fleet, id)
}

/// The lanes of some of a rollout's targets. Started rollouts have their targets; before that, and after
/// the end, all lanes are looked through once.
pub(super) fn lanes_of(
    fleet: &Fleet,
    id: RolloutId,
    targets: &[&TargetId],
) -> Result<Vec<LaneIx>, Impossible> {
    let state = fleet.rollouts.get(&id);
    let state = state.ok_or_else(|| Impossible(format!("{id} does not exist")))?;
    let all = std::cell::LazyCell::new(|| -> BTreeMap<TargetIx, LaneIx> {
        state.lanes.iter().map(|(ix, lane)| (lane.target, ix)).collect()
    });
    targets
        .iter()
        .map(|target| {
            let ix = target_ix(fleet, target)?;
            let held = fleet.targets.get(ix).and_then(|target| target.lane);
            let held = held.filter(|(rollout, _)| *rollout == id).map(|(_, lane)| lane);
            held.or_else(|| all.get(&ix).copied())
                .ok_or_else(|| Impossible(format!("{target} is not part of {id}")))
        })
        .collect()
}

pub(super) fn try_again(state: &mut State, ix: LaneIx, phase: Phase) {
    // A repair, or a stage that it had gone ahead to, may have left it with nothing to do in this one.
    let whole = state.lanes.get(ix).is_some_and(|lane| state.is_whole(lane));
    state.change(ix, |lane, _| {
        let forward = matches!(phase, Phase::Ready | Phase::Waiting);
        lane.phase = if forward && whole { Phase::Done } else { phase };
        lane.attempt = 0;
        lane.not_before = Millis(0);
        lane.note = None;
    });
}

/// What it goes on with is of another stage, where nothing of a step stands half: a backup covers a leg.
pub(super) fn begins_another_leg(lane: &mut Lane) {
    if !lane.partly && lane.applied == lane.verified {
        let before = lane.archive.take().map(|archive| Box::new(archive.fingerprint));
        lane.first = lane.first.take().or(before);
    }
}

/// Those of these lanes that were left out of a rollout, and whose targets it has no more.
fn let_go(fleet: &Fleet, id: RolloutId, lanes: &[LaneIx]) -> BTreeSet<LaneIx> {
    let lane = |ix: &LaneIx| fleet.rollouts.get(&id)?.lanes.get(*ix);
    let is_let_go = |ix: &&LaneIx| {
        let waived = lane(ix).filter(|lane| lane.phase == Phase::Waived);
        let target = waived.and_then(|lane| fleet.targets.get(lane.target));
        target.is_some_and(|target| target.lane.is_none())
    };
    lanes.iter().filter(is_let_go).copied().collect()
}

/// Failed targets are tried again, and nothing else moves that did not move before.
pub(super) fn retried(
    fleet: &mut Fleet,
    id: RolloutId,
    targets: &[TargetId],
) -> Result<(), Impossible> {
    let chosen = lanes_of(fleet, id, &targets.iter().collect::<Vec<_>>())?;
    let let_go = let_go(fleet, id, &chosen);
    let state = state_mut(fleet, id)?;
    let ended = state.status.ended();
    if ended {
        state.status = if state.turned { Status::Unwinding } else { Status::Running };
        state.reason.clear();
        state.ended_at = Millis(0);
    }
    let phase = if state.turned { Phase::UndoReady } else { Phase::Ready };
    // Those of before are tried still, unless it had ended since.
    if ended {
        state.again.clear();
    }
    for ix in chosen.iter().copied() {
        // Who was let go may have been taken back before it was left out.
        if let_go.contains(&ix) {
            state.change(ix, |lane, _| lane.begin_anew(false));
        }
        try_again(state, ix, phase);
        state.look_ahead(ix);
        let known = state.lanes.get(ix).map(|lane| (lane.target, lane.wave));
        let Some((target, lane_wave)) = known else { continue };
        state.exempt.remove(&target);
        state.again.insert(target, ix);
        let stage = state.plan.stage_of(lane_wave);
        if !state.turned && stage < state.stage() {
            state.change(ix, |lane, _| begins_another_leg(lane));
        }
    }
    // Nobody is at work who was to stop.
    state.stopping = false;
    if ended {
        fleet.active.insert(id);
        take_targets(fleet, id)?;
        super::late::look_around(fleet, id)?;
    }
    // Who was left out and let go is its again.
    take(fleet, id, &chosen)
}

/// The rollout goes on without these targets. While it goes on it keeps those that have a lane from others.
pub(super) fn skipped(
    fleet: &mut Fleet,
    id: RolloutId,
    targets: &[TargetId],
    exempt: &Exempt,
) -> Result<(), Impossible> {
    let mut with_lane = Vec::new();
    for target in targets {
        let ix = target_ix(fleet, target)?;
        let state = state_mut(fleet, id)?;
        state.exempt.insert(ix, exempt.clone());
        super::gate::left_out(fleet, id, ix)?;
        let state = state_mut(fleet, id)?;
        if state.awaited.remove(&ix).is_none() {
            with_lane.push(target);
        }
    }
    let chosen = lanes_of(fleet, id, &with_lane)?;
    leave_out(fleet, id, &chosen, exempt)
}

/// Lanes that the rollout goes on without, and of which nobody carries out a leg.
pub(super) fn leave_out(
    fleet: &mut Fleet,
    id: RolloutId,
    lanes: &[LaneIx],
    exempt: &Exempt,
) -> Result<(), Impossible> {
    let state = state_mut(fleet, id)?;
    let mut unseen = Vec::new();
    for ix in lanes.iter().copied() {
        state.change(ix, |lane, _| {
            // Its last executor vanished, and may have had effects that nobody told.
            unseen.extend((lane.doubt || in_the_middle(lane)).then_some(lane.target));
            lane.phase = Phase::Waived;
            lane.unwind = false;
            lane.note = Some(format!("left out by {}: {}", exempt.by, exempt.reason).into());
        });
        state.look_ahead(ix);
        let target = state.lanes.get(ix).map(|lane| lane.target);
        if let Some(exempt) = target.and_then(|target| state.exempt.get_mut(&target)) {
            exempt.lane = Some(ix);
        }
    }
    let now = fleet.fence(fleet.seq);
    for ix in unseen {
        if let Some(mut target) = fleet.targets.get_mut(ix).filter(|target| target.doubt.is_none())
        {
            target.problem = format!("{id} went on without it in the middle of a step");
            target.doubt = Some(Doubt::Leg(now));
        }
    }
    Ok(())
}

pub(super) fn rollback_started(
    fleet: &mut Fleet,
    id: RolloutId,
    (cause, breach): (&str, bool),
    targets: &[Unwind],
) -> Result<(), Impossible> {
    let named: Vec<&TargetId> = targets.iter().map(|unwind| &unwind.target).collect();
    let lanes = lanes_of(fleet, id, &named)?;
    super::gate::forget(fleet, id)?;
    let state = state_mut(fleet, id)?;
    state.status = Status::Unwinding;
    state.turned = true;
    state.stopping = false;
    state.aborted = None;
    state.soaking_since = None;
    state.again.clear();
    state.arrived.clear();
    state.ended_at = Millis(0);
    cause.clone_into(&mut state.reason);
    let (plan, late) = (Arc::clone(&state.plan), Arc::clone(&state.late));
    for (lane, unwind) in lanes.into_iter().zip(targets) {
        state.change(lane, |lane, _| {
            lane.keep = unwind.keep;
            lane.attempt = 0;
            lane.not_before = Millis(0);
            lane.unwind = true;
            lane.breach = breach;
            if !unwind.blocked_by.is_empty() {
                lane.blocked_by = Some(unwind.blocked_by.as_str().into());
            }
            if lane.fence.is_none() {
                super::leg::turn(lane, class_of(&plan, &late, lane.class));
            }
        });
    }
    fleet.active.insert(id);
    take_targets(fleet, id)
}

pub(super) fn ended(
    fleet: &mut Fleet,
    id: RolloutId,
    status: Status,
    reason: &str,
    at: Millis,
) -> Result<(), Impossible> {
    super::gate::forget(fleet, id)?;
    let state = state_mut(fleet, id)?;
    state.status = status;
    state.ended_at = at;
    state.stopping = false;
    state.arrived.clear();
    let given_up = state.aborted.take().is_some();
    // Whoever begins to serve a target before it is resumed has to find its lane then.
    state.touch_all();
    if !reason.is_empty() {
        reason.clone_into(&mut state.reason);
    }
    let targets: Vec<_> = state
        .lanes
        .iter()
        .map(|(_, lane)| {
            (lane.target, lane.partly || lane.doubt || given_up && in_the_middle(lane))
        })
        .collect();
    let now = fleet.fence(fleet.seq);
    for (ix, unclear) in targets {
        if let Some(mut target) = fleet.targets.get_mut(ix)
            && target.lane.is_some_and(|(rollout, _)| rollout == id)
        {
            target.lane = None;
            if unclear && target.doubt.is_none() {
                let ended = if given_up { "was given up" } else { "ended" };
                target.problem = format!("{id} {ended} in the middle of its steps");
                target.doubt = Some(Doubt::Leg(now));
            }
        }
        super::late::came(fleet, ix);
    }
    fleet.active.remove(&id);
    Ok(())
}

/// Its last executor may have had effects that were never told, and nobody goes on with it.
fn in_the_middle(lane: &Lane) -> bool {
    match lane.phase {
        Phase::UndoReady | Phase::UndoLeased | Phase::Leased => true,
        Phase::Ready
        | Phase::Waiting
        | Phase::Done
        | Phase::Failed
        | Phase::Stuck
        | Phase::Undone
        | Phase::Residual
        | Phase::Waived => false,
    }
}
