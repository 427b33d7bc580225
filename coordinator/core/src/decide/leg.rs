//! Leases: given, and ended without a result.

use super::{rollout, target};
use crate::event::Body;
use crate::forecast;
use crate::hours;
use crate::ids::{AgentId, Fence, Millis, RolloutId, TargetId};
use crate::refusal::{Kind, Refusal};
use crate::room;
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase, Status};

pub(super) fn assign(
    fleet: &Fleet,
    id: RolloutId,
    (target_id, agent): (&TargetId, &AgentId),
    now: Millis,
) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    let (ix, target) = target(fleet, target_id)?;
    let lane = fleet.lane(ix).filter(|(held, _)| held.id == id).map(|(_, lane)| lane);
    let again = |lane: &Lane| state.again(lane.target);
    let fits = lane.is_some_and(|lane| match lane.phase {
        Phase::Ready => state.status == Status::Running && !state.breached() || again(lane),
        Phase::UndoReady => state.status == Status::Unwinding || again(lane),
        Phase::Waiting
        | Phase::Leased
        | Phase::Done
        | Phase::Failed
        | Phase::Stuck
        | Phase::UndoLeased
        | Phase::Undone
        | Phase::Residual
        | Phase::Waived => false,
    });
    // Nobody would find anything to do in it.
    let steps = lane.is_some_and(|lane| lane.phase != Phase::Ready || !state.is_whole(lane));
    let due = lane.is_some_and(|lane| lane.not_before <= now);
    let held = lane.is_some_and(|lane| lane.held.is_some());
    let room = state.leased() < state.parallelism() && room::is_left(fleet, state, target);
    // A rollback of before is a change, too.
    let frozen = hours::frozen(fleet, target, now).is_some();
    let fits = fits && steps && due && room && !held && !frozen;
    match lane {
        Some(lane) if fits && target.lease.is_none() && target.agents.contains(agent) => {
            Ok(vec![Body::LegAssigned {
                rollout: id,
                target: target_id.clone(),
                agent: agent.clone(),
                kind: state.leg_kind(lane),
            }])
        }
        Some(_) | None => Err(Refusal::new(
            Kind::Conflict,
            format!("target {target_id} is not ready for a leg of {id}"),
            "the scheduler asks again",
        )),
    }
}

pub(super) fn expire(
    fleet: &Fleet,
    target_id: &TargetId,
    fence: Fence,
    why: &str,
) -> Result<Vec<Body>, Refusal> {
    let (_, target) = target(fleet, target_id)?;
    let live = target.lease.as_ref().is_some_and(|lease| lease.fence == fence);
    if let Some((repair, _)) = target.mend.filter(|_| live) {
        return Ok(vec![super::repair::expire(target, repair, (fence, why))]);
    }
    match target.lane {
        Some((rollout, _)) if live => Ok(vec![Body::LeaseExpired {
            rollout,
            target: target_id.clone(),
            fence,
            why: why.to_owned(),
            released: false,
        }]),
        Some(_) | None => Ok(Vec::new()),
    }
}

/// A step under way has taken too long; nothing, where it has not, or its lease is another one by now.
pub(super) fn overran(
    fleet: &Fleet,
    id: &TargetId,
    fence: Fence,
    (held, now): (Millis, Millis),
) -> Vec<Body> {
    let ix = fleet.target(id).map(|(ix, _)| ix);
    let overrun = ix.and_then(|ix| forecast::overran(fleet, ix, held, now));
    let overrun = overrun.filter(|overrun| overrun.fence == fence);
    overrun.map(|it| Body::StepOverran { overrun: Box::new(it) }).into_iter().collect()
}
