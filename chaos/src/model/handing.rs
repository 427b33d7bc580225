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
        let mut legs: Vec<Leg> = outbox(&self.leader.ahead, id);
        legs.retain(|leg| early || leg.fence.0 < durable);
        if !early {
            self.as_recorded(id, &mut legs);
        }
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

    /// Legs as the durable log has them: what is only proposed is not handed out.
    fn as_recorded(&self, agent: &AgentId, legs: &mut [Leg]) {
        if self.leader.pending.is_empty() {
            return;
        }
        let durable = outbox(&self.leader.applied, agent);
        for leg in legs {
            if let Some(known) = durable.iter().find(|known| known.fence == leg.fence) {
                leg.clone_from(known);
            }
        }
    }
}
