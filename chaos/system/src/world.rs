//! What the simulation knows of the processes in it. One thread runs all of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use skein_chaos_interpose::disk::Behaviour;
use skein_chaos_interpose::{Owner, disk};
use skein_coordinator::Running;
use skein_core::ids::Seq;
use tokio::runtime::{Handle, Id};

/// A coordinator node.
pub(crate) type Node = u64;

/// Something that a client has seen, for the invariants.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told {
    /// Answered: everything before this is recorded.
    Acked(Node, Seq),
    ReadBegan(u32),
    ReadEnded(u32, Seq),
}

/// One process of a host, from its start to its end.
#[derive(Clone, Default)]
pub(crate) struct Process {
    pub(crate) owner: Owner,
    /// It is over, and why.
    pub(crate) exit: Option<String>,
    /// Of a node, once it has started.
    pub(crate) running: Option<Rc<Running>>,
    /// How many of its events the invariants have seen.
    pub(crate) fed: u64,
    /// The term that it was last seen to lead in.
    pub(crate) led: u64,
}

#[derive(Default)]
pub(crate) struct World {
    owners: Vec<(Id, Owner)>,
    last_owner: u32,
    /// By host name.
    pub(crate) processes: BTreeMap<String, Process>,
    /// How the disk under a host behaves, by host name.
    pub(crate) disks: BTreeMap<String, Behaviour>,
    pub(crate) told: Vec<Told>,
    /// What happened that must not happen, seen by somebody who cannot say so at once.
    pub(crate) wrong: Vec<String>,
    /// How far the wall clock of a host is off, nanoseconds.
    pub(crate) skews: BTreeMap<String, i64>,
    /// Processes that have ended by themselves, and why.
    pub(crate) exits: Vec<String>,
    /// The host whose disk is damaged.
    pub(crate) damaged: Option<String>,
    /// Processes that ended by themselves since they had read what is damaged, and said which file it is.
    pub(crate) named: u64,
    /// When a wall clock was last set, simulated milliseconds.
    pub(crate) set_clock: u64,
    /// Agents that start name one more target.
    pub(crate) grown: bool,
    /// Faults are over.
    pub(crate) healed: bool,
    /// Requests of clients that were accepted, refused, and of unknown outcome.
    pub(crate) answers: [u64; 3],
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::default());
}

/// Looks at the world, or changes it.
pub(crate) fn world<T>(look: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(look)
}

/// A new world.
pub(crate) fn begin() {
    world(|world| *world = World::default());
}

/// Takes it down; nothing of it is left.
pub(crate) fn end() -> World {
    world(std::mem::take)
}

/// Whose runtime runs now: how the disks and clocks know on whose behalf something is done.
pub(crate) fn whose() -> Owner {
    let Ok(handle) = Handle::try_current() else { return Owner::default() };
    let id = handle.id();
    WORLD
        .with(|world| {
            let world = world.try_borrow().ok()?;
            world.owners.iter().find(|(known, _)| *known == id).map(|(_, owner)| *owner)
        })
        .unwrap_or_default()
}

/// A process begins on this host, in the runtime that runs now.
pub(crate) fn begins(host: &str) -> Owner {
    let id = Handle::current().id();
    let (owner, behaviour, skew) = world(|world| {
        world.last_owner += 1;
        let owner = Owner(world.last_owner);
        world.owners.push((id, owner));
        world.processes.insert(host.to_owned(), Process { owner, ..Process::default() });
        let skew = world.skews.get(host).copied().unwrap_or_default();
        (owner, world.disks.get(host).copied().unwrap_or_default(), skew)
    });
    disk::behave(owner, behaviour);
    skein_chaos_interpose::skew(owner, skew);
    owner
}

/// A process ends by itself; its supervisor sees it.
pub(crate) fn exits(host: &str, why: String) {
    world(|world| {
        if let Some(process) = world.processes.get_mut(host) {
            process.exit = Some(why);
        }
    });
}

/// A process was killed. Gives its owner.
pub(crate) fn killed(host: &str) -> Option<Owner> {
    let process = world(|world| world.processes.remove(host))?;
    let owner = process.owner;
    world(|world| world.owners.retain(|(_, known)| *known != owner));
    Some(owner)
}
