//! What the leader hands out to an agent: what is durable, and nothing before.

use skein_core::ids::{AgentId, Fence};
use skein_core::outbox::{Leg, outbox};

use super::Sim;
use super::mutation::Mutation;
use super::network::Message;

impl Sim {
    /// Legs that are durable, and that nothing proposed has ended.
    pub(super) fn hand_out(&mut self, agent: usize) {
        let Some(&(life, _)) = self.leader.heard.get(&agent) else { return };
        self.hand_out_asks(agent, life);
        let id = &self.agents[agent].id;
        if self.leader.ahead.agents.get(id).is_none_or(|known| known.legs.is_empty()) {
            return;
        }
        let early = self.mutated(Mutation::HandsOutEarly);
        let durable = self.leader.applied.seq.0;
        let legs = if early { outbox(&self.leader.ahead, id) } else { self.as_recorded(id) };
        let known = &self.agents[agent].executors;
        let news = legs.iter().any(|leg| {
            known.get(&leg.fence).is_none_or(|executor| {
                executor.cancelled != leg.cancelled
                    || executor.killed != leg.kill
                    || executor.leg.throttles != leg.throttles
                    || executor.leg.batching != leg.batching
                    || (leg.after_batch && !executor.leave)
            })
        });
        if news {
            self.send(Message::Legs { agent, life, legs });
        }
        let mends = self.mends_of(agent, Fence(durable));
        let known = &self.agents[agent].executors;
        if mends.iter().any(|mend| !known.contains_key(&mend.fence)) {
            self.send(Message::Mends { agent, life, mends });
        }
    }

    /// Legs as the durable log has them, which nothing proposed has ended.
    fn as_recorded(&self, agent: &AgentId) -> Vec<Leg> {
        let mut legs = outbox(&self.leader.applied, agent);
        if !self.leader.pending.is_empty() {
            let live = self.leader.ahead.agents.get(agent);
            legs.retain(|leg| live.is_some_and(|known| known.legs.contains_key(&leg.fence)));
        }
        legs
    }
}
