//! Pulling the plug: the root becomes what a disk may hold.
//!
//! First everything that is not durable is undone, the last first. Then, in the order in which it was
//! done, what the seed keeps is done again: names one by one, bytes block by block.

mod data;
mod names;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use crate::control::Faults;
use crate::dice::Dice;
use crate::journal::{Injected, Journal, Record};
use crate::layer::KEPT;

/// When names are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Directories {
    /// When their directory was forced to the disk: all that POSIX promises.
    #[default]
    Strict,
    /// Also when any file was forced after them, as ext4's journal does in fact.
    Ordered,
}

/// What a pull did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Writes and truncations that were not durable.
    pub writes: u64,
    /// Of these: not there.
    pub dropped: u64,
    /// Of these: there in part.
    pub torn: u64,
    /// Names made, moved and removed that were not durable.
    pub names: u64,
    /// Of these: not there.
    pub names_dropped: u64,
}

impl std::ops::AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.writes += other.writes;
        self.dropped += other.dropped;
        self.torn += other.torn;
        self.names += other.names;
        self.names_dropped += other.names_dropped;
    }
}

/// How many of each fault were done since the last pull.
pub fn injected(side: &Path) -> io::Result<BTreeMap<Injected, u64>> {
    let mut counts = BTreeMap::new();
    for (_, record) in Journal::read(side)? {
        if let Record::Fault(injected) = record {
            *counts.entry(injected).or_insert(0) += 1;
        }
    }
    Ok(counts)
}

/// What is not durable, in the order in which it was done.
#[derive(Debug, Default)]
struct Pending {
    names: Vec<(u64, Record)>,
    /// By inode, and by how many files had the inode before.
    files: BTreeMap<(u64, u64), Vec<(u64, data::Change)>>,
}

impl Pending {
    fn of(records: Vec<(u64, Record)>, directories: Directories) -> Self {
        let mut pending = Self::default();
        let mut takes: BTreeMap<u64, u64> = BTreeMap::new();
        for (_, record) in &records {
            if let Record::Took { at, len } = record {
                takes.insert(*at, *len);
            }
        }
        let mut generations: BTreeMap<u64, u64> = BTreeMap::new();
        for (at, record) in records {
            let generation = |ino: u64| generations.get(&ino).copied().unwrap_or(0);
            match record {
                Record::Write { ino, .. } | Record::Truncate { ino, .. } => {
                    if let Some(change) = data::Change::of(record, takes.get(&at).copied()) {
                        pending.files.entry((ino, generation(ino))).or_default().push((at, change));
                    }
                }
                Record::Synced { ino, upto } => {
                    if let Some(changes) = pending.files.get_mut(&(ino, generation(ino))) {
                        data::synced(changes, upto);
                    }
                    let ordered = directories == Directories::Ordered;
                    pending.names.retain(|(at, name)| {
                        *at >= upto || !(ordered || names::stands_in(name, ino))
                    });
                }
                Record::SyncFailed { ino, upto } => {
                    let changes = pending.files.entry((ino, generation(ino))).or_default();
                    let stood_for = changes.iter_mut().filter(|(at, _)| *at < upto);
                    for (_, change) in stood_for.filter(|(_, change)| !change.durable) {
                        change.doomed = true;
                    }
                }
                Record::AllSynced { upto } => {
                    pending.names.retain(|(at, _)| *at >= upto);
                    for changes in pending.files.values_mut() {
                        data::synced(changes, upto);
                    }
                }
                Record::Name { ino, fresh, .. } => {
                    if fresh {
                        *generations.entry(ino).or_insert(0) += 1;
                    }
                    pending.names.push((at, record));
                }
                Record::Unlink { .. } | Record::Rename { .. } => pending.names.push((at, record)),
                Record::Took { .. } | Record::Fault(_) => {}
            }
        }
        // An inode's earlier files are gone.
        pending.files.retain(|(ino, generation), changes| {
            !changes.is_empty() && generations.get(ino).copied().unwrap_or(0) == *generation
        });
        pending
    }
}

/// Makes `root` what `seed` says was on the disk when the power went, and forgets what led there. No
/// program may have it open. The faults end too.
pub fn pull(root: &Path, side: &Path, seed: u64, directories: Directories) -> io::Result<Outcome> {
    let mut dice = Dice::new(seed);
    // So that there is one to forget.
    drop(Journal::open(side)?);
    let pending = Pending::of(Journal::read(side)?, directories);
    let mut outcome = Outcome::default();
    let tree = names::Tree::new(root, side)?;
    tree.settle(&pending.names, &mut dice, &mut outcome)?;
    let places = tree.places()?;
    for ((ino, _), changes) in &pending.files {
        // A file without a name is nobody's.
        if let Some(path) = places.get(ino) {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            data::settle(&file, changes, &mut dice, &mut outcome)?;
        }
    }
    tree.clear()?;
    forget(side)?;
    Ok(outcome)
}

fn forget(side: &Path) -> io::Result<()> {
    fs::remove_dir_all(side.join(KEPT))?;
    fs::create_dir_all(side.join(KEPT))?;
    fs::remove_file(Journal::path(side))?;
    Faults::default().store(side)
}
