//! Between a program and its calls: what is not durable is written down, and faults are done.
//!
//! Each method is given the real call and makes it. It answers `None`, and makes nothing, where the file
//! is none of the root's. A write is written down before it is made and a name after, so that whatever a
//! kill leaves in between is a state that a power cut may leave as well.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};

use crate::control::{self, Faults, SyncFault};
use crate::dice::Dice;
use crate::journal::{Injected, Journal, Record};

/// Where files stay that have lost their name.
pub(crate) const KEPT: &str = "kept";

/// The layer over one root. All processes that use the root have one of their own, over the same side
/// directory.
#[derive(Debug)]
pub struct Layer {
    root: PathBuf,
    side: PathBuf,
    journal: Journal,
    control: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The text of `control` that `faults` came from.
    text: Vec<u8>,
    faults: Faults,
    failed: u64,
    dice: Dice,
}

/// A file of the root that a program has open.
struct Held {
    ino: u64,
    size: u64,
    path: PathBuf,
}

impl Layer {
    /// Puts the layer over `root`; both directories are made when absent, on one file system.
    pub fn open(root: &Path, side: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        fs::create_dir_all(side.join(KEPT))?;
        if !Faults::path(side).exists() {
            Faults::default().store(side)?;
        }
        let state = State {
            text: Vec::new(),
            faults: Faults::default(),
            failed: 0,
            dice: Dice::new(u64::from(std::process::id())),
        };
        Ok(Self {
            root: root.canonicalize()?,
            side: side.canonicalize()?,
            journal: Journal::open(side)?,
            control: File::open(Faults::path(side))?,
            state: Mutex::new(state),
        })
    }

    /// Whether this path, with its directory resolved, is in the root.
    pub fn covers(&self, path: &Path) -> bool {
        self.place(path).is_some()
    }

    /// The path from the root on, and the inode of its directory.
    fn place(&self, path: &Path) -> Option<(PathBuf, u64)> {
        let dir = match path.parent()? {
            empty if empty.as_os_str().is_empty() => Path::new("."),
            dir => dir,
        };
        let dir = dir.canonicalize().ok()?;
        let within = dir.strip_prefix(&self.root).ok()?.join(path.file_name()?);
        Some((within, fs::metadata(&dir).ok()?.ino()))
    }

    /// Whether this open file or directory is one of the root's.
    pub fn holds(&self, file: &File) -> bool {
        self.held(file).is_some()
    }

    fn held(&self, file: &File) -> Option<Held> {
        let meta = file.metadata().ok()?;
        if !(meta.is_file() || meta.is_dir()) || meta.nlink() == 0 {
            return None;
        }
        let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        let path = path.strip_prefix(&self.root).ok()?.to_owned();
        Some(Held { ino: meta.ino(), size: meta.len(), path })
    }

    /// Runs `work` while no other thread or process changes anything, with the faults of the moment.
    fn locked<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        rustix::fs::flock(self.journal.file(), FlockOperation::LockExclusive)?;
        let done = state.learn(&self.control).and_then(|()| work(&mut state));
        rustix::fs::flock(self.journal.file(), FlockOperation::Unlock)?;
        done
    }

    fn fault(&self, injected: Injected) -> io::Result<()> {
        self.journal.append(&Record::Fault(injected))
    }

    /// A write at `offset`, or where the file stands.
    pub fn write(
        &self,
        file: &File,
        offset: Option<u64>,
        data: &[u8],
        real: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        self.held(file)?;
        Some(self.locked(|state| {
            let Some(Held { ino, size, path }) = self.held(file) else { return real(data) };
            let flags = rustix::fs::fcntl_getfl(file)?;
            let offset = match offset {
                _ if flags.contains(OFlags::APPEND) => size,
                Some(offset) => offset,
                None => rustix::fs::tell(file)?,
            };
            let faults = state.faults_of(&path);
            let len = u64::try_from(data.len()).map_err(io::Error::other)?;
            if faults.full && offset + len > size {
                self.fault(Injected::Full)?;
                return Err(rustix::io::Errno::NOSPC.into());
            }
            let mut data = data;
            if data.len() > 1 && faults.short_one_in > 0 && state.dice.one_in(faults.short_one_in) {
                self.fault(Injected::Short)?;
                data = data.get(..data.len() / 2).unwrap_or(data);
            }
            let old = old_bytes(file, &self.root.join(&path), offset, size, data.len())?;
            let at = self.journal.end()?;
            self.journal.append(&Record::Write { ino, offset, size, old, new: data.to_vec() })?;
            let done = real(data);
            let took = done.as_ref().map_or(0, |took| *took);
            if took < data.len() {
                let len = u64::try_from(took).map_err(io::Error::other)?;
                self.journal.append(&Record::Took { at, len })?;
            }
            if flags.intersects(OFlags::SYNC | OFlags::DSYNC) {
                self.journal.append(&Record::Synced { ino, upto: self.journal.end()? })?;
            }
            done
        }))
    }

    /// A change of a file's length.
    pub fn truncate(
        &self,
        file: &File,
        to: u64,
        real: impl FnOnce() -> io::Result<()>,
    ) -> Option<io::Result<()>> {
        self.held(file)?;
        Some(self.locked(|state| {
            let Some(Held { ino, size, path }) = self.held(file) else { return real() };
            if to > size && state.faults_of(&path).full {
                self.fault(Injected::Full)?;
                return Err(rustix::io::Errno::NOSPC.into());
            }
            let cut = usize::try_from(size.saturating_sub(to)).map_err(io::Error::other)?;
            let cut = old_bytes(file, &self.root.join(&path), to, size, cut)?;
            let at = self.journal.end()?;
            self.journal.append(&Record::Truncate { ino, size, to, cut })?;
            real().or_else(|error| {
                self.journal.append(&Record::Took { at, len: 0 })?;
                Err(error)
            })
        }))
    }

    /// fsync or fdatasync of a file or directory.
    pub fn sync(
        &self,
        file: &File,
        real: impl FnOnce() -> io::Result<()>,
    ) -> Option<io::Result<()>> {
        let Held { ino, path, .. } = self.held(file)?;
        Some(self.sync_held(ino, &path, real))
    }

    fn sync_held(
        &self,
        ino: u64,
        path: &Path,
        real: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let (upto, faults, fails) = self.locked(|state| {
            let faults = state.faults_of(path);
            let fails = match faults.sync {
                SyncFault::None | SyncFault::Lie => false,
                SyncFault::FailAlways => true,
                SyncFault::Fail(times) => {
                    state.failed += 1;
                    state.failed <= times
                }
            };
            if faults.sync_delay_ms > 0 {
                self.fault(Injected::SyncSlow)?;
            }
            Ok((self.journal.end()?, faults, fails))
        })?;
        if faults.sync_delay_ms > 0 {
            wait(Duration::from_millis(faults.sync_delay_ms));
        }
        if fails {
            return self.locked(|_| {
                self.journal.append(&Record::SyncFailed { ino, upto })?;
                self.fault(Injected::SyncFailed)?;
                Err(rustix::io::Errno::IO.into())
            });
        }
        if faults.sync == SyncFault::Lie {
            return self.locked(|_| self.fault(Injected::SyncLied));
        }
        real()?;
        self.locked(|_| self.journal.append(&Record::Synced { ino, upto }))
    }

    /// `sync` and `syncfs`: all of it.
    pub fn sync_all(&self, real: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let upto = self.locked(|_| self.journal.end())?;
        real()?;
        self.locked(|_| self.journal.append(&Record::AllSynced { upto }))
    }

    /// An open that may make the file, or empty it.
    pub fn open_file<T>(
        &self,
        path: &Path,
        empties: bool,
        real: impl FnOnce() -> io::Result<T>,
    ) -> Option<io::Result<T>> {
        self.place(path)?;
        Some(self.locked(|state| {
            let Some((within, dir)) = self.place(path) else { return real() };
            let before = fs::metadata(path).ok();
            match &before {
                None if state.faults_of(&within).full => {
                    self.fault(Injected::Full)?;
                    return Err(rustix::io::Errno::NOSPC.into());
                }
                Some(meta) if empties && meta.is_file() && meta.len() > 0 => {
                    let cut = fs::read(path)?;
                    let (ino, size) = (meta.ino(), meta.len());
                    self.journal.append(&Record::Truncate { ino, size, to: 0, cut })?;
                }
                None | Some(_) => {}
            }
            let opened = real()?;
            if before.is_none()
                && let Ok(made) = fs::symlink_metadata(path)
            {
                let ino = made.ino();
                self.journal.append(&Record::Name { dir, path: within, ino, fresh: true })?;
            }
            Ok(opened)
        }))
    }

    /// A new name for the file that stands at `path` once `real` has made it: `mkdir` and `link`.
    pub fn name(
        &self,
        path: &Path,
        fresh: bool,
        real: impl FnOnce() -> io::Result<()>,
    ) -> Option<io::Result<()>> {
        self.place(path)?;
        Some(self.locked(|_| {
            let place = self.place(path);
            real()?;
            let Some((within, dir)) = place else { return Ok(()) };
            let ino = fs::symlink_metadata(path)?.ino();
            self.journal.append(&Record::Name { dir, path: within, ino, fresh })
        }))
    }

    /// `unlink` and `rmdir`.
    pub fn unlink(
        &self,
        path: &Path,
        real: impl FnOnce() -> io::Result<()>,
    ) -> Option<io::Result<()>> {
        self.place(path)?;
        Some(self.locked(|_| {
            let (Some((within, dir)), Ok(meta)) = (self.place(path), fs::symlink_metadata(path))
            else {
                return real();
            };
            let kept = self.keep(path)?;
            real().inspect_err(|_| self.release(kept.as_deref()))?;
            let (ino, kept) = (meta.ino(), kept.unwrap_or_default());
            self.journal.append(&Record::Unlink { dir, path: within, ino, kept })
        }))
    }

    /// `rename`, within the root, into it or out of it.
    pub fn rename(
        &self,
        from: &Path,
        to: &Path,
        real: impl FnOnce() -> io::Result<()>,
    ) -> Option<io::Result<()>> {
        if self.place(from).is_none() && self.place(to).is_none() {
            return None;
        }
        Some(self.locked(|_| {
            let (source, goal) = (self.place(from), self.place(to));
            let Ok(meta) = fs::symlink_metadata(from) else { return real() };
            let ino = meta.ino();
            let gone = if source.is_some() && goal.is_none() { self.keep(from)? } else { None };
            let other = fs::symlink_metadata(to).ok().filter(|there| there.ino() != ino);
            let replaced = match (&goal, other) {
                (Some(_), Some(_)) => self.keep(to)?,
                (Some(_) | None, _) => None,
            };
            real().inspect_err(|_| {
                self.release(gone.as_deref());
                self.release(replaced.as_deref());
            })?;
            self.journal.append(&match (source, goal) {
                (Some((from, from_dir)), Some((to, to_dir))) => {
                    Record::Rename { dirs: [from_dir, to_dir], from, to, ino, replaced }
                }
                (Some((path, dir)), None) => {
                    Record::Unlink { dir, path, ino, kept: gone.unwrap_or_default() }
                }
                (None, Some((path, dir))) => Record::Name { dir, path, ino, fresh: true },
                (None, None) => return Ok(()),
            })
        }))
    }

    /// What a read gave; a bit of it may be flipped.
    pub fn read(&self, file: &File, bytes: &mut [u8]) -> io::Result<()> {
        let Some(held) = self.held(file) else { return Ok(()) };
        self.locked(|state| {
            let one_in = state.faults_of(&held.path).flip_one_in;
            if one_in == 0 || bytes.is_empty() || !state.dice.one_in(one_in) {
                return Ok(());
            }
            let len = u64::try_from(bytes.len()).map_err(io::Error::other)?;
            let bit = state.dice.below(8);
            let place = usize::try_from(state.dice.below(len)).map_err(io::Error::other)?;
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << bit;
            }
            self.fault(Injected::Flipped)
        })
    }

    /// A second name, in the side directory, for what is about to lose its own. Directories have none.
    fn keep(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        if fs::symlink_metadata(path)?.is_dir() {
            return Ok(None);
        }
        let name = PathBuf::from(self.journal.end()?.to_string());
        let kept = self.side.join(KEPT).join(&name);
        // A kill may have left one of this name that no record speaks of.
        self.release(Some(&name));
        fs::hard_link(path, kept)?;
        Ok(Some(name))
    }

    fn release(&self, kept: Option<&Path>) {
        if let Some(name) = kept
            && let Err(error) = fs::remove_file(self.side.join(KEPT).join(name))
        {
            debug_assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}

impl State {
    fn learn(&mut self, control: &File) -> io::Result<()> {
        let mut text = [0; control::LEN];
        let len = control.read_at(&mut text, 0)?;
        let text = text.get(..len).unwrap_or_default();
        if text != self.text {
            self.text = text.to_vec();
            self.faults = Faults::parse(&String::from_utf8_lossy(text));
            self.failed = 0;
        }
        Ok(())
    }

    fn faults_of(&self, path: &Path) -> Faults {
        let named = path.to_string_lossy().contains(&self.faults.only);
        if named { self.faults.clone() } else { Faults::default() }
    }
}

/// What stands in the file at `offset`, up to `len` bytes or its end. The program's own handle may not
/// be open for reading.
fn old_bytes(file: &File, path: &Path, offset: u64, size: u64, len: usize) -> io::Result<Vec<u8>> {
    let there = usize::try_from(size.saturating_sub(offset)).map_err(io::Error::other)?;
    let mut old = vec![0; len.min(there)];
    if old.is_empty() {
        return Ok(old);
    }
    if file.read_exact_at(&mut old, offset).is_err() {
        File::open(path)?.read_exact_at(&mut old, offset)?;
    }
    Ok(old)
}

#[expect(clippy::disallowed_methods, reason = "a slow disk keeps the thread that asked it")]
fn wait(delay: Duration) {
    std::thread::sleep(delay);
}
