//! Looks at everything after every moment of the simulation, and says what it sees to the invariants.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use skein_chaos::invariants::Watch;
use skein_chaos::model::coverage::kind;
use skein_chaos::observation::Seen;
use skein_chaos_interpose::disk;
use skein_coordinator::{Running, audit};
use skein_core::Event;
use skein_core::ids::{Digest, Seq};
use skein_core::state::rollout::Status;

use crate::mutation::Mutation;
use crate::node::host;
use crate::panics;
use crate::targets::{Change, Target};
use crate::world::{Node, Told, world};

/// Events that a node applied and that are known already are looked at so often, in moments.
const LAZILY: u64 = 100;

/// Holds the system to its promises.
#[derive(Debug)]
pub(crate) struct Watcher {
    watch: Watch,
    nodes: u64,
    targets: Vec<Target>,
    moments: u64,
    mutation: Option<Mutation>,
    /// The first broken promise.
    pub(crate) broken: Option<String>,
}

impl Watcher {
    pub(crate) fn new(nodes: u64, targets: u64, mutation: Option<Mutation>) -> Self {
        Self {
            mutation,
            watch: Watch::default(),
            nodes,
            targets: (1..=targets).map(Target::new).collect(),
            moments: 0,
            broken: None,
        }
    }

    pub(crate) fn events(&self) -> &[Arc<Event>] {
        self.watch.log()
    }

    pub(crate) fn fleet(&self) -> &skein_core::Fleet {
        self.watch.fleet()
    }

    pub(crate) fn kinds(&self) -> BTreeMap<String, u64> {
        let mut kinds = BTreeMap::new();
        for event in self.events() {
            *kinds.entry(kind(&event.body).to_owned()).or_default() += 1;
        }
        kinds
    }

    pub(crate) fn see(&mut self, seen: Seen<'_>) {
        if let Err(broken) = self.watch.see(seen) {
            self.wrong(broken.to_string());
        }
    }

    pub(crate) fn wrong(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    /// After a moment has passed.
    pub(crate) fn look(&mut self, now: u64) {
        self.moments += 1;
        self.effects(now);
        self.histories(self.moments.is_multiple_of(LAZILY));
        if self.moments.is_multiple_of(LAZILY) {
            self.damaged();
        }
        let (told, wrong) =
            world(|world| (std::mem::take(&mut world.told), std::mem::take(&mut world.wrong)));
        for told in told {
            match told {
                Told::Acked(node, before) => self.see(Seen::Acked { node, before }),
                Told::ReadBegan(client) => self.see(Seen::ReadBegan { client }),
                Told::ReadEnded(client, at) => self.see(Seen::ReadEnded { client, at }),
            }
        }
        for what in wrong {
            self.wrong(what);
        }
        for what in panics::take() {
            self.wrong(format!("a panic: {what}"));
        }
    }

    fn effects(&mut self, now: u64) {
        for (file, image) in disk::take_commits() {
            let mut targets = std::mem::take(&mut self.targets);
            if let Some(target) = targets.iter_mut().find(|target| target.is(&file)) {
                self.effects_on(target, (&image, now));
            }
            self.targets = targets;
        }
    }

    fn effects_on(&mut self, target: &mut Target, (image, now): (&[u8], u64)) {
        // Beside the simulated disks.
        let copy = Path::new("../image.db");
        let changes = std::fs::write(copy, image)
            .map_err(|error| error.to_string())
            .and_then(|()| target.changes(copy));
        let changes = match changes {
            Ok(changes) => changes,
            Err(what) => return self.wrong(what),
        };
        for change in changes {
            match change {
                Change::Fence(old, new) => {
                    self.see(Seen::Fence { target: target.id(), old, new });
                    if self.mutation == Some(Mutation::NoFence) {
                        // Nobody looks at it: it is as if it stood at nothing again.
                        target.forget_fence();
                    }
                }
                Change::Effect(effect) => {
                    self.throttles(effect.fence, now);
                    self.see(Seen::Effect(&effect));
                    if self.mutation == Some(Mutation::RowLost) {
                        target.forget_row();
                    }
                }
            }
        }
    }

    /// The nodes' histories: first the one that knows most.
    fn histories(&mut self, all: bool) {
        for node in 1..=self.nodes {
            let found = world(|world| {
                let process = world.processes.get(&host(node))?;
                Some((Rc::clone(process.running.as_ref()?), process.fed, process.led))
            });
            let Some((running, fed, led)) = found else { continue };
            let head = running.history().head();
            let news = head.size > self.watch.log().len() as u64;
            let seen = (news || all)
                && head.size > fed
                && disk::undamaged(Path::new(&host(node)), || self.feed(node, &running, fed));
            if seen {
                let root = Digest(head.root.0);
                self.see(Seen::Root { node, len: head.size, root });
            }
            let leads = running.leads().unwrap_or(0);
            if leads > led {
                self.see(Seen::Leads { node, term: leads });
            }
            world(|world| {
                if let Some(process) = world.processes.get_mut(&host(node)) {
                    if seen {
                        process.fed = process.fed.max(head.size);
                    }
                    process.led = process.led.max(leads);
                }
            });
        }
    }

    /// Reads all that a node with a damaged disk has, as whoever asks it for events does.
    fn damaged(&mut self) {
        for node in 1..=self.nodes {
            let running = world(|world| {
                let process = world.processes.get(&host(node))?;
                process.running.clone().filter(|_| world.damaged.as_ref() == Some(&host(node)))
            });
            if let Some(running) = running {
                self.feed(node, &running, 0);
            }
        }
    }

    /// Whether all of it could be read. A damaged disk may be named instead of what was on it.
    fn feed(&mut self, node: Node, running: &Running, from: u64) -> bool {
        for stored in running.history().events(from) {
            let stored = match stored {
                Ok(stored) => stored,
                Err(error) => {
                    let named = error.to_string().contains(&format!("{}/", host(node)));
                    if !(named && world(|world| world.damaged.as_ref() == Some(&host(node)))) {
                        self.wrong(format!("node {node}: its history cannot be read: {error}"));
                    }
                    return false;
                }
            };
            let mut event = match audit::event(&stored.bytes) {
                Ok(event) => event,
                Err(error) => {
                    self.wrong(format!("node {node}: event {}: {error}", stored.seq));
                    return false;
                }
            };
            if self.mutation == Some(Mutation::OtherEvent) && node == 2 && stored.seq == 40 {
                event.actor.push('!');
            }
            let event = Arc::new(event);
            if stored.seq == self.watch.log().len() as u64 {
                self.see(Seen::Event(&event));
                self.windows(&event);
            }
            self.see(Seen::Applied { node, event: &event });
        }
        true
    }

    /// Faults are over.
    pub(crate) fn healed(&mut self) {
        let at = self.watch.fleet().time;
        self.see(Seen::Healed { at });
    }

    /// Whether everything that was begun has come to an end, on every node.
    pub(crate) fn is_at_rest(&self) -> bool {
        let fleet = self.watch.fleet();
        let mut ended = fleet.rollouts.values().map(|rollout| rollout.status);
        let leased = fleet.agents.values().any(|agent| !agent.legs.is_empty());
        ended.all(|status| status.ended() || status == Status::Planned)
            && !leased
            && (1..=self.nodes).all(|node| {
                world(|world| {
                    let running = world.processes.get(&host(node))?.running.clone()?;
                    Some(running.history().head().size == self.watch.log().len() as u64)
                })
                .unwrap_or(false)
            })
    }

    /// Faults have ended long ago, and there is no rest.
    pub(crate) fn overdue(&mut self) {
        let fleet = self.watch.fleet();
        let open: Vec<String> = fleet
            .rollouts
            .values()
            .filter(|rollout| !rollout.status.ended() && rollout.status != Status::Planned)
            .map(|rollout| format!("{} is {:?}", rollout.id, rollout.status))
            .collect();
        let nodes: Vec<String> = (1..=self.nodes)
            .map(|node| {
                let running = world(|world| world.processes.get(&host(node))?.running.clone());
                let size = running.map(|running| running.history().head().size);
                format!("node {node} has {size:?} of {} events", self.watch.log().len())
            })
            .collect();
        self.wrong(format!("a minute after the last fault there is no rest: {open:?}, {nodes:?}"));
    }

    /// Nothing moves any more.
    pub(crate) fn end(&mut self, now: u64) {
        self.look(now);
        self.histories(true);
        let mut roots = Vec::new();
        for node in 1..=self.nodes {
            let running = world(|world| world.processes.get(&host(node))?.running.clone());
            let Some(running) = running else {
                self.wrong(format!("node {node} does not run in the end"));
                continue;
            };
            self.see(Seen::State { node, fleet: &running.fleet() });
            // All of it once more, from the disk.
            self.feed(node, &running, 0);
            let head = running.history().head();
            roots.push((node, Seq(head.size), Digest(head.root.0).short()));
        }
        if roots.windows(2).any(|two| two[0].1 != two[1].1 || two[0].2 != two[1].2) {
            self.wrong(format!("the nodes have not come to the same log: {roots:?}"));
        }
        let mut targets = std::mem::take(&mut self.targets);
        for target in &mut targets {
            match target.found() {
                Ok(database) => self.see(Seen::Found(&database)),
                Err(what) => self.wrong(what),
            }
        }
        self.targets = targets;
        self.see(Seen::End);
    }
}
