//! Entries in, events out.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use openraft::OptionalSend;
use openraft::storage::{EntryResponder, RaftStateMachine};

use super::machine::{Applied, Machine};
use super::snapshot::{SnapshotBuilder, SnapshotData};
use crate::blobs::{Blobs, Stored};
use crate::data_dir::DataDir;
use crate::history::{History, HistoryError, Incoming};
use crate::index::Index;
use crate::types::{
    Entry, EntryPayload, LogId, Payload, Response, Snapshot, SnapshotMeta, StoredMembership,
    TypeConfig,
};

/// The history is forced to the disk in the background whenever this much is not, in bytes. It
/// bounds what a start after a power cut takes from the Raft log again.
const SYNC_EVERY: u64 = 16 * 1024 * 1024;

/// Applies committed entries: asks the [`Machine`], records its events, keeps its chunks.
///
/// A cheap handle; all clones are the same state machine.
#[derive(Debug)]
pub struct StateMachine<M> {
    inner: Arc<Inner<M>>,
}

impl<M> Clone for StateMachine<M> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

#[derive(Debug)]
struct Inner<M> {
    machine: Arc<M>,
    history: Arc<History>,
    blobs: Arc<Blobs>,
    index: Arc<Index>,
    _dir: DataDir,
}

impl<M: Machine> StateMachine<M> {
    pub(crate) fn new(
        machine: Arc<M>,
        history: Arc<History>,
        blobs: Arc<Blobs>,
        index: Arc<Index>,
        dir: DataDir,
    ) -> Self {
        Self { inner: Arc::new(Inner { machine, history, blobs, index, _dir: dir }) }
    }

    /// Begins to receive a snapshot: push the frames into it, then hand it to openraft as
    /// [`SnapshotData::Incoming`].
    pub fn receive(&self) -> Result<Incoming, HistoryError> {
        self.inner.history.receive()
    }

    /// What the caller brought.
    pub fn machine(&self) -> &Arc<M> {
        &self.inner.machine
    }

    /// Applies one entry; gives what it answers, and the size of the history with it.
    async fn apply_entry(&self, entry: Entry) -> io::Result<(Response, u64)> {
        let Entry { log_id, payload } = entry;
        let (membership, applied) = match payload {
            EntryPayload::Blank => (None, Applied::default()),
            EntryPayload::Membership(membership) => (Some(membership), Applied::default()),
            EntryPayload::Normal(Payload(bytes)) => {
                let applied = self.inner.machine.apply(log_id.index, &bytes);
                (None, applied.map_err(io::Error::other)?)
            }
        };
        let Applied { events, chunk, response } = applied;
        if let Some(chunk) = chunk {
            // Before the frame: once the frame is there, the entry is not applied again.
            let blobs = Arc::clone(&self.inner.blobs);
            let (digest, offset) = (chunk.digest, chunk.offset);
            let stored = blocking(move || blobs.put(&chunk).map_err(io::Error::other)).await?;
            match stored {
                Stored::Part | Stored::Whole => {}
                Stored::Mismatch | Stored::Refused => {
                    tracing::warn!(%digest, offset, ?stored, "a bundle is not whole on this node; it is fetched from a peer when needed");
                }
            }
        }
        let appended = self.inner.history.append(log_id, membership.as_ref(), events);
        Ok((Response(response), appended.map_err(io::Error::other)?.size))
    }

    /// Starts forcing the history to the disk once enough has gathered. A failure shows at the
    /// next append, which then refuses.
    fn sync_behind(&self) {
        if self.inner.history.unsynced() < SYNC_EVERY {
            return;
        }
        let this = self.clone();
        drop(tokio::task::spawn_blocking(move || {
            if let Err(error) = this.inner.history.sync() {
                tracing::error!(%error, "the history could not be forced to the disk; the node stops");
            }
        }));
    }

    /// Hands the events from `from` on to the machine.
    fn replay_from(&self, from: u64) -> Result<(), HistoryError> {
        self.inner
            .history
            .replay(from, |seq, events: &[Bytes]| self.inner.machine.replay(seq, events))
    }
}

/// Runs file work off the runtime's own threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

impl<M: Machine> RaftStateMachine<TypeConfig> for StateMachine<M> {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok(self.inner.history.applied())
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut size = 0;
        while let Some((entry, responder)) = entries.try_next().await? {
            let (response, with_it) = self.apply_entry(entry).await?;
            size = with_it;
            if let Some(responder) = responder {
                responder.send(response);
            }
        }
        self.inner.index.grown(size);
        self.sync_behind();
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder::new(Arc::clone(&self.inner.history))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let this = self.clone();
        let upto = meta.last_log_id;
        blocking(move || {
            let history = &this.inner.history;
            let install = || {
                let incoming = snapshot.into_incoming(history)?;
                let first_new = history.install(incoming, upto)?;
                this.inner.index.grown(history.head().size);
                this.replay_from(first_new)
            };
            install().map_err(io::Error::other)
        })
        .await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(super::snapshot::current(&self.inner.history))
    }
}
