//! Gates of waves in an agent's hands: asked for a while, told again and again until the log has it.

use std::collections::BTreeMap;

use skein_core::command::{Command, Judgement};
use skein_core::ids::Fence;
use skein_core::outbox::{Ask as Given, asks_after};
use skein_core::spec::Question;

use super::coverage::Reach;
use super::mutation::Mutation;
use super::network::Message;
use super::{Happening, Sim};
use crate::observation::Seen;

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
            self.send(Message::Asks { agent, life, asks });
        }
    }

    /// An agent is handed gates. Being handed one twice changes nothing.
    pub(super) fn asked(&mut self, agent: usize, life: u32, asks: Vec<Given>) {
        if !self.awake(agent, life) {
            return;
        }
        let (now, healed) = (self.now, self.healed);
        for given in asks {
            if self.agents[agent].asks.contains_key(&given.fence) {
                continue;
            }
            let comparable = self.compares(&given);
            let dice = &mut self.agents[agent].dice;
            let passed = (healed || dice.chance(850)) && comparable;
            let inconclusive = !passed && dice.chance(500) || !comparable;
            let due = now + given.for_ms + dice.between(1, 400);
            let measured = if passed { "0" } else { "3" }.to_owned();
            let ask = Ask { due, judgement: Judgement { passed, inconclusive, measured } };
            self.agents[agent].asks.insert(given.fence, ask);
        }
        self.at(500, Happening::Judge { agent, life });
    }

    /// Holds what it measures against what was before; false: nothing was, and nobody can tell.
    fn compares(&mut self, given: &Given) -> bool {
        let Question::Latency(latency) = &given.gate.question else { return true };
        if !latency.compares() {
            return true;
        }
        let mut baseline = given.baseline.clone();
        if self.mutated(Mutation::ComparesWithAnother) {
            let rollout = self.leader.applied.rollouts.get(&given.rollout);
            let mut all = rollout.into_iter().flat_map(|rollout| rollout.baselines.values());
            let other = all.find(|other| ***other != *baseline);
            baseline = other.map_or(baseline, |other| other.to_vec());
        }
        if baseline.is_empty() {
            return false;
        }
        self.reach(Reach::Compared);
        self.see(Seen::Compared { fence: given.fence, baseline: &baseline });
        true
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
