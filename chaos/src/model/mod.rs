//! The simulator: one leader, some agents and databases, a network and a clock, all in one thread and
//! all from one seed.
//!
//! ```text
//!   operator ─► leader ─ decide on the state ahead ─► record ─ commit ─► state, invariants ─► answers
//!                 ▲  └ schedule, leases                        └► legs ─► network ─► executors ─► databases
//!                 └───────────────── reports, lost, doubled, late ◄──────────────────┘
//! ```

mod agent;
mod around;
mod asks;
mod batched;
mod calendar;
mod chosen;
mod connected;
mod dice;
mod executor;
mod gauge;
mod generate;
mod handing;
mod leader;
mod mender;
mod nemesis;
mod network;
mod office;
mod operator;
mod reconnect;
mod repairs;
mod sabotage;
mod spec;
mod steps;

pub mod coverage;
pub mod database;
pub mod mutation;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use skein_core::bundle::Manifest;
use skein_core::hours::Openings;
use skein_core::ids::{Fence, RolloutId, TargetId, Version};
use skein_core::state::Fleet;
use skein_core::state::rollout::Status;

use crate::history::History;
use crate::invariants::{Broken, Watch};
use crate::observation::Seen;
use crate::shrink::Entry;
use agent::Agent;
use coverage::{Coverage, Reach};
use database::Database;
use dice::{Dice, Stream};
use leader::Leader;
use mutation::Mutation;
use network::{Message, Wire};
pub(crate) use spec::SOURCE;

/// How a seed is played.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A bug that is planted.
    pub mutation: Option<Mutation>,
    /// Everything that happens is written down.
    pub trace: bool,
    /// What a checker would find afterwards is kept.
    pub history: bool,
    /// Refusals are kept.
    pub refusals: bool,
    /// What the core was given is kept.
    pub transcript: bool,
    /// What is left out of the run.
    pub without: Without,
}

/// What is left out of a run, to make a failing one smaller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Without {
    /// Operations, by their number.
    pub operations: BTreeSet<u64>,
    /// Faults, by their number.
    pub strikes: BTreeSet<u64>,
    /// The network loses, doubles and delays nothing.
    pub noise: bool,
    /// No script fails.
    pub poison: bool,
    /// Nobody looks at targets but at the beginning.
    pub looks: bool,
    /// No more databases than these.
    pub databases_beyond: Option<usize>,
}

/// What came of a seed.
#[derive(Debug, Default)]
pub struct Run {
    /// The promise that was broken, and how.
    pub violation: Option<Broken>,
    /// Rollouts that were started.
    pub rollouts: u32,
    /// Of these: completed, rolled back, halted.
    pub ends: [u32; 3],
    /// Durable events.
    pub events: u64,
    /// Faults that were made.
    pub faults: u32,
    /// Operations and strikes that there were.
    pub numbers: [u64; 2],
    /// What it came across.
    pub coverage: Coverage,
    /// Empty, unless it was asked for.
    pub trace: String,
    /// Empty, unless it was asked for.
    pub history: History,
    /// Empty, unless it was asked for.
    pub transcript: Vec<Entry>,
}

/// Something that happens at a time.
#[derive(Debug)]
enum Happening {
    /// A message arrives.
    Arrive(Box<Message>),
    /// An executor goes on.
    Work { agent: usize, life: u32, fence: Fence },
    /// An agent tells that it is alive, and under which fences it works.
    Beat { agent: usize, life: u32 },
    /// An agent looks at a target that it serves.
    Look { agent: usize, life: u32 },
    /// An agent looks at what it was given to ask.
    Judge { agent: usize, life: u32 },
    /// What the leader has proposed is durable.
    Commit { term: u64 },
    /// The leader looks at its leases.
    Tick { term: u64 },
    /// Somebody is elected.
    Elect,
    /// An agent that is down is started.
    Start { agent: usize },
    /// Somebody wants something.
    Operator,
    /// Something breaks.
    Nemesis,
    /// Nothing breaks any more.
    Heal,
}

/// The world.
#[derive(Debug)]
struct Sim {
    seed: u64,
    /// Milliseconds since the beginning; the leader's clock differs.
    now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    healed: bool,
    /// Messages lost, of a thousand, until faults end.
    loss: u32,
    leader: Leader,
    agents: Vec<Agent>,
    wires: Vec<Wire>,
    databases: Vec<Database>,
    bundles: Vec<Arc<Manifest>>,
    /// Its scripts are one statement in batches each.
    batched: Option<Version>,
    requests: Vec<operator::Asked>,
    /// When windows are open, as far as somebody asked.
    openings: BTreeMap<RolloutId, Arc<Openings>>,
    watch: Watch,
    options: Options,
    run: Run,
}

/// No run is longer: ten minutes, of which faults take half a minute at most.
const LONGEST_MS: u64 = 600_000;

/// Plays one seed from beginning to end.
pub fn run(seed: u64, options: &Options) -> Run {
    let mut sim = generate::sim(seed, options);
    while sim.run.violation.is_none() {
        let Some(((at, _), happening)) = sim.queue.pop_first() else { break };
        sim.now = at;
        let last = at > LONGEST_MS;
        let quiet = matches!(happening, Happening::Tick { .. }) && sim.quiet();
        if last || quiet {
            break;
        }
        sim.happen(happening);
    }
    sim.note_rest();
    if sim.run.violation.is_none() {
        sim.end();
    }
    sim.count();
    if options.history {
        let log = sim.watch.log().to_vec();
        sim.run.history.logs.push((sim.leader.node, log));
        sim.run.history.at_rest = true;
    }
    sim.run
}

impl Sim {
    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive(message) => self.arrive(*message),
            Happening::Work { agent, life, fence } => self.work(agent, life, fence),
            Happening::Beat { agent, life } => self.beat(agent, life),
            Happening::Look { agent, life } => self.look(agent, life),
            Happening::Judge { agent, life } => self.judge(agent, life),
            Happening::Commit { term } => self.commit(term),
            Happening::Tick { term } => self.tick(term),
            Happening::Elect => self.elect(),
            Happening::Start { agent } => self.start(agent),
            Happening::Operator => self.operate(),
            Happening::Nemesis => self.strike(),
            Happening::Heal => self.heal(),
        }
    }

    fn at(&mut self, delay: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((self.now + delay, self.order), happening);
    }

    fn dice(&self, stream: Stream, number: u64) -> Dice {
        Dice::new(self.seed, stream, number)
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.options.trace {
            let (now, what) = (self.now, what());
            let written = writeln!(self.run.trace, "{now:>8} {what}");
            debug_assert!(written.is_ok(), "a String takes everything");
        }
    }

    fn reach(&mut self, reach: Reach) {
        *self.run.coverage.reach.entry(reach).or_default() += 1;
    }

    fn hold(&mut self, held: Result<(), Broken>) {
        if let Err(broken) = held
            && self.run.violation.is_none()
        {
            self.note(|| format!("VIOLATION: {broken}"));
            self.run.violation = Some(broken);
        }
    }

    /// A promise of the core to whoever is around it, which nobody outside can see.
    fn refused(&mut self, sentence: &'static str, what: String) {
        self.hold(Err(Broken { invariant: "accepted", sentence, what }));
    }

    fn see(&mut self, seen: Seen<'_>) {
        if self.options.transcript {
            self.run.transcript.extend(match seen {
                Seen::Effect(effect) => Some(Entry::Effect(effect.clone())),
                Seen::Fence { target, old, new } => Some(Entry::Fence(target.clone(), old, new)),
                Seen::Mended(mended) => Some(Entry::Mended(mended.clone())),
                Seen::Restored(database) => Some(Entry::Restored(database.clone())),
                _ => None,
            });
        }
        let held = self.watch.see(seen);
        self.hold(held);
    }

    /// Nothing moves any more.
    fn end(&mut self) {
        self.look_at_restored();
        let (node, fleet) = (self.leader.node, &self.leader.applied);
        let held = self.watch.see(Seen::State { node, fleet });
        self.hold(held);
        for place in 0..self.databases.len() {
            let found = self.databases[place].found();
            self.see(Seen::Found(&found));
            self.run.history.databases.push(found);
        }
        self.see(Seen::End);
    }

    /// Nobody may have looked at them since; the log cannot know yet.
    fn look_at_restored(&mut self) {
        for agent in 0..self.agents.len() {
            let life = self.agents[agent].life;
            for place in 0..self.agents[agent].serves.len() {
                let database = self.agents[agent].serves[place];
                if self.databases[database].restored {
                    let seen = Ok(self.observation(database));
                    let target = self.databases[database].id.clone();
                    self.seen((agent, life), target, (seen, self.leader.applied.seq));
                }
            }
        }
        drop(self.make_durable());
    }

    /// Who is still at work, for a reader of the trace.
    fn note_rest(&mut self) {
        if !self.options.trace {
            return;
        }
        let rest: Vec<String> = self
            .agents
            .iter()
            .flat_map(|agent| agent.executors.values().map(|one| format!("at work: {one:?}")))
            .chain(self.databases.iter().map(|one| format!("{} lock {:?}", one.id, one.lock)))
            .collect();
        for line in rest {
            self.note(|| line);
        }
    }

    fn mutated(&self, mutation: Mutation) -> bool {
        self.options.mutation == Some(mutation)
    }

    fn place_of(&self, target: &TargetId) -> Option<usize> {
        self.databases.iter().position(|database| database.id == *target)
    }

    /// Faults are over, every rollout has ended, and nobody works any more.
    fn quiet(&self) -> bool {
        self.healed
            && self.leader.up
            && self.leader.pending.is_empty()
            && self.agents.iter().all(|agent| agent.executors.is_empty() && agent.told)
            && ended(&self.leader.applied)
    }

    fn count(&mut self) {
        for state in self.leader.applied.rollouts.values() {
            self.run.rollouts += u32::from(state.status != Status::Planned);
            let [completed, rolled_back, halted] = &mut self.run.ends;
            match state.status {
                Status::Completed => *completed += 1,
                Status::RolledBack => *rolled_back += 1,
                Status::Halted => *halted += 1,
                Status::Planned | Status::Running | Status::Paused | Status::Unwinding => {}
            }
        }
        self.run.events = self.leader.applied.seq.0;
    }
}

fn ended(fleet: &Fleet) -> bool {
    let repaired = fleet.repairs.values().all(skein_core::state::repair::State::ended);
    repaired
        && fleet
            .rollouts
            .values()
            .all(|state| state.status.ended() || state.status == Status::Planned)
}
