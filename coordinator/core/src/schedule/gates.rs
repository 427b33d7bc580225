//! Which asks of a wave are handed to whom.

use std::collections::{BTreeMap, BTreeSet};

use super::{Next, Presence};
use crate::command::Command;
use crate::ids::AgentId;
use crate::state::Fleet;
use crate::state::gate::{Ask, Round};
use crate::state::rollout::State;

/// Asks in one agent's hands at one time. It puts few of them at once; the others wait there.
const HELD_MAX: usize = 4_096;
/// So far a tick looks along what waits, and along a wave for somebody who serves a target of it.
const LOOKED_AT: usize = 4_096;

/// Hands out what waits, as far as agents are there for it.
pub(super) fn asks(fleet: &Fleet, state: &State, presence: &Presence, next: &mut Next) {
    let Some(round) = &state.round else { return };
    if round.waiting.is_empty() {
        return;
    }
    let mut free: BTreeMap<&AgentId, usize> = BTreeMap::new();
    for agent in presence.gates.keys().filter(|agent| presence.slots.contains_key(*agent)) {
        let held = fleet.agents.get(agent).map_or(0, |agent| agent.asks.len());
        if held < HELD_MAX {
            free.insert(agent, HELD_MAX - held);
        }
    }
    let mut anywhere = None;
    for number in round.waiting.iter().take(LOOKED_AT) {
        if free.is_empty() {
            return;
        }
        let Some(ask) = round.ask(*number) else { continue };
        let chosen = match ask.target {
            Some(_) => candidates(fleet, presence, state, (round, ask)).into_iter().next(),
            None => anywhere
                .get_or_insert_with(|| serving(fleet, presence, state, round))
                .iter()
                .copied()
                .find(|agent| knows(presence, state, ask, agent)),
        };
        let Some(agent) = chosen.filter(|agent| free.contains_key(*agent)) else { continue };
        if let Some(left) = free.get_mut(agent) {
            *left -= 1;
            if *left == 0 {
                free.remove(agent);
            }
        }
        let (rollout, agent) = (state.id, agent.clone());
        next.commands.push(Command::AskGate { rollout, ask: *number, agent });
    }
}

/// Who is connected and could put a question now.
pub(super) fn candidates<'a>(
    fleet: &'a Fleet,
    presence: &'a Presence,
    state: &State,
    (round, ask): (&Round, &Ask),
) -> Vec<&'a AgentId> {
    let agents: Vec<&AgentId> = match ask.target {
        Some(ix) => fleet.targets.get(ix).map(|it| it.agents.iter().collect()).unwrap_or_default(),
        None => serving(fleet, presence, state, round).into_iter().collect(),
    };
    agents.into_iter().filter(|agent| knows(presence, state, ask, agent)).collect()
}

fn knows(presence: &Presence, state: &State, ask: &Ask, agent: &AgentId) -> bool {
    let source = state.gate(ask.gate).and_then(|gate| gate.question.source());
    let known = presence.gates.get(agent).filter(|_| presence.slots.contains_key(agent));
    known.is_some_and(|known| source.is_none_or(|source| known.contains(source)))
}

/// Connected agents that serve a target of the wave.
fn serving<'a>(
    fleet: &'a Fleet,
    presence: &Presence,
    state: &State,
    round: &Round,
) -> BTreeSet<&'a AgentId> {
    let lanes = state.lanes_of(round.wave).take(LOOKED_AT);
    let agents = lanes.filter_map(|lane| fleet.targets.get(lane.target));
    let agents = agents.flat_map(|target| target.agents.iter());
    agents.filter(|agent| presence.gates.contains_key(*agent)).collect()
}
