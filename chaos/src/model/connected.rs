//! Who is connected, as a leader tells its schedule: made anew where that has changed, and not at each tick.

use skein_core::schedule::Presence;

use super::Sim;
use super::spec::SOURCE;

/// What a leader told last.
#[derive(Debug, Default)]
pub(super) struct Connected {
    pub(super) presence: Presence,
    /// Of these agents, in these lives.
    agents: Vec<(usize, u32)>,
    /// When faults had ended, or not.
    healed: bool,
}

impl Sim {
    /// Who is connected now, and what the calendar says. Whoever takes it puts it back.
    pub(super) fn take_connected(&mut self) -> Connected {
        let mut told = std::mem::take(&mut self.leader.connected);
        let lives = |agent: &usize| Some((*agent, self.agents.get(*agent)?.life));
        let here = self.leader.heard.keys().filter_map(lives);
        if told.healed != self.healed || !here.clone().eq(told.agents.iter().copied()) {
            let (agents, healed) = (here.collect(), self.healed);
            told = Connected { presence: self.presence(), agents, healed };
        }
        told.presence.hours = self.hours();
        told
    }

    fn presence(&self) -> Presence {
        let here = || self.leader.heard.keys().filter_map(|agent| self.agents.get(*agent));
        Presence {
            slots: here().map(|agent| (agent.id.clone(), agent.slots)).collect(),
            gates: here().map(|agent| (agent.id.clone(), [SOURCE.to_owned()].into())).collect(),
            // Now and then one is of a release that knows none.
            throttles: here()
                .filter(|agent| self.healed || agent.life % 4 != 3)
                .map(|agent| agent.id.clone())
                .collect(),
            ..Presence::default()
        }
    }
}
