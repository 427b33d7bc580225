//! The simulator: one leader, some agents and databases, a network and a clock, all in one thread and
//! all from one seed.
//!
//! ```text
//!   operator ─► leader ─ decide on the state ahead ─► record ─ commit ─► state, invariants ─► answers
//!                 ▲  └ schedule, leases                        └► legs ─► network ─► executors ─► databases
//!                 └───────────────── reports, lost, doubled, late ◄──────────────────┘
//! ```

mod dice;
mod executor;
mod generate;
mod leader;
mod nemesis;
mod operator;

pub mod database;
pub mod mutation;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use skein_core::bundle::Manifest;
use skein_core::command::Outcome as Told;
use skein_core::ids::{AgentId, Fence, TargetId};
use skein_core::outbox::Leg;
use skein_core::state::rollout::Status;
use skein_core::state::target::Observation;

use crate::history::History;
use crate::invariants::{Broken, Watch};
use crate::observation::Seen;
use database::Database;
use dice::Dice;
use executor::Executor;
use leader::Leader;
use mutation::Mutation;

/// How a seed is played.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// A bug that is planted.
    pub mutation: Option<Mutation>,
    /// Everything that happens is written down.
    pub trace: bool,
    /// What a checker would find afterwards is kept.
    pub history: bool,
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
    /// Empty, unless it was asked for.
    pub trace: String,
    /// Empty, unless it was asked for.
    pub history: History,
}

/// Something that happens at a time.
#[derive(Debug)]
enum Happening {
    /// A message arrives.
    Arrive(Message),
    /// An executor goes on.
    Work { agent: usize, life: u32, fence: Fence },
    /// An agent tells that it is alive, and under which fences it works.
    Beat { agent: usize, life: u32 },
    /// An agent looks at a target that it serves.
    Look { agent: usize, life: u32 },
    /// What the leader has proposed is durable.
    Commit { term: u32 },
    /// The leader looks at its leases.
    Tick { term: u32 },
    /// Somebody is elected.
    Elect,
    /// A crashed agent is started again.
    Start { agent: usize },
    /// Somebody wants something.
    Operator,
    /// Something breaks.
    Nemesis,
    /// Nothing breaks any more.
    Heal,
}

/// What goes over the network.
#[derive(Debug, Clone)]
enum Message {
    Beat { agent: usize, life: u32, fences: Vec<Fence> },
    Report { agent: usize, life: u32, target: TargetId, fence: Fence, serial: u32, told: Told },
    Ack { agent: usize, life: u32, fence: Fence, serial: u32, answer: Answer },
    Legs { agent: usize, life: u32, legs: Vec<Leg> },
    Seen { agent: usize, target: TargetId, seen: Observation },
}

/// What a report came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Recorded,
    LeaseLost,
    Refused,
}

/// A process beside its databases.
#[derive(Debug)]
struct Agent {
    id: AgentId,
    serves: Vec<usize>,
    slots: u32,
    up: bool,
    /// How often it was started before.
    life: u32,
    /// It stands still until then.
    stalled_until: u64,
    executors: BTreeMap<Fence, Executor>,
    /// Legs that this life has brought to an end: they are not begun again.
    finished: std::collections::BTreeSet<Fence>,
}

impl Agent {
    /// How the coordinator names it in events.
    fn actor(&self) -> String {
        format!("agent/{}", self.id)
    }
}

/// The world.
#[derive(Debug)]
struct Sim {
    dice: Dice,
    /// Milliseconds since the beginning; the leader's clock differs.
    now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    healed: bool,
    /// Messages lost, of a thousand, until faults end.
    loss: u32,
    leader: Leader,
    agents: Vec<Agent>,
    databases: Vec<Database>,
    bundles: Vec<Manifest>,
    requests: Vec<operator::Asked>,
    watch: Watch,
    options: Options,
    run: Run,
}

/// No run is longer: ten minutes, of which faults take half a minute at most.
const LONGEST_MS: u64 = 600_000;

/// Plays one seed from beginning to end.
pub fn run(seed: u64, options: Options) -> Run {
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
        sim.run.history.logs.push((sim.leader.node(), log));
        sim.run.history.at_rest = true;
    }
    sim.run
}

impl Sim {
    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive(message) => self.arrive(message),
            Happening::Work { agent, life, fence } => self.work(agent, life, fence),
            Happening::Beat { agent, life } => self.beat(agent, life),
            Happening::Look { agent, life } => self.look(agent, life),
            Happening::Commit { term } => self.commit(term),
            Happening::Tick { term } => self.tick(term),
            Happening::Elect => self.elect(),
            Happening::Start { agent } => self.start(agent),
            Happening::Operator => self.operate(),
            Happening::Nemesis => self.strike(),
            Happening::Heal => self.heal(),
        }
    }

    fn arrive(&mut self, message: Message) {
        match message {
            Message::Beat { agent, life, fences } => self.heard(agent, life, &fences),
            Message::Report { .. } => self.reported(message),
            Message::Seen { agent, target, seen } => self.seen(agent, target, seen),
            Message::Ack { agent, life, fence, serial, answer } => {
                self.acked((agent, life), fence, serial, answer);
            }
            Message::Legs { agent, life, legs } => self.handed(agent, life, legs),
        }
    }

    fn at(&mut self, delay: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((self.now + delay, self.order), happening);
    }

    /// Loses, doubles and delays.
    fn send(&mut self, message: Message) {
        let loss = self.loss;
        if !self.healed && self.dice.chance(loss) {
            self.run.faults += 1;
            return self.note(|| format!("lost: {message:?}"));
        }
        if !self.healed && self.dice.chance(30) {
            self.run.faults += 1;
            let late = self.dice.between(1, 4_000);
            self.at(late, Happening::Arrive(message.clone()));
        }
        let slow = !self.healed && self.dice.chance(20);
        let delay = if slow { self.dice.between(50, 9_000) } else { self.dice.between(1, 20) };
        self.at(delay, Happening::Arrive(message));
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.options.trace {
            let (now, what) = (self.now, what());
            let written = writeln!(self.run.trace, "{now:>8} {what}");
            debug_assert!(written.is_ok(), "a String takes everything");
        }
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
        let held = self.watch.see(seen);
        self.hold(held);
    }

    /// Nothing moves any more.
    fn end(&mut self) {
        let held =
            self.watch.see(Seen::State { node: self.leader.node(), fleet: &self.leader.applied });
        self.hold(held);
        for place in 0..self.databases.len() {
            let found = self.databases[place].found();
            self.see(Seen::Found(&found));
            self.run.history.databases.push(found);
        }
        self.see(Seen::End);
    }

    /// Who is still at work, for a reader of the trace.
    fn note_rest(&mut self) {
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

    /// Faults are over, every rollout has ended, and nobody works any more.
    fn quiet(&self) -> bool {
        self.healed
            && self.leader.up
            && self.leader.pending.is_empty()
            && self.agents.iter().all(|agent| agent.executors.is_empty())
            && self
                .leader
                .applied
                .rollouts
                .values()
                .all(|state| state.status.ended() || state.status == Status::Planned)
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
