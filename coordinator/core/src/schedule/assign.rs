//! Which ready lanes are handed to whom.

use std::collections::BTreeSet;

use super::{Next, Presence};
use crate::command::Command;
use crate::hours::Shut;
use crate::ids::{AgentId, LaneIx, Millis, RolloutId, WaveIx};
use crate::room::Room;
use crate::state::Fleet;
use crate::state::rollout::{Phase, Place, State, Status};

/// So far a tick looks into a queue whose head has no room, so that its cost does not grow with the fleet. What lies
/// behind is looked at in the ticks to come, part after part.
const LOOKED_AT: usize = 4_096;

/// How long one part is looked at, milliseconds.
const PART_MS: u64 = 1_000;

/// Free slots of connected agents, counted down as legs are given out.
pub(super) struct Free<'a> {
    presence: &'a Presence,
    slots: Vec<(&'a AgentId, u32)>,
    /// Targets given out in this answer: two agents may queue for one.
    taken: BTreeSet<(RolloutId, LaneIx)>,
}

impl<'a> Free<'a> {
    /// Agents that have a slot, with how many, to count them down.
    pub(super) fn slots(&mut self) -> impl Iterator<Item = (&'a AgentId, &mut u32)> {
        self.slots.iter_mut().map(|(agent, slots)| (*agent, slots))
    }

    pub(super) fn new(fleet: &Fleet, presence: &'a Presence) -> Self {
        let slots = presence
            .slots
            .iter()
            .filter_map(|(agent, slots)| {
                let held = fleet.agents.get(agent).map_or(0, |agent| agent.legs.len());
                let free = slots.saturating_sub(u32::try_from(held).unwrap_or(u32::MAX));
                (free > 0).then_some((agent, free))
            })
            .collect();
        Self { presence, slots, taken: BTreeSet::new() }
    }
}

/// Hands out the heads of the queues, agent after agent, as far as slots and parallelism go.
pub(super) fn legs<'a>(
    fleet: &'a Fleet,
    state: &State,
    (shut, free, room): (&Shut<'a>, &mut Free<'a>, &mut Room<'a>),
    next: &mut Next,
) {
    let mut left = state.parallelism().saturating_sub(state.leased());
    let wave = undo_wave(state);
    // In a rollout that is held back only what is tried again by itself goes on.
    let held = state.status == Status::Paused || (!state.turned && state.breached());
    let again: Option<BTreeSet<Place>> = held
        .then(|| state.again.values().filter_map(|lane| state.lanes.get(*lane)?.queued).collect());
    let Free { presence, slots, taken } = free;
    let queues = slots.iter_mut().filter(|(_, slots)| *slots > 0).filter_map(|(agent, slots)| {
        let queue = fleet.agents.get(*agent).and_then(|known| known.queues.get(&state.id))?;
        let own = |place: &&Place| again.is_none() || queue.contains(*place);
        let looked_at = again.as_ref().unwrap_or(queue);
        let places = looked_at.iter().filter(own).take(LOOKED_AT);
        let further = part(looked_at, (state, shut.now())).filter(own).take(LOOKED_AT);
        let places = places.chain(further);
        presence.may_have(state, agent).then_some((*agent, slots, places))
    });
    let mut queues: Vec<_> = queues.collect();
    let is_long = |agent: &AgentId| {
        let queue = fleet.agents.get(agent).and_then(|known| known.queues.get(&state.id));
        again.as_ref().or(queue).is_some_and(|queue| queue.len() > LOOKED_AT)
    };
    // One leg an agent and round, so that no agent takes everything. What had no room is not looked at
    // again: nothing opens within one answer.
    while left > 0 && !queues.is_empty() {
        queues.retain_mut(|(agent, slots, places)| {
            if left == 0 || **slots == 0 {
                return false;
            }
            for place in places {
                if wave.is_some_and(|wave| place.wave.0 != wave) {
                    return false;
                }
                if place.not_before > shut.now() {
                    next.wake(place.not_before);
                    return false;
                }
                if taken.contains(&(state.id, place.lane)) {
                    continue;
                }
                let lane = state.lanes.get(place.lane);
                let Some(target) = lane.and_then(|lane| fleet.targets.get(lane.target)) else {
                    continue;
                };
                if shut.closed(target).is_some() || room.full(state.id, target).is_some() {
                    continue;
                }
                room.take(state.id, target);
                taken.insert((state.id, place.lane));
                next.commands.push(Command::AssignLeg {
                    rollout: state.id,
                    target: target.id.clone(),
                    agent: (*agent).clone(),
                });
                **slots -= 1;
                left -= 1;
                return true;
            }
            // Nothing may happen that would let it ask again.
            if is_long(agent) {
                next.wake(Millis(shut.now().0 + PART_MS));
            }
            false
        });
    }
}

/// The part of a long queue that is looked at now besides its head: each has its turn.
fn part<'q>(
    queue: &'q BTreeSet<Place>,
    (state, now): (&State, Millis),
) -> impl Iterator<Item = &'q Place> + use<'q> {
    let head = queue.first().filter(|_| queue.len() > LOOKED_AT);
    let parts = state.lanes.len().div_ceil(LOOKED_AT).max(1);
    let turn = usize::try_from(now.0 / PART_MS).unwrap_or_default() % parts;
    let lane = LaneIx(u32::try_from(turn * LOOKED_AT).unwrap_or_default());
    let from = head.map(|head| Place { lane, ..*head });
    from.into_iter().flat_map(|from| queue.range(from..))
}

/// Undoing goes wave by wave, the last one first: the one that is under way. `None` on the way
/// forward, where one wave is open at a time.
fn undo_wave(state: &State) -> Option<WaveIx> {
    let undoing = state.total.of(Phase::UndoReady) + state.total.of(Phase::UndoLeased);
    if undoing == 0 {
        return None;
    }
    let waves = u32::try_from(state.plan.waves.len()).unwrap_or(u32::MAX);
    // One that was closed again, to be opened anew, may have targets that are done.
    (0..waves).rev().map(WaveIx).find(|wave| {
        let counts = state.wave_counts(*wave);
        counts.of(Phase::UndoReady) + counts.of(Phase::UndoLeased) + counts.of(Phase::Leased) > 0
    })
}
