//! Damage to what is on a node's disk already: bits that flip, and sectors that are written elsewhere.
//!
//! One node at a time, so that a majority has all that it said. After a while the disk's mirror is restored:
//! the very bytes are put back.

use std::path::{Path, PathBuf};

use skein_chaos_interpose::disk::{self, Astray};
use skein_chaos_interpose::{Chance, Simulation};

use crate::mutation::Mutation;
use crate::world::{Node, world};
use crate::{node, seal};

/// How often it is looked whether a bug that is planted can be, at most.
const TRIES: u32 = 200;

/// What befalls disks.
pub(crate) struct Damage {
    chance: Chance,
    nodes: Node,
    next: u64,
    mutation: Option<Mutation>,
    hit: Option<Hit>,
}

struct Hit {
    node: Node,
    until: u64,
    /// Its process is killed then, and reads what is on the disk when it starts. Else it meets the damage while
    /// it runs, when something else kills it, or not at all.
    kill_at: Option<u64>,
}

impl Damage {
    pub(crate) fn new(chance: Chance, nodes: Node, mutation: Option<Mutation>) -> Self {
        Self { chance, nodes, next: 1_500, mutation, hit: None }
    }

    /// A node's disk is damaged now.
    pub(crate) fn is_under_way(&self) -> bool {
        self.hit.is_some()
    }

    /// The node whose disk is to be put right, if its time has come.
    pub(crate) fn over(&mut self, now: u64) -> Option<String> {
        let hit = self.hit.take_if(|hit| hit.until <= now)?;
        self.next = now + self.chance.between(500, 6_000);
        Some(node::host(hit.node))
    }

    /// How long a node is down, milliseconds.
    pub(crate) fn pause(&mut self) -> u64 {
        self.chance.between(50, 1_000)
    }

    /// Whatever is damaged is to be put right, and nothing more is damaged.
    pub(crate) fn end(&mut self) -> Option<String> {
        self.next = u64::MAX;
        self.hit.take().map(|hit| node::host(hit.node))
    }

    /// The node that is to be killed, if its time has come.
    pub(crate) fn kills(&mut self, now: u64) -> Option<String> {
        let hit = self.hit.as_mut()?;
        hit.kill_at.take_if(|at| *at <= now)?;
        Some(node::host(hit.node))
    }

    /// Damages something, if its time has come, and says what kind of damage it is.
    pub(crate) fn begin(&mut self, os: &Simulation, now: u64) -> Option<&'static str> {
        if now < self.next || self.hit.is_some() {
            return None;
        }
        let node = self.chance.between(1, self.nodes + 1);
        let host = node::host(node);
        let (kind, begun, kill_at) = if self.rots() {
            let kill_at = self.chance.percent(50).then_some(now);
            ("rot", self.rot(&host), kill_at)
        } else {
            // It has to write something first.
            let kill_at = now + self.chance.between(200, 1_500);
            let kill_at = self.chance.percent(70).then_some(kill_at);
            ("misdirected", self.misdirect(&host), kill_at)
        };
        if !begun {
            self.next = now + 100;
            return None;
        }
        os.note(&format!("{kind} {host}"));
        let kill_at = kill_at.filter(|_| self.mutation != Some(Mutation::UncheckedRot));
        let until = now + self.chance.between(1_000, 6_000);
        self.hit = Some(Hit { node, until, kill_at });
        world(|world| world.damaged = Some(host));
        Some(kind)
    }

    fn rots(&mut self) -> bool {
        match self.mutation {
            Some(Mutation::UncheckedRot) => true,
            _ => self.chance.percent(60),
        }
    }

    fn pick<'a, T>(&mut self, among: &'a [T]) -> Option<&'a T> {
        among.get(usize::try_from(self.chance.below(among.len() as u64)).ok()?)
    }

    /// Bits flip, near each other, in one file. Each kind of file is hit as often as any other.
    fn rot(&mut self, host: &str) -> bool {
        if self.mutation == Some(Mutation::UncheckedRot) {
            return self.unchecked_rot(host);
        }
        let mut files = files(host);
        let mut kinds: Vec<PathBuf> = files.iter().map(|file| kind_of(file)).collect();
        kinds.dedup();
        let Some(kind) = self.pick(&kinds).cloned() else { return false };
        files.retain(|file| kind_of(file) == kind);
        let Some(file) = self.pick(&files).cloned() else { return false };
        let Some(contents) = disk::contents(&file) else { return false };
        let len = contents.len() as u64;
        let from = self.chance.below(len);
        let within = self.chance.between(1, 513).min(len - from);
        let mut done = false;
        for _ in 0..self.chance.between(1, 9) {
            let at = usize::try_from(from + self.chance.below(within)).unwrap_or(0);
            let bit = self.chance.below(8);
            if let Some(byte) = contents.get(at) {
                done |= disk::strike(&file, at, &[byte ^ (1 << bit)]);
            }
        }
        done
    }

    /// A letter of an event in the history becomes another, and its frame's checksum fits.
    fn unchecked_rot(&mut self, host: &str) -> bool {
        let segments = files(host).into_iter().filter(|file| kind_of(file).ends_with("seg"));
        let segments: Vec<PathBuf> = segments.collect();
        for _ in 0..TRIES {
            let Some(file) = self.pick(&segments).cloned() else { return false };
            let Some(contents) = disk::contents(&file) else { return false };
            let at = usize::try_from(self.chance.below(contents.len() as u64)).unwrap_or(0);
            if let Some((place, frame)) = seal::altered(&contents, at) {
                return disk::strike(&file, place, &frame);
            }
        }
        false
    }

    /// A sector of what the node syncs next goes elsewhere on its disk.
    fn misdirect(&mut self, host: &str) -> bool {
        let Some(owner) = world(|world| world.processes.get(host).map(|it| it.owner)) else {
            return false;
        };
        let way = if self.chance.percent(50) { Astray::Also } else { Astray::Instead };
        disk::lead_astray(owner, way, Path::new(host), "/", self.chance.fork());
        true
    }
}

/// Files on a node's disk that have something, in order, as a process sees them.
fn files(host: &str) -> Vec<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default();
    let files = disk::files(Path::new(host)).into_iter().filter(|(_, len)| *len > 0);
    files.filter_map(|(file, _)| Some(file.strip_prefix(&here).ok()?.to_owned())).collect()
}

/// Files of one kind: by their directory, and what their names end with.
fn kind_of(file: &Path) -> PathBuf {
    file.parent().unwrap_or(file).join(file.extension().unwrap_or_default())
}
