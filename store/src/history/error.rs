//! What can be wrong with a history.

use std::io;
use std::path::{Path, PathBuf};

use super::tree::TreeHead;

/// A history could not be read, written or believed.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The operating system refused.
    #[error(
        "cannot {what} {path:?}; the node stops, because it can no longer keep what it promised"
    )]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Stored bytes are not what was written.
    #[error(
        "history file {path:?} is damaged at offset {offset} (event {seq} and after): {reason}; \
         nothing was changed. Keep the files for inspection, and replace this node by one with a \
         new id, which fetches the history from its peers"
    )]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where the first bad frame starts, in bytes.
        offset: u64,
        /// The sequence number of the first event that is in doubt.
        seq: u64,
        /// What is wrong there.
        reason: String,
    },
    /// Fewer frames than were once forced to the disk.
    #[error(
        "history in {dir:?} ends at {found}, but {expected} had been forced to the disk; it was \
         cut, or files are missing. Nothing was changed; replace this node by one with a new id"
    )]
    Shorter {
        /// The history's directory.
        dir: PathBuf,
        /// Where the files end.
        found: TreeHead,
        /// Where they must reach at least.
        expected: TreeHead,
    },
    /// Two nodes hold different pasts.
    #[error(
        "histories diverged at log index {index}: here {ours}, there {theirs}. One of the two nodes \
         was restored from a copy or belongs to another cluster; nothing was installed"
    )]
    Diverged {
        /// The entry at which they were compared.
        index: u64,
        /// This node's head there.
        ours: TreeHead,
        /// The other's.
        theirs: TreeHead,
    },
    /// An entry came twice, or out of order.
    #[error(
        "entry {index} cannot follow entry {last} in the history; the node stops rather than record it twice"
    )]
    OutOfOrder {
        /// The entry that came.
        index: u64,
        /// The last one that is recorded.
        last: u64,
    },
    /// One entry made more than a frame holds.
    #[error(
        "entry {index} makes a frame of {len} bytes, more than the {max} that fit; send smaller batches"
    )]
    TooLarge {
        /// The entry.
        index: u64,
        /// Its size.
        len: usize,
        /// The bound.
        max: usize,
    },
    /// Something that was received is not a frame.
    #[error("a received history frame is unusable: {reason}; the transfer starts over")]
    BadFrame {
        /// What is wrong with it.
        reason: String,
    },
    /// A snapshot ended too early.
    #[error(
        "the received history ends at log index {found:?}, but the snapshot covers {expected:?}; the transfer starts over"
    )]
    Incomplete {
        /// The last entry received.
        found: Option<u64>,
        /// The entry that was promised.
        expected: Option<u64>,
    },
    /// Asked for a past or future that is not there.
    #[error("the history has {size} events; {asked} was asked for")]
    OutOfRange {
        /// What was asked for.
        asked: u64,
        /// What there is.
        size: u64,
    },
    /// An earlier write failed.
    #[error(
        "the history stopped after an earlier error ({0}); restart the node, it recovers from its files"
    )]
    Stopped(String),
    /// Whoever is given the events refused one.
    #[error(transparent)]
    Halt(#[from] crate::state_machine::Halt),
}

impl HistoryError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
