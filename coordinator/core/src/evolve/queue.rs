//! Keeps the agents' queues equal to what the lanes say.

use crate::ids::{AgentId, LaneIx, RolloutId, TargetIx};
use crate::state::Fleet;
use crate::state::rollout::Place;

/// Every lane that the event has touched gets the place that it should have.
pub(super) fn follow(fleet: &mut Fleet, rollout: RolloutId) {
    let Some(state) = fleet.rollouts.get_mut(&rollout) else { return };
    for lane in std::mem::take(&mut state.touched) {
        requeue(fleet, rollout, lane);
    }
}

fn requeue(fleet: &mut Fleet, rollout: RolloutId, ix: LaneIx) {
    let Some(state) = fleet.rollouts.get_mut(&rollout) else { return };
    let Some((target, old, new)) = state.requeue(ix) else { return };
    if old == new {
        return;
    }
    let Some(target) = fleet.targets.get(target) else { return };
    for agent in target.agents.iter() {
        let Some(agent) = fleet.agents.get_mut(agent) else { continue };
        let queue = agent.queues.entry(rollout).or_default();
        if let Some(old) = old {
            queue.remove(&old);
        }
        if let Some(new) = new {
            queue.insert(new);
        }
        if queue.is_empty() {
            agent.queues.remove(&rollout);
        }
    }
}

/// An agent has begun to serve a target whose lane may be waiting for somebody.
pub(super) fn joined(fleet: &mut Fleet, agent: &AgentId, target: TargetIx) {
    let Some((rollout, place)) = waiting(fleet, target) else { return };
    if let Some(agent) = fleet.agents.get_mut(agent) {
        agent.queues.entry(rollout).or_default().insert(place);
    }
}

/// An agent serves a target no more: its lane waits for the others alone.
pub(super) fn left(fleet: &mut Fleet, agent: &AgentId, target: TargetIx) {
    let Some((rollout, place)) = waiting(fleet, target) else { return };
    let Some(agent) = fleet.agents.get_mut(agent) else { return };
    if let Some(queue) = agent.queues.get_mut(&rollout) {
        queue.remove(&place);
        if queue.is_empty() {
            agent.queues.remove(&rollout);
        }
    }
}

fn waiting(fleet: &Fleet, target: TargetIx) -> Option<(RolloutId, Place)> {
    let (rollout, lane) = fleet.targets.get(target)?.lane?;
    let lane = fleet.rollouts.get(&rollout)?.lanes.get(lane)?;
    lane.queued.map(|place| (rollout, place))
}
