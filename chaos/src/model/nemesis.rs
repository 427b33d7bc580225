//! What breaks: agents crash, stand still and wake up; leaders lose their office; clocks jump.

use skein_core::state::target::Observation;

use super::{Happening, Message, Sim};

const BEAT_MS: u64 = 700;

impl Sim {
    /// One fault, and the time of the next.
    pub(super) fn strike(&mut self) {
        if self.healed {
            return;
        }
        let next = self.dice.between(100, 2_500);
        self.at(next, Happening::Nemesis);
        self.run.faults += 1;
        let agent = self.dice.place(self.agents.len());
        match self.dice.below(10) {
            0..=3 => self.crash(agent),
            4..=5 => {
                let long = self.dice.between(500, 12_000);
                self.note(|| format!("agent {agent} stands still for {long} ms"));
                self.agents[agent].stalled_until = self.now + long;
            }
            6..=8 => {
                if self.leader.up {
                    self.note(|| "the leader loses its office".to_owned());
                    self.depose();
                }
            }
            _ => {
                let jump = i64::try_from(self.dice.between(0, 20_000)).unwrap_or_default() - 10_000;
                self.note(|| format!("the leader's clock jumps by {jump} ms"));
                self.leader.clock_ms += jump;
            }
        }
    }

    fn crash(&mut self, agent: usize) {
        if !self.agents[agent].up {
            return;
        }
        self.note(|| format!("agent {agent} crashes"));
        let life = self.agents[agent].life;
        self.agents[agent].up = false;
        self.agents[agent].executors.clear();
        for database in &mut self.databases {
            // A session lock dies with its session.
            database.lock =
                database.lock.filter(|holder| (holder.agent, holder.life) != (agent, life));
        }
        let down = self.dice.between(20, 8_000);
        self.at(down, Happening::Start { agent });
    }

    pub(super) fn start(&mut self, agent: usize) {
        let state = &mut self.agents[agent];
        if state.up {
            return;
        }
        state.up = true;
        state.life += 1;
        state.stalled_until = 0;
        state.finished.clear();
        let life = state.life;
        self.note(|| format!("agent {agent} starts, life {life}"));
        if self.leader.up {
            self.join(agent);
        }
        self.at(1, Happening::Beat { agent, life });
        self.at(50, Happening::Look { agent, life });
    }

    fn awake(&mut self, agent: usize, life: u32) -> bool {
        let state = &self.agents[agent];
        state.up && state.life == life && state.stalled_until <= self.now
    }

    pub(super) fn beat(&mut self, agent: usize, life: u32) {
        if !self.agents[agent].up || self.agents[agent].life != life {
            return;
        }
        self.at(BEAT_MS, Happening::Beat { agent, life });
        if self.awake(agent, life) {
            let fences = self.agents[agent].executors.keys().copied().collect();
            self.send(Message::Beat { agent, life, fences });
        }
    }

    /// Looks at each target that it serves and does not work on.
    pub(super) fn look(&mut self, agent: usize, life: u32) {
        if !self.agents[agent].up || self.agents[agent].life != life {
            return;
        }
        let next = self.dice.between(1_500, 5_000);
        self.at(next, Happening::Look { agent, life });
        if !self.awake(agent, life) {
            return;
        }
        for database in self.agents[agent].serves.clone() {
            let target = self.databases[database].id.clone();
            if self.agents[agent].executors.values().any(|one| one.database() == database) {
                continue;
            }
            let seen = self.observation(database);
            self.send(Message::Seen { agent, target, seen });
        }
    }

    pub(super) fn observation(&self, database: usize) -> Observation {
        let database = &self.databases[database];
        let open = database.intent.as_ref().filter(|intent| intent.done > 0);
        Observation {
            engine_version: "1".to_owned(),
            identity: database.identity.clone(),
            fingerprint: database.fingerprint(),
            ledger: database.ledger.clone(),
            fence: database.fence,
            open_intent: open.map_or_else(String::new, |intent| intent.entry.version.to_string()),
        }
    }

    /// From here on nothing breaks: everybody is up and awake, and clocks are right.
    pub(super) fn heal(&mut self) {
        self.note(|| "faults end".to_owned());
        self.healed = true;
        self.leader.clock_ms = 0;
        for agent in 0..self.agents.len() {
            self.agents[agent].stalled_until =
                self.agents[agent].stalled_until.min(self.now + 2_000);
            self.start(agent);
        }
        // What the operator has paused, he lets go.
        self.at(1_000, Happening::Operator);
    }
}
