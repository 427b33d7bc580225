//! An agent's process: it starts, tells that it is alive, looks at its targets, and dies.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::command::Command;
use skein_core::ids::{AgentId, Fence, Seq};
use skein_core::state::target::{Description, Observation};

use super::asks::Asks;
use super::coverage::Reach;
use super::dice::Dice;
use super::executor::Executor;
use super::network::Message;
use super::{Happening, Sim};
use crate::observation::Seen;

const BEAT_MS: u64 = 700;

/// A process beside its databases.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    pub(super) dice: Dice,
    pub(super) serves: Vec<usize>,
    /// Databases that its source does not name now, and until when.
    pub(super) unnamed: BTreeMap<usize, u64>,
    /// Whoever leads has its list.
    pub(super) told: bool,
    pub(super) slots: u32,
    pub(super) up: bool,
    /// How often it was started before.
    pub(super) life: u32,
    /// It stands still until then.
    pub(super) stalled_until: u64,
    pub(super) executors: BTreeMap<Fence, Box<Executor>>,
    /// Legs that this life has brought to an end: they are not begun again.
    pub(super) finished: BTreeSet<Fence>,
    /// Gates that it asks.
    pub(super) asks: Asks,
    /// How far the log had come when it last heard from a leader.
    pub(super) heard: Seq,
}

impl Agent {
    /// How the coordinator names it in events.
    pub(super) fn actor(&self) -> String {
        format!("agent/{}", self.id)
    }
}

impl Sim {
    /// Its memory and its sessions are gone.
    pub(super) fn crash(&mut self, agent: usize, down_ms: u64) {
        if !self.agents[agent].up {
            return;
        }
        self.note(|| format!("agent {agent} crashes"));
        let life = self.agents[agent].life;
        self.agents[agent].up = false;
        self.agents[agent].executors.clear();
        self.agents[agent].asks.clear();
        for database in &mut self.databases {
            // A session lock dies with its session.
            database.lock =
                database.lock.filter(|holder| (holder.agent, holder.life) != (agent, life));
        }
        self.at(down_ms, Happening::Start { agent });
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
        self.join(agent);
        self.at(1, Happening::Beat { agent, life });
        self.at(50, Happening::Look { agent, life });
    }

    /// An agent says what it serves. Where nobody leads it says so again with its next beat.
    pub(super) fn join(&mut self, agent: usize) {
        self.agents[agent].told = self.leader.up;
        if !self.leader.up {
            return;
        }
        let targets: Vec<_> = self.agents[agent]
            .serves
            .iter()
            .filter(|database| !self.agents[agent].unnamed.contains_key(database))
            .map(|database| {
                let database = &self.databases[*database];
                let description = Description {
                    engine: database.engine,
                    labels: database.labels.clone(),
                    // Neighbours share a machine.
                    group: format!(
                        "rack-{}",
                        database.id.as_str().bytes().last().unwrap_or_default() % 3
                    ),
                };
                (database.id.clone(), description)
            })
            .collect();
        for (id, _) in &targets {
            let known = self.leader.ahead.targets.find(id);
            let retired = known.and_then(|ix| self.leader.ahead.targets.get(ix));
            if retired.is_some_and(|target| target.retired) {
                self.reach(Reach::RetiredComesBack);
            }
            if known.is_none() && !self.leader.ahead.active.is_empty() {
                self.reach(Reach::RegisteredUnderWay);
            }
        }
        let id = self.agents[agent].id.clone();
        let command =
            Command::JoinAgent { agent: id, version: "1.0".to_owned(), targets, whole: true };
        self.urge(&self.agents[agent].actor(), command);
    }

    pub(super) fn awake(&self, agent: usize, life: u32) -> bool {
        let state = &self.agents[agent];
        state.up && state.life == life && state.stalled_until <= self.now
    }

    pub(super) fn beat(&mut self, agent: usize, life: u32) {
        if !self.agents[agent].up || self.agents[agent].life != life {
            return;
        }
        self.at(BEAT_MS, Happening::Beat { agent, life });
        if self.awake(agent, life) {
            let now = self.now;
            let state = &mut self.agents[agent];
            let before = state.unnamed.len();
            state.unnamed.retain(|_, until| *until > now);
            if before != state.unnamed.len() || !state.told {
                self.join(agent);
            }
            let executors = &self.agents[agent].executors;
            let fences = executors.keys().copied().collect();
            let held = executors.iter().filter(|(_, one)| one.held_since.is_some());
            let held = held.map(|(fence, _)| *fence).collect();
            self.send(Message::Beat { agent, life, fences, held });
        }
    }

    /// Looks at each target that it serves and does not work on.
    pub(super) fn look(&mut self, agent: usize, life: u32) {
        if !self.agents[agent].up || self.agents[agent].life != life {
            return;
        }
        let next = self.agents[agent].dice.between(1_500, 5_000);
        self.at(next, Happening::Look { agent, life });
        if !self.awake(agent, life) || (self.options.without.looks && life == 0) {
            return;
        }
        // Asked to look by a leader that can be heard, or by itself.
        let asked = self.leader.up && self.now >= self.wires[agent].deaf_until;
        if asked {
            self.agents[agent].heard = self.agents[agent].heard.max(self.leader.applied.seq);
        }
        let as_of = self.agents[agent].heard;
        for place in 0..self.agents[agent].serves.len() {
            let database = self.agents[agent].serves[place];
            let busy = self.agents[agent].executors.values().any(|one| one.database() == database);
            if busy || self.agents[agent].unnamed.contains_key(&database) {
                continue;
            }
            let target = self.databases[database].id.clone();
            let behind =
                self.leader.applied.target(&target).is_some_and(|(_, it)| it.needs_fence());
            let seen = if self.databases[database].down_until > self.now {
                Err("connection refused".to_owned())
            } else if asked && behind {
                self.observe_behind(database, self.leader.applied.fence(self.leader.applied.seq))
            } else {
                Ok(self.observation(database))
            };
            self.send(Message::Seen { agent, life, target, seen: Box::new(seen), as_of });
        }
    }

    /// A look that an executor of before cannot come after.
    fn observe_behind(&mut self, database: usize, fence: Fence) -> Result<Observation, String> {
        let target = &mut self.databases[database];
        if target.lock.is_some() {
            return Err("another session holds its lock".to_owned());
        }
        let (id, old) = (target.id.clone(), target.fence);
        target.fence = old.max(fence);
        let new = target.fence;
        self.see(Seen::Fence { target: &id, old, new });
        self.reach(Reach::LooksBehindFence);
        Ok(self.observation(database))
    }

    pub(super) fn observation(&self, database: usize) -> Observation {
        let database = &self.databases[database];
        let open = database.intent.as_ref().filter(|intent| intent.done > 0);
        Observation {
            engine_version: "16.4".to_owned(),
            identity: database.identity.clone(),
            fingerprint: database.fingerprint(),
            ledger: database.ledger.clone(),
            fence: database.fence,
            open_intent: open.map_or_else(String::new, |intent| intent.entry.version.to_string()),
            bytes: 0,
            tables: None,
        }
    }
}
