//! A copy of what a node keeps, and a node's data made from it.
//!
//! ```text
//!   DIR/history/   one segment with every frame up to the copy's head
//!   DIR/blobs/     the bundles that the history names
//!   DIR/backup     what it is a copy of, and the head that it must have; written last
//! ```
//!
//! [`Writer`] makes one beside its place and moves it there when it is whole and on the disk; [`read`]
//! recomputes every leaf, root and digest; [`Restore`] makes a data directory out of it, with a new
//! beginning recorded in it, likewise whole or not at all.

mod manifest;
mod read;
mod restore;
mod tail;
mod write;

use std::io;
use std::path::{Path, PathBuf};

pub use manifest::Manifest;
pub use read::{Backup, read};
pub use restore::{Beginning, Restore};
pub use tail::{Tail, open_stopped};
pub use write::Writer;

use crate::blobs::{BlobError, Digest};
use crate::data_dir::DataDirError;
use crate::history::{HistoryError, TreeHead};
use crate::raft_log::OpenLogError;

/// Chunks of a bundle that are copied at one time, bytes.
pub const CHUNK: usize = 1024 * 1024;

/// A backup could not be written, believed or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The operating system refused.
    #[error("cannot {what} {path:?}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something is in the way.
    #[error("{0:?} exists already and is not empty; nothing is overwritten, so name another place")]
    Exists(PathBuf),
    /// What an earlier run left.
    #[error("{0:?} is left over from a run that did not end; remove it and run this again")]
    LeftOver(PathBuf),
    /// Not a backup.
    #[error("{path:?} is no backup: {reason}")]
    NotABackup {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another content than its manifest says.
    #[error("the backup's history adds up to {found}, and its manifest says {expected}")]
    OtherHead {
        /// What the frames add up to.
        found: TreeHead,
        /// What was promised.
        expected: TreeHead,
    },
    /// A bundle is not there.
    #[error("the backup lacks bundle {0}, which its history names")]
    LacksBlob(Digest),
    /// A number that a node had.
    #[error(
        "node {node} cannot be restored: numbers up to {highest} were given before, and none is ever \
         used twice; give it number {}", highest + 1
    )]
    NumberUsed {
        /// What was asked for.
        node: u64,
        /// The highest that was ever given.
        highest: u64,
    },
    /// The history.
    #[error("the history is not usable")]
    History(#[from] HistoryError),
    /// The bundles.
    #[error("the bundles are not usable")]
    Blobs(#[from] BlobError),
    /// The data directory.
    #[error("the data directory is not usable")]
    DataDir(#[from] DataDirError),
    /// The Raft log.
    #[error("the Raft log is not usable")]
    Log(#[from] OpenLogError),
}

impl BackupError {
    /// The backup is not what was written.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::NotABackup { .. } | Self::OtherHead { .. } | Self::LacksBlob(_) => true,
            Self::Blobs(error) => matches!(error, BlobError::Damaged { .. }),
            Self::History(error) => {
                matches!(error, HistoryError::Corrupt { .. } | HistoryError::Shorter { .. })
            }
            Self::Io { .. }
            | Self::Exists(_)
            | Self::LeftOver(_)
            | Self::NumberUsed { .. }
            | Self::DataDir(_)
            | Self::Log(_) => false,
        }
    }

    /// What was asked for is not done, and nothing was changed.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Exists(_) | Self::LeftOver(_) | Self::NumberUsed { .. })
    }
}

pub(super) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { what, path, source }
}

/// Where something is made before it is whole: beside its place, so that it can be moved there.
fn beside(place: &Path, ending: &str) -> PathBuf {
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    place.with_file_name(name)
}

/// Makes an empty directory beside `place`, which must not hold anything.
fn make_beside(place: &Path, ending: &str) -> Result<PathBuf, BackupError> {
    let holds = std::fs::read_dir(place).map(|mut entries| entries.next().is_some());
    if holds.unwrap_or(place.exists()) {
        return Err(BackupError::Exists(place.to_owned()));
    }
    let made = beside(place, ending);
    if made.exists() {
        return Err(BackupError::LeftOver(made));
    }
    crate::history::make_dir(&made).map_err(io_error("create", &made))?;
    Ok(made)
}

/// Moves what was made to its place, durably.
fn put_in_place(made: &Path, place: &Path) -> Result<(), BackupError> {
    let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    crate::history::sync_dir(made).map_err(io_error("force to the disk", made))?;
    std::fs::rename(made, place).map_err(io_error("move to its place", made))?;
    crate::history::sync_dir(parent).map_err(io_error("force to the disk", parent))
}
