//! Gates of waves in an agent's hands: asked for a while, told again and again until the log has it.

use std::collections::BTreeMap;

use skein_core::command::{Command, Judgement};
use skein_core::ids::Fence;
use skein_core::outbox::asks_after;

use super::network::Message;
use super::{Happening, Sim};

/// What an agent asks.
pub(super) type Asks = BTreeMap<Fence, Ask>;

/// One gate.
#[derive(Debug)]
pub(super) struct Ask {
    /// When it is decided.
    due: u64,
    judgement: Judgement,
}

impl Sim {
    /// Gates that are durable, and that the agent does not have.
    pub(super) fn hand_out_asks(&mut self, agent: usize, life: u32) {
        let durable = self.leader.applied.seq.0;
        let id = &self.agents[agent].id;
        if self.leader.ahead.agents.get(id).is_none_or(|known| known.asks.is_empty()) {
            return;
        }
        let mut asks = asks_after(&self.leader.ahead, id, Fence(0));
        asks.retain(|ask| {
            ask.fence.0 < durable && !self.agents[agent].asks.contains_key(&ask.fence)
        });
        if !asks.is_empty() {
            let asks = asks.into_iter().map(|ask| (ask.fence, ask.for_ms)).collect();
            self.send(Message::Asks { agent, life, asks });
        }
    }

    /// An agent is handed gates. Being handed one twice changes nothing.
    pub(super) fn asked(&mut self, agent: usize, life: u32, asks: Vec<(Fence, u64)>) {
        if !self.awake(agent, life) {
            return;
        }
        let (now, healed) = (self.now, self.healed);
        let state = &mut self.agents[agent];
        for (fence, long) in asks {
            let dice = &mut state.dice;
            state.asks.entry(fence).or_insert_with(|| {
                let passed = healed || dice.chance(850);
                let inconclusive = !passed && dice.chance(500);
                let due = now + long + dice.between(1, 400);
                let measured = if passed { "0" } else { "3" }.to_owned();
                Ask { due, judgement: Judgement { passed, inconclusive, measured } }
            });
        }
        self.at(500, Happening::Judge { agent, life });
    }

    /// Tells what is decided; what nobody waits for any more is forgotten.
    pub(super) fn judge(&mut self, agent: usize, life: u32) {
        if !self.agents[agent].up || self.agents[agent].life != life {
            return;
        }
        let live = self.leader.applied.agents.get(&self.agents[agent].id);
        let live = live.map(|known| known.asks.keys().copied().collect::<Vec<_>>());
        let live = live.unwrap_or_default();
        let (now, up) = (self.now, self.leader.up);
        let state = &mut self.agents[agent];
        // It hears of that with what it is told next.
        state.asks.retain(|fence, _| !up || live.contains(fence));
        if state.asks.is_empty() {
            return;
        }
        self.at(500, Happening::Judge { agent, life });
        if !self.awake(agent, life) {
            return;
        }
        let asks = self.agents[agent].asks.iter().filter(|(_, ask)| ask.due <= now);
        let told: Vec<(Fence, Judgement)> =
            asks.map(|(fence, ask)| (*fence, ask.judgement.clone())).collect();
        for (fence, judgement) in told {
            self.send(Message::Judged { agent, life, fence, judgement });
        }
    }

    pub(super) fn judged(&mut self, agent: usize, life: u32, told: (Fence, Judgement)) {
        if !self.leader.up || self.leader.heard.get(&agent).is_some_and(|(known, _)| *known > life)
        {
            return;
        }
        let (actor, id) = (self.agents[agent].actor(), self.agents[agent].id.clone());
        let (fence, judgement) = told;
        self.urge(&actor, Command::JudgeGate { agent: id, fence, judgement });
        self.schedule();
    }

    /// Who was not heard of asks no more.
    pub(super) fn release_asks(&mut self) {
        let mut over = Vec::new();
        for (number, agent) in self.agents.iter().enumerate() {
            if self.leader.heard.contains_key(&number) {
                continue;
            }
            let known = self.leader.ahead.agents.get(&agent.id);
            let fences = known.into_iter().flat_map(|known| known.asks.keys());
            over.extend(fences.map(|fence| (agent.id.clone(), *fence)));
        }
        for (agent, fence) in over {
            let why = "not heard of".to_owned();
            self.urge(super::leader::SCHEDULER, Command::ReleaseGate { agent, fence, why });
        }
    }
}
