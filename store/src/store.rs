//! One node's data, opened.

use std::path::Path;
use std::sync::Arc;

use crate::blobs::{BlobError, Blobs};
use crate::data_dir::{DataDir, DataDirError, Identity};
use crate::history::{History, HistoryError, Recovered};
use crate::index::{Index, Terms};
use crate::raft_log::{LogStore, OpenLogError};
use crate::state_machine::{Machine, StateMachine};

/// A node's data could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, another node, or no permission.
    #[error("cannot take the data directory")]
    DataDir(#[from] DataDirError),
    /// The Raft log.
    #[error("cannot open the Raft log")]
    Log(#[from] OpenLogError),
    /// The history, or an event that the machine refuses.
    #[error("cannot open the history")]
    History(#[from] HistoryError),
    /// The blobs.
    #[error("cannot open the blob store")]
    Blobs(#[from] BlobError),
}

/// All that a node keeps. The handles are cheap to clone and stay valid while the node runs; the
/// directory is released when the last of them is dropped.
#[derive(Debug)]
pub struct Store<M> {
    /// For openraft.
    pub log: LogStore,
    /// For openraft.
    pub state_machine: StateMachine<M>,
    /// For reading events, proofs and heads while the node runs.
    pub history: Arc<History>,
    /// For reading bundles, and for putting in those that were fetched from a peer.
    pub blobs: Arc<Blobs>,
    /// For finding events by term.
    pub index: Arc<Index>,
    /// What opening found.
    pub recovered: Recovered,
    /// Whose data it is.
    pub dir: DataDir,
}

impl<M: Machine> Store<M> {
    /// Opens the data of `identity` in `dir`, creating it when absent, and replays the history into
    /// `machine`. Reads every file of the history; call it where blocking is allowed. `terms` says
    /// under which terms an event is found in the index.
    pub fn open(
        dir: &Path,
        identity: &Identity,
        machine: Arc<M>,
        terms: Terms,
    ) -> Result<Self, OpenError> {
        Self::open_with(dir, identity, machine, |history| {
            Index::open(&dir.join("index"), history, terms)
        })
    }

    /// The same without an index on the disk: lookups read the history.
    pub fn open_unindexed(
        dir: &Path,
        identity: &Identity,
        machine: Arc<M>,
        terms: Terms,
    ) -> Result<Self, OpenError> {
        Self::open_with(dir, identity, machine, |history| Index::none(history, terms))
    }

    fn open_with(
        dir: &Path,
        identity: &Identity,
        machine: Arc<M>,
        index: impl FnOnce(Arc<History>) -> Index,
    ) -> Result<Self, OpenError> {
        let data_dir = DataDir::open(dir, identity)?;
        let log = LogStore::open(&dir.join("log"), data_dir.was_left())?;
        let purged = log.purged().map(|id| id.index);
        let replay = |seq, events: &[bytes::Bytes]| machine.replay(seq, events);
        let (history, recovered) = History::open(&dir.join("history"), purged, replay)?;
        let history = Arc::new(history);
        let log = log.behind(Arc::clone(&history), data_dir.clone());
        let blobs = Arc::new(Blobs::open(&dir.join("blobs"))?);
        let index = Arc::new(index(Arc::clone(&history)));
        let state_machine = StateMachine::new(
            machine,
            Arc::clone(&history),
            Arc::clone(&blobs),
            Arc::clone(&index),
            data_dir.clone(),
        );
        Ok(Self { log, state_machine, history, blobs, index, recovered, dir: data_dir })
    }

    /// Waits until the last handle is dropped, openraft's included, and the data can be opened
    /// again. For a node that is stopped and started within one process: call it, shut openraft
    /// down, drop the store, then await.
    pub fn released(&self) -> impl Future<Output = ()> + Send + 'static {
        self.dir.released()
    }
}
