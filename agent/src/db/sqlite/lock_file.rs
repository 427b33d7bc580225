//! Mutual exclusion across processes: an advisory lock on a file beside the database. The system
//! lets go of it when its holder dies.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Held until dropped. The file stays: to remove it would let two agents lock two files of one
/// name.
#[derive(Debug)]
pub(super) struct LockFile {
    /// Not empty while somebody holds it, and after one who did not let go in order. Never forced to the disk:
    /// where the power went too, everything was read from there.
    file: File,
    left: bool,
}

/// `orders.db` → `orders.db-skein-lock`.
pub(super) fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-skein-lock");
    PathBuf::from(name)
}

impl LockFile {
    /// `None` while somebody else holds it.
    pub(super) fn try_take(database: &Path) -> io::Result<Option<Self>> {
        let path = path_of(database);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let left = file.metadata()?.len() > 0;
                file.set_len(1)?;
                Ok(Some(Self { file, left }))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether whoever held it before was killed, or does not know what of his work is on the disk.
    pub(super) fn was_left(&self) -> bool {
        self.left
    }

    /// Lets go: whatever was committed is on the disk.
    pub(super) fn let_go(self) {
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, "a lock file is left as by a process that was killed");
        }
    }
}
