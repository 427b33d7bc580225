//! Snapshots: the durable part of the history, named by its last entry.
//!
//! Nothing is copied when one is built. Sending asks the receiver for its own head first and ships
//! the frames that come after it; installing adds them to the receiver's history.

use std::io;
use std::sync::Arc;

use openraft::storage::RaftSnapshotBuilder;

use super::apply::blocking;
use crate::history::{History, HistoryError, Incoming, Joint, Mark, Outgoing};
use crate::types::{Snapshot, SnapshotMeta, TypeConfig};

/// A handle to a snapshot's content.
#[derive(Debug)]
pub enum SnapshotData {
    /// Here, for sending.
    Outgoing(Outgoing),
    /// Received and staged, for installing.
    Incoming(Incoming),
}

impl SnapshotData {
    /// The frames to install. A snapshot that is still in its sender's hands (both nodes are in one
    /// process) is received from there.
    pub(super) fn into_incoming(self, history: &History) -> Result<Incoming, HistoryError> {
        match self {
            Self::Incoming(incoming) => Ok(incoming),
            Self::Outgoing(outgoing) => {
                let mut incoming = history.receive()?;
                for frame in outgoing.frames_after(&incoming.joint())? {
                    incoming.push(&frame?)?;
                }
                Ok(incoming)
            }
        }
    }

    /// Where the content ends.
    pub fn joint(&self) -> Joint {
        match self {
            Self::Outgoing(outgoing) => outgoing.joint(),
            Self::Incoming(incoming) => incoming.joint(),
        }
    }
}

/// The snapshot at the durable mark.
pub(super) fn current(history: &Arc<History>) -> Option<Snapshot> {
    history.mark().map(|mark| at(history, Some(mark)))
}

fn at(history: &Arc<History>, mark: Option<Mark>) -> Snapshot {
    let meta = SnapshotMeta {
        last_log_id: mark.as_ref().map(|mark| mark.last),
        last_membership: mark.as_ref().map(|mark| mark.membership.clone()).unwrap_or_default(),
    };
    let outgoing = Outgoing::new(Arc::clone(history), mark);
    Snapshot { meta, snapshot: SnapshotData::Outgoing(outgoing) }
}

/// Builds a snapshot: forces the history to the disk, so that the Raft log may be purged behind it.
#[derive(Debug)]
pub struct SnapshotBuilder {
    history: Arc<History>,
}

impl SnapshotBuilder {
    pub(super) fn new(history: Arc<History>) -> Self {
        Self { history }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let history = Arc::clone(&self.history);
        let synced = blocking(move || history.sync().map_err(io::Error::other)).await?;
        Ok(at(&self.history, synced.into_mark()))
    }
}
