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
//! bring it to the disk. What is on it may be damaged ([`strike`], [`lead_astray`]) until it is put back ([`mend`]).

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
    /// Sectors that went astray.
    pub astray: u64,
    /// Damaged bytes that were put back.
    pub mended: u64,
}

/// What is to happen to an owner's next sync.
struct Misdirection {
    way: Astray,
    directory: Vec<u8>,
    part: &'static str,
    chance: Chance,
}

struct Disks {
    root: Vec<u8>,
    media: media::Media,
    behaviours: BTreeMap<Owner, Behaviour>,
    astray: BTreeMap<Owner, Misdirection>,
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
        astray: BTreeMap::new(),
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

/// What is on the disk of a file that shows just that; nothing where something is still to be written.
pub fn contents(file: &Path) -> Option<Vec<u8>> {
    let disks = disks()?;
    let full = disks.full(file);
    disks.media.contents(&full).map(<[u8]>::to_vec)
}

/// Other bytes stand at `at` on the disk of a file that is not being written, as if it had changed by itself.
/// Whether there is such a place.
pub fn strike(file: &Path, at: usize, bytes: &[u8]) -> bool {
    disks().is_some_and(|disks| {
        let full = disks.full(file);
        let done = disks.media.strike(&full, at, bytes);
        if done {
            trace::note(&format!("strike {} {at} {}", file.display(), bytes.len()));
        }
        done
    })
}

/// Where a sector goes that was written elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Astray {
    /// To another place as well.
    Also,
    /// To another place, and where it was meant for stands what stood there before: the sector of before, or what
    /// a file had that was there once.
    Instead,
}

/// Of the next file with `part` in its path that `owner` syncs, a sector goes astray on the disk that `directory`
/// is on.
pub fn lead_astray(
    owner: Owner,
    way: Astray,
    directory: &Path,
    part: &'static str,
    chance: Chance,
) {
    if let Some(disks) = disks() {
        let directory = disks.full(directory);
        disks.astray.insert(owner, Misdirection { way, directory, part, chance });
    }
}

/// No sector of the owner's goes astray any more.
pub fn lead_aright(owner: Owner) {
    if let Some(disks) = disks() {
        disks.astray.remove(&owner);
    }
}

/// Looks at what is below `directory` as if nothing of it were damaged.
pub fn undamaged<T>(directory: &Path, look: impl FnOnce() -> T) -> T {
    let veil = disks().map(|disks| disks.media.unveil(&disks.full(directory)));
    let seen = look();
    if let (Some(disks), Some(veil)) = (disks(), veil) {
        disks.media.veil(&veil);
    }
    seen
}

/// Puts back whatever was damaged below `directory`, as from a mirror. Nobody may have a file of it open.
pub fn mend(directory: &Path) {
    if let Some(disks) = disks() {
        let full = disks.full(directory);
        let mended = disks.media.mend(&full);
        disks.count.mended += mended;
        trace::note(&format!("mend {}: {mended} bytes", directory.display()));
    }
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
    /// A file is on the disk, but for what of it goes astray.
    fn synced(&mut self, owner: Owner, inode: media::Inode, path: &[u8]) {
        if let Some(mut it) = self.astray.remove(&owner) {
            let concerned = Lie::Of(it.part).about(path);
            let done = concerned
                .then(|| self.media.synced_astray(inode, it.way, &it.directory, &mut it.chance));
            if let Some(what) = done.flatten() {
                self.count.astray += 1;
                let root = String::from_utf8_lossy(&self.root);
                trace::note(&format!("astray: {}", what.replace(&*root, "")));
            } else {
                self.astray.insert(owner, it);
            }
        }
        self.media.synced(inode);
    }

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
