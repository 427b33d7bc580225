//! What is on the platter. Knows paths and bytes; who writes and through which call is not its matter.

mod damage;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{Chance, real};

/// What a disk writes as one.
const SECTOR: usize = 512;
/// Where removed files wait until their removal is on the disk, below the root.
const GRAVES: &[u8] = b"/.graves";

/// What a power cut leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// All of it, as if it had just been synced.
    All,
    /// Nothing of it.
    Nothing,
    /// Of each sector either.
    Torn,
}

/// A file by its number in the real file system.
pub(super) type Inode = u64;

enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Len(usize),
}

#[derive(Default)]
struct File {
    path: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// A sync has failed: the file shows what is not on the disk, and never will be.
    spoilt: bool,
    syncs: u64,
    /// Bytes on the disk that are not what was written: where, what was written, and what is there.
    hurts: BTreeMap<usize, (u8, u8)>,
}

impl File {
    fn apply(image: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Len(len) => image.resize(*len, 0),
            Change::Write { at, bytes } => put(image, *at, bytes),
        }
    }
}

fn put(image: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[at..end].copy_from_slice(bytes);
}

/// A change of names that its directory has not been synced for.
enum Naming {
    /// A file or a directory was made.
    Made { path: Vec<u8>, directory: bool },
    /// A file was removed: what it was lies in a grave.
    Removed { path: Vec<u8>, grave: Vec<u8> },
    /// A directory was removed.
    RemovedDirectory { path: Vec<u8> },
    /// A file got another name; what had that name before lies in a grave.
    Renamed { from: Vec<u8>, to: Vec<u8>, grave: Option<Vec<u8>> },
}

impl Naming {
    fn path(&self) -> &[u8] {
        let (Self::Made { path, .. }
        | Self::Removed { path, .. }
        | Self::RemovedDirectory { path }
        | Self::Renamed { to: path, .. }) = self;
        path
    }

    /// The directory whose sync makes it last.
    fn directory(&self) -> &[u8] {
        parent(self.path())
    }
}

fn parent(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    &path[..end]
}

fn below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
}

/// Every file and name of all simulated disks.
pub(super) struct Media {
    graves: Vec<u8>,
    buried: u64,
    files: BTreeMap<Inode, File>,
    namings: Vec<Naming>,
    /// Numbers by which files are known to those who ask, in the order in which they asked.
    numbers: BTreeMap<Inode, u64>,
    watched: Vec<Watched>,
    commits: Vec<(PathBuf, Vec<u8>)>,
}

/// A file that has a journal while it is changed.
struct Watched {
    file: Vec<u8>,
    journal: Vec<u8>,
    /// Of the file, when it was last whole.
    syncs: u64,
}

impl Media {
    pub(super) fn new(root: &[u8]) -> Self {
        let graves = [root, GRAVES].concat();
        real_mkdir(&graves);
        Self {
            graves,
            buried: 0,
            files: BTreeMap::new(),
            namings: Vec::new(),
            numbers: BTreeMap::new(),
            watched: Vec::new(),
            commits: Vec::new(),
        }
    }

    pub(super) fn knows(&self, inode: Inode) -> bool {
        self.files.contains_key(&inode)
    }

    pub(super) fn path(&self, inode: Inode) -> Option<&[u8]> {
        self.files.get(&inode).map(|file| file.path.as_slice())
    }

    /// The number that a file shows: the same in every run.
    pub(super) fn number(&mut self, inode: Inode) -> u64 {
        let next = 1_000 + self.numbers.len() as u64;
        *self.numbers.entry(inode).or_insert(next)
    }

    pub(super) fn opened(&mut self, inode: Inode, path: &[u8], made: bool, emptied: bool) {
        if made {
            self.numbers.remove(&inode);
            self.files.insert(inode, File { path: path.to_vec(), ..File::default() });
            self.namings.push(Naming::Made { path: path.to_vec(), directory: false });
        } else if emptied && let Some(file) = self.files.get_mut(&inode) {
            file.pending.push(Change::Len(0));
        }
    }

    pub(super) fn wrote(&mut self, inode: Inode, at: usize, bytes: &[u8]) {
        if let Some(file) = self.files.get_mut(&inode) {
            file.pending.push(Change::Write { at, bytes: bytes.to_vec() });
        }
    }

    pub(super) fn cut(&mut self, inode: Inode, len: usize) {
        if let Some(file) = self.files.get_mut(&inode) {
            file.pending.push(Change::Len(len));
        }
    }

    /// A file was synced; its name was not.
    pub(super) fn synced(&mut self, inode: Inode) {
        if let Some(file) = self.files.get_mut(&inode) {
            file.syncs += 1;
            for change in std::mem::take(&mut file.pending) {
                file.outgrow(&change);
                File::apply(&mut file.durable, &change);
            }
        }
    }

    /// A sync failed: what it was for will not come to the disk any more.
    pub(super) fn spoilt(&mut self, inode: Inode) {
        if let Some(file) = self.files.get_mut(&inode) {
            file.pending.clear();
            file.spoilt = true;
        }
    }

    pub(super) fn synced_directory(&mut self, path: &[u8]) {
        let (lasting, rest) = std::mem::take(&mut self.namings)
            .into_iter()
            .partition(|naming| naming.directory() == path);
        self.namings = rest;
        self.settle(lasting);
        self.note_commits(path);
    }

    /// Changes of names that last: what lies in their graves is gone.
    fn settle(&mut self, namings: Vec<Naming>) {
        for naming in namings {
            if let Naming::Removed { grave, .. } | Naming::Renamed { grave: Some(grave), .. } =
                naming
            {
                self.files.retain(|_, file| file.path != grave);
                real_unlink(&grave);
            }
        }
    }

    pub(super) fn made_directory(&mut self, path: &[u8]) {
        self.namings.push(Naming::Made { path: path.to_vec(), directory: true });
    }

    pub(super) fn removed_directory(&mut self, path: &[u8]) {
        self.namings.push(Naming::RemovedDirectory { path: path.to_vec() });
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) {
        for file in self.files.values_mut() {
            if below(&file.path, from) {
                file.path = [to, &file.path[from.len()..]].concat();
            }
        }
    }

    fn grave(&mut self) -> Vec<u8> {
        self.buried += 1;
        [self.graves.as_slice(), format!("/{}", self.buried).as_bytes()].concat()
    }

    /// Removes a file; the kernel's answer.
    pub(super) fn remove(&mut self, path: &[u8]) -> isize {
        let grave = self.grave();
        let done = real_rename(path, &grave);
        if done == 0 {
            self.rename(path, &grave);
            self.namings.push(Naming::Removed { path: path.to_vec(), grave });
        }
        done
    }

    /// Gives a file another name; the kernel's answer.
    pub(super) fn renamed(&mut self, from: &[u8], to: &[u8]) -> isize {
        let grave = self.grave();
        let replaced = real_rename(to, &grave) == 0;
        let done = real_rename(from, to);
        if done != 0 {
            if replaced {
                real_rename(&grave, to);
            }
            return done;
        }
        if replaced {
            self.rename(to, &grave);
        }
        self.rename(from, to);
        let grave = replaced.then_some(grave);
        self.namings.push(Naming::Renamed { from: from.to_vec(), to: to.to_vec(), grave });
        0
    }

    pub(super) fn files(&self, directory: &[u8]) -> Vec<(PathBuf, u64)> {
        let mut files: Vec<(PathBuf, u64)> = self
            .files
            .values()
            .filter(|file| below(&file.path, directory))
            .map(|file| (to_path(&file.path), file.durable.len() as u64))
            .collect();
        files.sort();
        files
    }

    /// Keeps what `file` is whenever it is whole: when its directory is synced and no `journal` of it is
    /// there.
    pub(super) fn watch(&mut self, file: Vec<u8>, journal: Vec<u8>) {
        self.watched.push(Watched { file, journal, syncs: 0 });
    }

    pub(super) fn take_commits(&mut self) -> Vec<(PathBuf, Vec<u8>)> {
        std::mem::take(&mut self.commits)
    }

    fn note_commits(&mut self, directory: &[u8]) {
        for watched in &mut self.watched {
            note_commit(&self.files, watched, directory, &mut self.commits);
        }
    }

    /// Cuts the power: what is left is what the real files hold then. How many changes were lost.
    pub(super) fn power_cut(&mut self, directory: &[u8], left: Left, chance: &mut Chance) -> u64 {
        let mut lost = 0;
        // In the order of their names: numbers of files differ from run to run.
        let mut hit: Vec<(Vec<u8>, Inode)> = self
            .files
            .iter()
            .filter(|(_, file)| below(&file.path, directory))
            .map(|(inode, file)| (file.path.clone(), *inode))
            .collect();
        hit.sort();
        for (path, inode) in hit {
            if let Some(file) = self.files.get_mut(&inode)
                && (file.spoilt || !file.pending.is_empty())
            {
                file.spoilt = false;
                let changes = std::mem::take(&mut file.pending);
                lost += keep(&mut file.durable, &changes, left, chance);
                let File { hurts, durable, .. } = file;
                hurts.retain(|at, (_, is)| durable.get(*at) == Some(&*is));
                real_contents(&path, &file.durable);
            }
        }
        let lost = lost + self.names_left(directory, left, chance);
        // Whatever is there now lasts.
        for watched in &mut self.watched {
            if below(&watched.file, directory) {
                watched.syncs = u64::MAX;
                let path = parent(&watched.file).to_vec();
                note_commit(&self.files, watched, &path, &mut self.commits);
            }
        }
        lost
    }

    fn names_left(&mut self, directory: &[u8], left: Left, chance: &mut Chance) -> u64 {
        let (mut hit, rest): (Vec<Naming>, Vec<Naming>) = std::mem::take(&mut self.namings)
            .into_iter()
            .partition(|naming| below(naming.directory(), directory));
        self.namings = rest;
        let kept = match left {
            Left::All => hit.len(),
            Left::Nothing => 0,
            Left::Torn => usize::try_from(chance.below(hit.len() as u64 + 1)).unwrap_or(0),
        };
        let undone = hit.split_off(kept);
        let lost = undone.len() as u64;
        for naming in undone.into_iter().rev() {
            match naming {
                Naming::Made { path, directory: false } => {
                    self.files.retain(|_, file| file.path != path);
                    real_unlink(&path);
                }
                // What is in it was made later, and is gone already, unless it was synced: then it lasts.
                Naming::Made { path, directory: true } => drop(real_rmdir(&path)),
                Naming::RemovedDirectory { path } => real_mkdir(&path),
                Naming::Removed { path, grave } => {
                    real_rename(&grave, &path);
                    self.rename(&grave, &path);
                }
                Naming::Renamed { from, to, grave } => {
                    real_rename(&to, &from);
                    self.rename(&to, &from);
                    if let Some(grave) = grave {
                        real_rename(&grave, &to);
                        self.rename(&grave, &to);
                    }
                }
            }
        }
        self.settle(hit);
        // What a file in a grave was about to be is settled by now, too.
        let inodes: Vec<Inode> = self.files.keys().copied().collect();
        for inode in inodes {
            if self.path(inode).is_some_and(|path| below(path, directory)) {
                self.synced_as_it_is(inode);
            }
        }
        lost
    }

    /// A file that came back from its grave has what was synced of it.
    fn synced_as_it_is(&mut self, inode: Inode) {
        if let Some(file) = self.files.get_mut(&inode)
            && !file.pending.is_empty()
        {
            file.pending.clear();
            real_contents(&file.path, &file.durable);
        }
    }
}

/// Keeps what a watched file below `directory` is, if it is whole and was synced since.
fn note_commit(
    files: &BTreeMap<Inode, File>,
    watched: &mut Watched,
    directory: &[u8],
    commits: &mut Vec<(PathBuf, Vec<u8>)>,
) {
    if parent(&watched.file) != directory || files.values().any(|file| file.path == watched.journal)
    {
        return;
    }
    let file = files.values().find(|file| file.path == watched.file);
    if let Some(file) = file.filter(|file| file.pending.is_empty())
        && file.syncs != watched.syncs
    {
        watched.syncs = file.syncs;
        commits.push((to_path(&file.path), file.durable.clone()));
    }
}

/// What of a file's changes comes through; how many do not, or in part. Of the changes to one sector the
/// later is never there without the earlier: both stood in one page. So it is with lengths.
fn keep(image: &mut Vec<u8>, changes: &[Change], left: Left, chance: &mut Chance) -> u64 {
    match left {
        Left::All => {
            for change in changes {
                File::apply(image, change);
            }
            0
        }
        Left::Nothing => changes.len() as u64,
        Left::Torn => {
            let mut rest = changes;
            while !rest.is_empty() {
                let to = rest.iter().position(|change| matches!(change, Change::Len(_)));
                let (writes, after) = rest.split_at(to.unwrap_or(rest.len()));
                let Some((cut, after)) = after.split_first() else {
                    return torn(image, writes, chance);
                };
                // A cut is an order between what is before it and what is behind.
                if chance.percent(50) {
                    return torn(image, writes, chance) + 1 + after.len() as u64;
                }
                for change in writes {
                    File::apply(image, change);
                }
                File::apply(image, cut);
                rest = after;
            }
            0
        }
    }
}

/// Of each sector's writes some first part.
fn torn(image: &mut Vec<u8>, writes: &[Change], chance: &mut Chance) -> u64 {
    let mut pieces: BTreeMap<usize, Vec<(usize, &[u8])>> = BTreeMap::new();
    let mut lens = vec![image.len()];
    for change in writes {
        let Change::Write { at, bytes } = change else { continue };
        lens.push(lens.last().copied().unwrap_or(0).max(at + bytes.len()));
        let mut from = 0;
        while from < bytes.len() {
            let place = at + from;
            let to = bytes.len().min(from + SECTOR - place % SECTOR);
            pieces.entry(place / SECTOR).or_default().push((place, &bytes[from..to]));
            from = to;
        }
    }
    let kept = |count: usize, chance: &mut Chance| match chance.below(3) {
        0 => 0,
        1 => count,
        _ => usize::try_from(chance.below(count as u64 + 1)).unwrap_or(0),
    };
    let mut lost = 0;
    for sector in pieces.into_values() {
        let first = kept(sector.len(), chance);
        for (place, bytes) in sector.iter().take(first) {
            put(image, *place, bytes);
        }
        lost += u64::from(first < sector.len());
    }
    // A length may have come through without its bytes, and the reverse.
    let first = kept(lens.len() - 1, chance);
    image.resize(lens.get(first).copied().unwrap_or(0), 0);
    lost
}

fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes))
}

fn c(path: &[u8]) -> std::ffi::CString {
    std::ffi::CString::new(path).unwrap_or_default()
}

fn real_mkdir(path: &[u8]) {
    let path = c(path);
    // SAFETY: a string that is there.
    unsafe { real::syscall(libc::SYS_mkdir, [path.as_ptr() as usize, 0o755, 0, 0, 0, 0]) };
}

fn real_rmdir(path: &[u8]) -> isize {
    let path = c(path);
    // SAFETY: a string that is there.
    unsafe { real::syscall(libc::SYS_rmdir, [path.as_ptr() as usize, 0, 0, 0, 0, 0]) }
}

fn real_unlink(path: &[u8]) {
    let path = c(path);
    // SAFETY: a string that is there.
    unsafe { real::syscall(libc::SYS_unlink, [path.as_ptr() as usize, 0, 0, 0, 0, 0]) };
}

fn real_rename(from: &[u8], to: &[u8]) -> isize {
    let (from, to) = (c(from), c(to));
    // SAFETY: strings that are there.
    unsafe {
        real::syscall(libc::SYS_rename, [from.as_ptr() as usize, to.as_ptr() as usize, 0, 0, 0, 0])
    }
}

fn with_file(path: &[u8], work: impl FnOnce(usize)) {
    let path = c(path);
    let flags = usize::try_from(libc::O_RDWR | libc::O_CLOEXEC).unwrap_or(0);
    // SAFETY: a string that is there, and a descriptor that is this function's own.
    unsafe {
        let file = real::syscall(libc::SYS_open, [path.as_ptr() as usize, flags, 0, 0, 0, 0]);
        if let Ok(file) = usize::try_from(file) {
            work(file);
            real::syscall(libc::SYS_close, [file, 0, 0, 0, 0, 0]);
        }
    }
}

fn real_write(path: &[u8], at: usize, bytes: &[u8]) {
    // SAFETY: a buffer that is there.
    with_file(path, |file| unsafe {
        let to = [file, bytes.as_ptr() as usize, bytes.len(), at, 0, 0];
        real::syscall(libc::SYS_pwrite64, to);
    });
}

/// The byte that a reader sees at `at`.
fn real_read(path: &[u8], at: usize) -> Option<u8> {
    let mut byte = [0_u8];
    let mut read = 0;
    // SAFETY: a buffer that is there.
    with_file(path, |file| unsafe {
        read = real::syscall(libc::SYS_pread64, [file, byte.as_mut_ptr() as usize, 1, at, 0, 0]);
    });
    (read == 1).then_some(byte[0])
}

fn real_contents(path: &[u8], bytes: &[u8]) {
    // SAFETY: as the kernel wants it.
    with_file(path, |file| unsafe {
        real::syscall(libc::SYS_ftruncate, [file, 0, 0, 0, 0, 0]);
    });
    real_write(path, 0, bytes);
}
