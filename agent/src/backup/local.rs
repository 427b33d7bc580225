//! Archives in a directory.
//!
//! `object_store` has a local backend, but it never calls `fsync`, so an archive that it has
//! acknowledged can be gone after a power cut. A backup's event says that it is durable; therefore
//! directories are written here: a locked temporary file beside the archive, `fdatasync`, a rename
//! that refuses to overwrite, `fsync` of the directories.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::BackupError;

/// How unfinished files are named, so that they are told from archives.
const PREFIX: &str = ".skein-partial-";

/// A file that is being written. It has no final name until [`Partial::publish`], and is removed
/// when it is dropped before; what a dead process left is removed by the next [`Partial::create`]
/// in the directory.
#[derive(Debug)]
pub(super) struct Partial {
    file: NamedTempFile,
}

impl Partial {
    /// A new empty file, readable by its owner only, in `dir`.
    pub(super) fn create(dir: &Path) -> Result<Self, BackupError> {
        sweep(dir);
        loop {
            let file = tempfile::Builder::new()
                .prefix(PREFIX)
                .tempfile_in(dir)
                .map_err(|error| BackupError::io("creating a file", dir, error))?;
            lock(file.as_file()).map_err(|error| BackupError::io("locking", file.path(), error))?;
            let links = file
                .as_file()
                .metadata()
                .map_err(|error| BackupError::io("reading", file.path(), error))?
                .nlink();
            // Between its creation and its lock another writer's sweep may have taken it for a
            // dead one's.
            if links > 0 {
                return Ok(Self { file });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn as_file(&self) -> &File {
        self.file.as_file()
    }

    /// Makes the bytes durable and gives the file its name. Once it returns, the archive is there
    /// after a power cut. An existing `to` is left as it is.
    pub(super) fn publish(self, to: &Path, root: &Path) -> Result<(), BackupError> {
        self.file
            .as_file()
            .sync_data()
            .map_err(|error| BackupError::io("making durable", self.file.path(), error))?;
        match self.file.persist_noclobber(to) {
            Ok(_file) => sync_up(to, root),
            Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(BackupError::NameTaken {
                    destination: root.display().to_string(),
                    name: to.strip_prefix(root).unwrap_or(to).display().to_string(),
                    why: "an archive is there",
                })
            }
            Err(refused) => Err(BackupError::io("naming the archive", to, refused.error)),
        }
    }
}

impl io::Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

/// Prepares the directory of `to` below `root`, and refuses a name that is taken before any work
/// is done for it. `root` itself must exist: a missing one is more likely a disk that is not
/// mounted than a wish.
pub(super) fn prepare(to: &Path, root: &Path) -> Result<PathBuf, BackupError> {
    if !root.is_dir() {
        return Err(BackupError::Destination {
            shown: root.display().to_string(),
            what: "it is no directory; mount it or create it first".to_owned(),
        });
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(BackupError::NameTaken {
            destination: root.display().to_string(),
            name: to.strip_prefix(root).unwrap_or(to).display().to_string(),
            why: "an archive is there",
        });
    }
    let dir = to.parent().unwrap_or(root);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| BackupError::io("creating a directory", dir, error))?;
    Ok(dir.to_owned())
}

/// Makes the entry of `path`, and those of the directories above it up to `root`, durable.
pub(super) fn sync_up(path: &Path, root: &Path) -> Result<(), BackupError> {
    let mut at = path.parent();
    while let Some(dir) = at {
        let opened = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        File::open(opened)
            .and_then(|dir| dir.sync_all())
            .map_err(|error| BackupError::io("making durable", opened, error))?;
        if dir == root || !dir.starts_with(root) {
            break;
        }
        at = dir.parent();
    }
    Ok(())
}

fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        // A sweep is looking at it this moment; it lets go at once.
        Err(fs::TryLockError::WouldBlock) => file.lock(),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Removes what processes that died have left. Best effort: a leftover costs space, not safety.
fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        // Its writer holds the lock for as long as it lives.
        if file.try_lock().is_ok()
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::debug!(path = %entry.path().display(), %error, "leftover of a backup stays");
        }
    }
}
