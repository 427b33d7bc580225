//! Disks that keep what was synced, and may lose the rest.
//!
//! ```text
//!   hooks   write, fsync, rename and their like: what is done below the simulation's root is noted
//!   media   what of it is on the platter, and what a power cut may leave
//! ```
//!
//! Contents are on the disk once the file was synced, names once their directory was. At a power cut
//! ([`power_cut`]) each sector of what was written since may have come through or not, in any
//! combination, and of the names some first part in the order in which they were changed. After a failed
//! sync what was to be synced stays unsafe for good, as on Linux: a later sync that succeeds does not
//! bring it to the disk.

mod hooks;
mod media;

use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::owner::Owner;
use crate::{Chance, trace};

pub use media::Left;

/// How an owner's disk behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Behaviour {
    /// A sync takes at least so long, nanoseconds (where a thread of its own does it).
    pub sync_least: u64,
    /// And at most so long.
    pub sync_most: u64,
    /// The next so many syncs fail with EIO.
    pub failing_syncs: u32,
    /// Writes fail with ENOSPC.
    pub full: bool,
    /// Syncs that say that they are done, and do nothing.
    pub lying: Lie,
}

/// Which syncs only pretend: what an acknowledgement ahead of the disk comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lie {
    /// None.
    #[default]
    None,
    /// All of them.
    All,
    /// Those of files and directories with this in their path.
    Of(&'static str),
}

impl Lie {
    fn about(self, path: &[u8]) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Of(part) => path.windows(part.len()).any(|window| window == part.as_bytes()),
        }
    }
}

/// Figures of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    /// Syncs that were asked for.
    pub syncs: u64,
    /// Of them, those that failed.
    pub failed: u64,
    /// Power cuts.
    pub cuts: u64,
    /// Writes, or parts of one, that a power cut took back.
    pub lost: u64,
}

struct Disks {
    root: Vec<u8>,
    media: media::Media,
    behaviours: BTreeMap<Owner, Behaviour>,
    latency: Chance,
    count: Count,
}

struct Shared(UnsafeCell<Option<Disks>>);
// SAFETY: looked at only by the thread that holds the baton.
unsafe impl Sync for Shared {}
static DISKS: Shared = Shared(UnsafeCell::new(None));

/// The disks, where a simulation is under way. What this gives is not kept beyond one call from outside.
fn disks() -> Option<&'static mut Disks> {
    if !crate::baton::is_member() {
        return None;
    }
    // SAFETY: the baton is held.
    unsafe { (*DISKS.0.get()).as_mut() }
}

pub(crate) fn begin(root: &Path) {
    let root = root.as_os_str().as_bytes().to_vec();
    let mut seed = [0; 8];
    crate::chance::fill(&mut seed);
    let disks = Disks {
        media: media::Media::new(&root),
        root,
        behaviours: BTreeMap::new(),
        latency: Chance::new(u64::from_le_bytes(seed)),
        count: Count::default(),
    };
    // SAFETY: the baton is held.
    unsafe { *DISKS.0.get() = Some(disks) };
}

pub(crate) fn end() {
    // SAFETY: the baton is held.
    unsafe { *DISKS.0.get() = None };
}

/// How the disk of `owner` behaves from now on.
pub fn behave(owner: Owner, behaviour: Behaviour) {
    if let Some(disks) = disks() {
        disks.behaviours.insert(owner, behaviour);
    }
}

/// How it behaves now.
pub fn behaviour(owner: Owner) -> Behaviour {
    disks().and_then(|disks| disks.behaviours.get(&owner).copied()).unwrap_or_default()
}

/// The power is cut of the disk that `directory` is on. Nobody may have a file of it open.
pub fn power_cut(directory: &Path, left: Left, chance: &mut Chance) {
    if let Some(disks) = disks() {
        let full = disks.full(directory);
        let lost = disks.media.power_cut(&full, left, chance);
        disks.count.cuts += 1;
        disks.count.lost += lost;
        trace::note(&format!("power cut of {}, {left:?}: {lost} lost", directory.display()));
    }
}

/// Files below `directory`, with the number of bytes of each that are on the disk, in order.
pub fn files(directory: &Path) -> Vec<(PathBuf, u64)> {
    disks().map(|disks| disks.media.files(&disks.full(directory))).unwrap_or_default()
}

/// Flips a bit of what is on the disk. Whether there is such a place.
pub fn rot(file: &Path, at: u64, bit: u8) -> bool {
    disks().is_some_and(|disks| {
        let full = disks.full(file);
        disks.media.rot(&full, at, bit)
    })
}

/// Keeps what `file` is each time that a transaction on it is on the disk: when its directory is synced
/// and its `journal` is gone.
pub fn watch(file: &Path, journal: &Path) {
    if let Some(disks) = disks() {
        let (file, journal) = (disks.full(file), disks.full(journal));
        disks.media.watch(file, journal);
    }
}

/// What the watched files were, in order, since the last call.
pub fn take_commits() -> Vec<(PathBuf, Vec<u8>)> {
    disks().map(|disks| disks.media.take_commits()).unwrap_or_default()
}

impl Disks {
    /// A path as from the root directory.
    fn full(&self, path: &Path) -> Vec<u8> {
        let bytes = path.as_os_str().as_bytes();
        if path.is_absolute() {
            bytes.to_vec()
        } else {
            [&self.root, b"/".as_slice(), bytes].concat()
        }
    }
}

/// What happened to the disks so far.
pub fn count() -> Count {
    disks().map(|disks| disks.count).unwrap_or_default()
}
