//! Repairs: who changes which ledger, and what the log takes to be in force afterwards.

use std::sync::Arc;

use super::{Impossible, target_ix};
use crate::event::Event;
use crate::ids::{AgentId, Fence, RepairId, Seq, TargetId, TargetIx};
use crate::plan::Class;
use crate::spec::Direction;
use crate::state::Fleet;
use crate::state::ledger::{Entry, EntryIx};
use crate::state::repair::{Evidence, Line, Order, Phase, State, Verb};
use crate::state::rollout::{self, Status};
use crate::state::target::{Doubt, Lease, Observation, Seen, Unadopted};

pub(super) fn ordered(
    fleet: &mut Fleet,
    id: RepairId,
    order: &Order,
    event: &Event,
) -> Result<(), Impossible> {
    let mut lines = Vec::with_capacity(order.targets.len());
    for ((target, class), number) in order.targets.iter().zip(0..) {
        let ix = target_ix(fleet, target)?;
        lines.push(Line {
            target: ix,
            class: *class,
            phase: Phase::Waiting,
            fence: None,
            doubt: false,
            evidence: Vec::new(),
            note: Box::default(),
        });
        if let Some(mut target) = fleet.targets.get_mut(ix)
            && target.mend.replace((id, number)).is_some()
        {
            return Err(Impossible(format!("{} is repaired twice at one time", target.id)));
        }
        queue(fleet, ix, true);
    }
    let state = State {
        id,
        order: Arc::new(order.clone()),
        open: u32::try_from(lines.len()).unwrap_or(u32::MAX),
        lines,
        by: event.actor.clone(),
        at: event.at,
        request: event.request.map(|(id, _)| id),
    };
    if fleet.repairs.insert(id, state).is_some() {
        return Err(Impossible(format!("{id} is ordered a second time")));
    }
    Ok(())
}

/// Everybody who serves a target has it among what waits, or nobody.
fn queue(fleet: &mut Fleet, ix: TargetIx, waits: bool) {
    let Some(target) = fleet.targets.get(ix) else { return };
    for agent in target.agents.iter() {
        let Some(agent) = fleet.agents.get_mut(agent) else { continue };
        if waits {
            agent.mends.insert(ix);
        } else {
            agent.mends.remove(&ix);
        }
    }
}

/// An agent has begun to serve a target whose ledger may wait for somebody.
pub(super) fn joined(fleet: &mut Fleet, agent: &AgentId, ix: TargetIx) {
    let waits = line(fleet, ix).is_some_and(|line| line.phase == Phase::Waiting);
    if let Some(agent) = fleet.agents.get_mut(agent).filter(|_| waits) {
        agent.mends.insert(ix);
    }
}

/// An agent serves a target no more: its ledger waits for the others alone.
pub(super) fn left(fleet: &mut Fleet, agent: &AgentId, ix: TargetIx) {
    if let Some(agent) = fleet.agents.get_mut(agent) {
        agent.mends.remove(&ix);
    }
}

fn line(fleet: &Fleet, ix: TargetIx) -> Option<&Line> {
    let (repair, line) = fleet.targets.get(ix)?.mend?;
    fleet.repairs.get(&repair)?.lines.get(usize::try_from(line).ok()?)
}

fn line_mut(
    fleet: &mut Fleet,
    repair: RepairId,
    target: &TargetId,
) -> Result<(TargetIx, u32), Impossible> {
    let ix = target_ix(fleet, target)?;
    match fleet.targets.get(ix).and_then(|target| target.mend) {
        Some((held, line)) if held == repair => Ok((ix, line)),
        Some(_) | None => Err(Impossible(format!("{target} is not in the hands of {repair}"))),
    }
}

fn change(fleet: &mut Fleet, repair: RepairId, number: u32, change: impl FnOnce(&mut Line)) {
    let Some(state) = fleet.repairs.get_mut(&repair) else { return };
    let Some(line) = usize::try_from(number).ok().and_then(|ix| state.lines.get_mut(ix)) else {
        return;
    };
    let was_open = is_open(line.phase);
    change(line);
    if was_open && !is_open(line.phase) {
        state.open = state.open.saturating_sub(1);
    }
}

fn is_open(phase: Phase) -> bool {
    match phase {
        Phase::Waiting | Phase::Leased => true,
        Phase::Mended | Phase::Failed => false,
    }
}

pub(super) fn assigned(
    fleet: &mut Fleet,
    seq: Seq,
    repair: RepairId,
    (target, agent): (&TargetId, &AgentId),
) -> Result<(), Impossible> {
    let fence = fleet.fence(seq);
    let (ix, number) = line_mut(fleet, repair, target)?;
    if let Some(mut target) = fleet.targets.get_mut(ix) {
        if target.lease.is_some() {
            return Err(Impossible(format!("{} is leased twice", target.id)));
        }
        target.lease = Some(Lease { fence, agent: agent.clone(), heavy: false });
    }
    queue(fleet, ix, false);
    fleet.agents.entry(agent.clone()).or_default().legs.insert(fence, ix);
    change(fleet, repair, number, |line| {
        line.phase = Phase::Leased;
        line.fence = Some(fence);
    });
    Ok(())
}

/// The lease of a line ends, if it has one.
fn end(
    fleet: &mut Fleet,
    (repair, number): (RepairId, u32),
    ix: TargetIx,
    settle: impl FnOnce(&mut Line),
) {
    let at = fleet.seq;
    let lease = fleet.targets.get_mut(ix).and_then(|mut target| {
        target.worked_on = Some(at);
        target.lease.take()
    });
    if let Some(lease) = lease
        && let Some(agent) = fleet.agents.get_mut(&lease.agent)
    {
        agent.legs.remove(&lease.fence);
    }
    change(fleet, repair, number, |line| {
        line.fence = None;
        settle(line);
    });
    let waits = line(fleet, ix).is_some_and(|line| line.phase == Phase::Waiting);
    queue(fleet, ix, waits);
    if let Some(mut target) = fleet.targets.get_mut(ix).filter(|_| !waits) {
        target.mend = None;
    }
    super::late::came(fleet, ix);
}

fn leased(
    fleet: &mut Fleet,
    repair: RepairId,
    target: &TargetId,
    fence: Fence,
) -> Result<(TargetIx, u32), Impossible> {
    let (ix, number) = line_mut(fleet, repair, target)?;
    let lease = fleet.targets.get(ix).and_then(|target| target.lease.as_ref());
    if lease.is_some_and(|lease| lease.fence == fence) {
        return Ok((ix, number));
    }
    Err(Impossible(format!("{target} is not leased under fence {fence}")))
}

pub(super) fn released(
    fleet: &mut Fleet,
    repair: RepairId,
    target: &TargetId,
    (fence, why): (Fence, &str),
) -> Result<(), Impossible> {
    let (ix, number) = leased(fleet, repair, target, fence)?;
    end(fleet, (repair, number), ix, |line| {
        line.phase = Phase::Waiting;
        line.doubt = true;
        line.note = why.into();
    });
    Ok(())
}

pub(super) fn failed(
    fleet: &mut Fleet,
    repair: RepairId,
    target: &TargetId,
    (fence, why, doubt): (Fence, &str, bool),
) -> Result<(), Impossible> {
    let (ix, number) = leased(fleet, repair, target, fence)?;
    if doubt {
        in_doubt(fleet, repair, ix, why);
    }
    unadopted(fleet, (repair, number), ix);
    end(fleet, (repair, number), ix, |line| {
        line.phase = Phase::Failed;
        line.note = why.into();
    });
    Ok(())
}

/// Whoever would order it again by itself has to know that it came to nothing, and what was there then.
fn unadopted(fleet: &mut Fleet, (repair, line): (RepairId, u32), ix: TargetIx) {
    if fleet.repairs.get(&repair).is_none_or(|state| state.order.verb != Verb::Adopt) {
        return;
    }
    if let Some(mut target) = fleet.targets.get_mut(ix) {
        let schema = target.fingerprint;
        target.unadopted = Some(Box::new(Unadopted { repair, line, schema }));
    }
}

/// What is in the ledger nobody knows before the next look.
fn in_doubt(fleet: &mut Fleet, repair: RepairId, ix: TargetIx, why: &str) {
    let now = fleet.fence(fleet.seq);
    if let Some(mut target) = fleet.targets.get_mut(ix) {
        target.problem = format!("{repair} ended in doubt: {why}");
        target.doubt = Some(Doubt::Leg(now));
    }
}

pub(super) fn withdrawn(
    fleet: &mut Fleet,
    repair: RepairId,
    reason: &str,
) -> Result<(), Impossible> {
    let Some(state) = fleet.repairs.get(&repair) else {
        return Err(Impossible(format!("{repair} does not exist")));
    };
    let waiting: Vec<(u32, TargetIx, bool)> = (0..)
        .zip(&state.lines)
        .filter(|(_, line)| line.phase == Phase::Waiting)
        .map(|(number, line)| (number, line.target, line.doubt))
        .collect();
    for (number, ix, doubt) in waiting {
        if doubt {
            in_doubt(fleet, repair, ix, reason);
        }
        unadopted(fleet, (repair, number), ix);
        end(fleet, (repair, number), ix, |line| {
            line.phase = Phase::Failed;
            line.note = format!("withdrawn: {reason}").into();
        });
    }
    Ok(())
}

/// The target's own ledger is the truth, and the log has it from here on.
pub(super) fn mended(
    fleet: &mut Fleet,
    repair: RepairId,
    target: &TargetId,
    (fence, seen, evidence, finding): (Fence, &Observation, &[Evidence], &str),
) -> Result<(), Impossible> {
    let (ix, number) = leased(fleet, repair, target, fence)?;
    let ledger: Vec<EntryIx> =
        seen.ledger.iter().map(|entry| fleet.entries.intern(entry)).collect();
    let engine = fleet.targets.get(ix).map(|target| target.description.engine);
    let known = engine.map(|engine| fleet.schemas.of(engine, &ledger)).unwrap_or_default();
    // Nobody has accepted a schema that others with these migrations do not have.
    let odd = known
        .first()
        .copied()
        .filter(|_| !known.contains(&seen.fingerprint) && !evidence.contains(&Evidence::Waiver));
    let free = fleet.targets.with_identity(&seen.identity).is_none_or(|holder| holder == ix);
    let Some(mut target) = fleet.targets.get_mut(ix) else {
        return Err(Impossible(format!("target {target} does not exist")));
    };
    target.seen = odd.map(|_| Seen {
        ledger: ledger.clone(),
        identity: seen.identity.clone(),
        fingerprint: seen.fingerprint,
    });
    target.ledger = ledger;
    target.fingerprint = Some(odd.unwrap_or(seen.fingerprint));
    target.engine_version.clone_from(&seen.engine_version);
    target.vouched |= evidence.contains(&Evidence::Waiver);
    target.sound();
    target.half = !seen.open_intent.is_empty();
    target.unadopted = None;
    finding.clone_into(&mut target.problem);
    let old = target.identity.clone();
    // A clone keeps its finding: the identity is another target's.
    if free && old != seen.identity {
        target.identity.clone_from(&seen.identity);
        drop(target);
        fleet.targets.release_identity(&old, ix);
        fleet.targets.claim_identity(&seen.identity, ix);
    } else {
        drop(target);
    }
    end(fleet, (repair, number), ix, |line| {
        line.phase = Phase::Mended;
        line.evidence = evidence.to_vec();
        line.note = Box::default();
    });
    lane_follows(fleet, repair, ix);
    Ok(())
}

/// The last rollout of the target, where it has halted, finds its steps where the ledger has them, so that
/// it can be resumed. Not one that has taken no backup there: it would undo what it has no archive for.
fn lane_follows(fleet: &mut Fleet, repair: RepairId, ix: TargetIx) {
    let Some((rollout, lane)) = fleet.targets.get(ix).and_then(|target| target.last) else {
        return;
    };
    if fleet.rollouts.get(&rollout).is_none_or(|state| state.status != Status::Halted) {
        return;
    }
    let ledger: Vec<Entry> = fleet
        .targets
        .get(ix)
        .map(|target| fleet.entries.spell(&target.ledger).cloned().collect())
        .unwrap_or_default();
    let Some(state) = fleet.rollouts.get_mut(&rollout) else { return };
    let begun = state.lanes.get(lane).filter(|lane| lane.archive.is_some());
    let class = begun.and_then(|lane| state.class(lane));
    let Some(reached) = class.and_then(|class| reached(class, &ledger)) else { return };
    let done = begun.is_some_and(|lane| reached >= state.end(lane));
    let turned = state.turned;
    let class = class.cloned();
    state.change(lane, |lane, progress| {
        progress.applied += u64::from(reached.saturating_sub(lane.applied));
        progress.undone += u64::from(lane.applied.saturating_sub(reached));
        progress.verified += u64::from(reached.saturating_sub(lane.verified));
        (lane.applied, lane.verified) = (reached, reached);
        (lane.partly, lane.doubt) = (false, false);
        if !turned && reached >= lane.covered {
            super::rollout::begins_another_leg(lane);
        }
        if turned {
            super::leg::stop_at_wall(lane, class.as_ref());
        }
        lane.note = Some(format!("its ledger was set right by {repair}").into());
        let open = match lane.phase {
            rollout::Phase::Failed
            | rollout::Phase::Stuck
            | rollout::Phase::Ready
            | rollout::Phase::Waiting => !turned,
            rollout::Phase::Residual | rollout::Phase::UndoReady => turned,
            rollout::Phase::Leased
            | rollout::Phase::Done
            | rollout::Phase::UndoLeased
            | rollout::Phase::Undone
            | rollout::Phase::Waived => false,
        };
        if open && !turned && done {
            lane.phase = rollout::Phase::Done;
        } else if open && turned && lane.applied <= lane.keep {
            lane.phase = super::leg::settled(lane);
        }
    });
    super::queue::follow(fleet, rollout);
}

/// How many steps of a class a ledger has, if it has just those.
fn reached(class: &Class, ledger: &[Entry]) -> Option<u32> {
    let mut stands: Vec<&Entry> = class.before.iter().collect();
    let mut found = stands.iter().copied().eq(ledger).then_some(0);
    for (step, count) in class.steps.iter().zip(1..) {
        match step.direction {
            Direction::Up => stands.push(&step.entry),
            Direction::Down => stands.retain(|entry| entry.version != step.entry.version),
            Direction::Validate => {}
        }
        if stands.iter().copied().eq(ledger) {
            found = Some(count);
        }
    }
    found
}
