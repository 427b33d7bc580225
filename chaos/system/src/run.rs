//! One run: from a seed to what it came to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skein_chaos_interpose::{Chance, Simulation, disk};
use skein_core::event::Body;

use crate::client::Client;
use crate::damage::Damage;
use crate::mutation::Mutation;
use crate::nemesis::Nemesis;
use crate::watch::Watcher;
use crate::world::{self, Node, world};
use crate::{agent, bundle, log, node, panics};

/// How a run is made.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long faults go on, in simulated seconds.
    pub seconds: u64,
    /// Whether what happens is kept as text.
    pub trace: bool,
    /// A planted bug.
    pub mutation: Option<Mutation>,
    /// Whether what is on the nodes' disks is damaged, beside everything else.
    pub damage: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 60, trace: false, mutation: None, damage: true }
    }
}

/// What a run came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// The broken promise, if there is one.
    pub violation: Option<String>,
    /// What happened, as one number.
    pub hash: u64,
    /// What happened, as text.
    pub trace: String,
    /// Simulated milliseconds.
    pub simulated: u64,
    /// Durable events.
    pub events: u64,
    /// Effects on databases that the log tells of.
    pub effects: u64,
    /// Rollouts that came to an end.
    pub rollouts: u64,
    /// Durable events by their kind.
    pub kinds: BTreeMap<String, u64>,
    /// Faults by their kind.
    pub faults: BTreeMap<String, u64>,
    /// Processes that ended by themselves.
    pub exits: Vec<String>,
    /// Requests accepted, refused, and of unknown outcome at first.
    pub answers: [u64; 3],
    /// Power cuts, and the writes and names that they took.
    pub cuts: u64,
    /// See there.
    pub lost: u64,
    /// Syncs that were asked for, and those that failed.
    pub syncs: u64,
    /// See there.
    pub failed_syncs: u64,
    /// Sectors that went astray.
    pub astray: u64,
    /// Damaged bytes that were put back.
    pub mended: u64,
    /// Processes that ended naming a file of their damaged disk.
    pub named: u64,
}

const NODES: Node = 3;
const AGENTS: u64 = 2;
const TICK: u64 = 2;
/// Tells the generator of damage from the others.
const DAMAGE: u64 = 0xda3a_9e00_0000_0000;
/// Tells the generator of what grows from the others.
const GROWS: u64 = 0x6067_3057_0000_0000;
/// How long a system may take, once faults are over, until nothing moves any more.
const REST_MS: u64 = 60_000;

/// Runs a seed, in a thread of its own: what a thread has of its own begins anew.
///
/// # Panics
/// Where the simulation itself cannot go on.
pub fn run(seed: u64, options: Options) -> Run {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let content = bundle::content();
    let log = log::reader(options.trace);
    panics::watch();
    let place = directory();
    let root = place.path().join("disks");
    let thread = std::thread::Builder::new()
        .name(format!("seed-{seed}"))
        .stack_size(32 << 20)
        .spawn(move || run_here(seed, options, &root, (&log, &content)));
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(run)) => run,
        Ok(Err(panic)) => {
            let what = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let what = what.unwrap_or_default();
            Run { violation: Some(format!("a panic: {what}")), ..Run::default() }
        }
        Err(error) => panic!("no thread: {error}"),
    }
}

/// In memory where there is such a place.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let mut made = tempfile::Builder::new();
    made.prefix("skein-system-");
    let made = if memory.is_dir() { made.tempdir_in(memory) } else { made.tempdir() };
    let place = made.expect("a directory for the simulated disks");
    for name in ["disks", "archives"] {
        std::fs::create_dir(place.path().join(name)).expect("a directory");
    }
    place
}

fn run_here(
    seed: u64,
    options: Options,
    root: &Path,
    (log, content): (&tracing::Dispatch, &[u8]),
) -> Run {
    // Nothing may be done in this thread before the simulation begins that takes a random number.
    // Paths below are relative: what is recorded of them is the same in every run.
    std::env::set_current_dir(root).expect("a working directory");
    let os = Simulation::begin(seed, root);
    os.owners(world::whose);
    if options.trace {
        os.keep_trace();
    }
    let run = tracing::dispatcher::with_default(log, || play(&os, seed, options, content));
    drop(os);
    drop(std::env::set_current_dir("/"));
    run
}

/// tokio numbers its tasks across all runtimes of a process, and what is dropped first at a crash goes by
/// the number: every run begins at the same one.
fn align_tasks() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        loop {
            let task = tokio::spawn(async {});
            let id: u64 = task.id().to_string().parse().unwrap_or(1023);
            drop(task.await);
            if id % 1024 == 1023 {
                break;
            }
        }
    });
}

fn make_targets(count: u64) {
    std::fs::create_dir(agent::TARGETS).expect("a directory");
    let sync = |path: &Path| std::fs::File::open(path).and_then(|file| file.sync_all());
    for number in 1..=count {
        let file = agent::file(&agent::target(number));
        std::fs::File::create(&file).and_then(|file| file.sync_all()).expect("a database");
    }
    sync(Path::new(agent::TARGETS)).and_then(|()| sync(Path::new("."))).expect("a directory");
}

fn play(os: &Simulation, seed: u64, options: Options, content: &[u8]) -> Run {
    align_tasks();
    world::begin();
    let mut chance = Chance::new(seed);
    let targets = chance.between(2, 6);
    make_targets(targets);
    let cut =
        node::Cut { snapshot_after: chance.between(30, 400), keep_entries: chance.between(0, 100) };
    let mut nemesis = Nemesis::new(chance.fork(), NODES, AGENTS);
    if let Some(mutation) = options.mutation {
        nemesis.lying(mutation.node_lie(), mutation.target_lie());
    }
    if options.damage && options.mutation.is_none_or(Mutation::is_damage) {
        // A generator of its own: a seed without damage is what it was before there was any.
        let chance = Chance::new(seed ^ DAMAGE);
        nemesis.damaging(Damage::new(chance, NODES, options.mutation));
    }
    nemesis.growing(Chance::new(seed ^ GROWS).between(3_000, 25_000));
    nemesis.prepare();
    let mut sim = turmoil::Builder::new()
        .rng_seed(chance.number())
        .tick_duration(Duration::from_millis(TICK))
        .simulation_duration(Duration::from_secs(100_000))
        .min_message_latency(Duration::from_millis(2))
        .max_message_latency(Duration::from_millis(8))
        .tcp_capacity(1 << 16)
        .build();
    for number in 1..=NODES {
        sim.host(node::host(number), move || node::run(node::config(number, NODES, cut)));
    }
    for number in 1..=AGENTS {
        sim.host(agent::host(number), move || agent::run(number, NODES, targets));
    }
    let unthrottled = options.mutation == Some(Mutation::NoThrottle);
    let stale = options.mutation == Some(Mutation::StaleReads);
    for number in 1..=3 {
        let (chance, content) = (chance.fork(), content.to_owned());
        sim.host(format!("client-{number}"), move || {
            let (chance, content) = (chance.clone(), content.clone());
            async move {
                let client = Client::new(number, chance, NODES, content);
                let client = client.unthrottled(unthrottled);
                match number {
                    1 => client.operate().await,
                    2 => client.interfere().await,
                    _ => client.stale(stale).read().await,
                }
            }
        });
    }

    let mut watcher = Watcher::new(NODES, targets, options.mutation);
    let (faults, mut now, mut healed) = (options.seconds * 1_000, 0, None);
    let mut quiet = 0;
    while watcher.broken.is_none() {
        now += TICK;
        os.advance(now * 1_000_000);
        if let Err(error) = sim.step() {
            watcher.wrong(format!("a host has ended: {error}"));
            break;
        }
        watcher.look(now);
        nemesis.supervise(&mut sim, os, now);
        if now < faults {
            nemesis.act(&mut sim, os, now);
            continue;
        }
        let healed = *healed.get_or_insert_with(|| {
            nemesis.heal(&mut sim, os, now);
            watcher.healed();
            now
        });
        // At rest: everything that was begun has ended, and the nodes know it.
        if now.is_multiple_of(500) {
            quiet = if watcher.is_at_rest() { quiet + 1 } else { 0 };
        }
        if quiet >= 6 {
            watcher.end(now);
            break;
        }
        if now > healed + REST_MS {
            watcher.overdue();
            break;
        }
    }
    let rollouts =
        watcher.fleet().rollouts.values().filter(|rollout| rollout.status.ended()).count();
    let effects = watcher
        .events()
        .iter()
        .filter(|event| {
            matches!(event.body, Body::StepApplied { .. } | Body::StepRolledBack { .. })
        })
        .count();
    let disks = disk::count();
    let run = Run {
        violation: watcher.broken.clone(),
        hash: os.trace(),
        trace: os.take_trace(),
        simulated: now,
        events: watcher.events().len() as u64,
        effects: effects as u64,
        rollouts: rollouts as u64,
        kinds: watcher.kinds(),
        faults: nemesis.counts.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
        exits: world(|world| std::mem::take(&mut world.exits)),
        answers: world(|world| world.answers),
        cuts: disks.cuts,
        lost: disks.lost,
        syncs: disks.syncs,
        failed_syncs: disks.failed,
        astray: disks.astray,
        mended: disks.mended,
        named: world(|world| world.named),
    };
    drop(world::end());
    drop(sim);
    run
}
