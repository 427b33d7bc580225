//! The history: every event that was ever committed, append-only, for ever.
//!
//! ```text
//!   history/00000000000000000001.seg   frame │ frame │ frame …      one frame per applied entry
//!   history/00000000000000048213.seg   frame │ frame …              the tail, growing
//!   history/synced                     the durable mark: up to here fdatasync has returned
//!   history/incoming-0.tmp             a snapshot that is being received; vanishes at start
//! ```
//!
//! What holds at every moment, a crash included:
//! - the frames carry strictly increasing entries, and each root is the root over all events so far;
//! - nothing before the durable mark is ever changed or cut;
//! - what comes after the mark is still in the Raft log.
//!
//! Appending does not wait for the disk: the entry is durable in the Raft log already.

mod append;
mod error;
mod fold;
mod frame;
mod incoming;
mod mark;
mod open;
mod outgoing;
mod read;
mod segment;
mod sync;
mod tree;
mod verify;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use error::HistoryError;
pub use incoming::Incoming;
pub use open::{Cut, Recovered};
pub use outgoing::{Frames, Joint, Outgoing};
pub use read::{Event, Events, InclusionProof};
pub use sync::Synced;
pub use tree::{
    Hash, TreeHead, empty_root, leaf_hash, node_hash, verify_consistency, verify_inclusion,
};
pub use verify::{Verified, verify};

pub(crate) use frame::seal;
pub(crate) use mark::{Mark, make_dir, sync_dir};

use fold::Fold;
use segment::Segment;

use crate::types::{LogId, NodeId, StoredMembership};

/// The history of one node. Share it in an `Arc`; reading takes its lock for a moment only.
#[derive(Debug)]
pub struct History {
    dir: PathBuf,
    state: Mutex<State>,
    /// Held while forcing to the disk, so that marks are written in order.
    syncing: Mutex<()>,
}

#[derive(Debug)]
struct State {
    fold: Fold,
    segments: Vec<Part>,
    places: Vec<Place>,
    mark: Option<Mark>,
    /// Segments written since the last sync.
    dirty: Vec<Arc<Segment>>,
    /// Bytes written since the last sync.
    unsynced: u64,
    /// Why nothing can be written any more.
    stopped: Option<String>,
}

/// A segment and how much of it belongs to the history.
#[derive(Debug, Clone)]
struct Part {
    segment: Arc<Segment>,
    len: u64,
}

/// Where some frame starts; one is kept for every 256 KiB, and one for each segment's first.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The first event at or after this place.
    seq: u64,
    /// The entry of the frame here.
    index: u64,
    part: usize,
    offset: u64,
}

/// The one sealed body that `bytes` are.
pub(crate) fn unseal(bytes: &bytes::Bytes) -> Result<bytes::Bytes, String> {
    let body = frame::unseal(bytes).map_err(|fault| fault.reason)?;
    if body.len() + frame::HEADER_LEN == bytes.len() {
        Ok(body)
    } else {
        Err("bytes follow its end".to_owned())
    }
}

impl History {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change to the state is finished by plain assignments; a panic cannot split one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Size and root after the last applied entry.
    pub fn head(&self) -> TreeHead {
        self.lock().fold.head()
    }

    /// The last entry that is in the history.
    pub fn last_applied(&self) -> Option<LogId> {
        self.lock().fold.last
    }

    /// The membership as of that entry.
    pub fn membership(&self) -> StoredMembership {
        self.lock().fold.membership.clone()
    }

    /// The highest number that any member ever had, removed ones too: no later one may have it again.
    pub fn highest_node(&self) -> NodeId {
        self.lock().fold.highest_node
    }

    /// The last entry, and the tree as of it: what another node compares with its own.
    pub fn joint(&self) -> Joint {
        let state = self.lock();
        Joint { last: state.fold.last, head: state.fold.head() }
    }

    /// The head up to which everything has been forced to the disk.
    pub fn durable(&self) -> TreeHead {
        self.lock().mark.as_ref().map(|mark| mark.head).unwrap_or_default()
    }

    pub(crate) fn applied(&self) -> (Option<LogId>, StoredMembership) {
        let state = self.lock();
        (state.fold.last, state.fold.membership.clone())
    }

    pub(crate) fn mark(&self) -> Option<Mark> {
        self.lock().mark.clone()
    }

    pub(crate) fn unsynced(&self) -> u64 {
        self.lock().unsynced
    }
}
