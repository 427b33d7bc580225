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
    _file: File,
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
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
