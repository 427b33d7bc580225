//! Writing the log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use raft_log::RaftLog;
use raft_log::api::raft_log_writer::RaftLogWriter;
use tokio::sync::oneshot;

use super::reader::LogReader;
use super::records::{Flushed, Records, StoredLogId, StoredPayload, StoredVote};
use super::recover::recover;
use super::rewrite::rewrite;
use crate::data_dir::DataDir;
use crate::history::{History, make_dir};
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// How long the flush thread lingers for company before it calls fdatasync. Zero would turn
/// batching off; the crate's default of 1 ms would be most of a commit's time.
const FLUSH_BATCH_WAIT: Duration = Duration::from_micros(50);
/// A file of the log; purging removes whole files.
const CHUNK_MAX_SIZE: usize = 64 * 1024 * 1024;
/// Entries kept in memory for replication, in bytes. Older ones are read back from the files.
const CACHE_MAX_SIZE: usize = 128 * 1024 * 1024;
/// The same bound by number, for very small entries.
const CACHE_MAX_ITEMS: usize = 200_000;
/// Replaying a file reads it in pieces of this size.
const READ_BUFFER_SIZE: usize = 4 * 1024 * 1024;

/// The log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenLogError {
    /// The crate underneath takes its directory as text.
    #[error("the path of the Raft log, {0:?}, is not UTF-8; choose another data directory")]
    PathNotUtf8(PathBuf),
    /// Damaged, locked or unreadable.
    #[error(
        "cannot open the Raft log in {dir:?}; nothing was changed. If it is damaged, remove this \
         node from the cluster and add a new one under a new id"
    )]
    Open {
        /// The log's directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The Raft log of one node. A cheap handle; all clones are the same log.
#[derive(Debug, Clone)]
pub struct LogStore {
    log: Arc<Mutex<RaftLog<Records>>>,
    history: Option<Arc<History>>,
    _dir: Option<DataDir>,
}

impl LogStore {
    /// Opens the log in `dir`, creating it when absent. What was not wholly written when the process
    /// died or the power went is cut off; any other damage is an error. `was_left`: the process before did not
    /// end in order.
    pub(crate) fn open(dir: &Path, was_left: bool) -> Result<Self, OpenLogError> {
        let text = dir.to_str().ok_or_else(|| OpenLogError::PathNotUtf8(dir.to_owned()))?;
        let opened = make_dir(dir)
            .and_then(|()| recover(dir))
            .and_then(|()| if was_left { rewrite(dir) } else { Ok(()) })
            .and_then(|()| RaftLog::open(Arc::new(config(text))));
        let log = opened.map_err(|source| OpenLogError::Open { dir: dir.to_owned(), source })?;
        Ok(Self { log: Arc::new(Mutex::new(log)), history: None, _dir: None })
    }

    /// The same log, which purges nothing before `history` has it on the disk, and keeps `dir`.
    pub(crate) fn behind(self, history: Arc<History>, dir: DataDir) -> Self {
        Self { log: self.log, history: Some(history), _dir: Some(dir) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, RaftLog<Records>> {
        // A panic while the lock was held leaves the log in memory as the crate left it, and the
        // flush thread keeps the order on the disk.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is queued, and returns when it is on the disk.
    async fn flushed(
        &self,
        write: impl FnOnce(&mut RaftLog<Records>) -> io::Result<()>,
    ) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut log = self.lock();
            write(&mut log)?;
            log.flush(true, Some(Flushed::Caller(sender)))?;
        }
        receiver.await.map_err(|_closed| {
            io::Error::other(
                "the Raft log's flush thread has stopped after an earlier error; restart the node",
            )
        })?
    }
}

fn config(dir: &str) -> raft_log::Config {
    let mut config = raft_log::Config::new(dir);
    config.wal.flush_batch_wait = Some(FLUSH_BATCH_WAIT);
    config.wal.chunk_max_size = Some(CHUNK_MAX_SIZE);
    config.wal.read_buffer_size = Some(READ_BUFFER_SIZE);
    config.log_cache_capacity = Some(CACHE_MAX_SIZE);
    config.log_cache_max_items = Some(CACHE_MAX_ITEMS);
    config
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let log = self.lock();
        let state = log.log_state();
        Ok(LogState {
            last_purged_log_id: state.purged().copied().map(LogId::from),
            last_log_id: state.last().copied().map(LogId::from),
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader::new(self.clone())
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.flushed(|log| log.save_vote(StoredVote(*vote)).map(drop)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let Some(committed) = committed.as_ref().map(StoredLogId::from) else { return Ok(()) };
        let mut log = self.lock();
        let state = log.log_state();
        // The mark only spares work at the next start: one that says nothing new, or is beyond
        // what the log holds, is left out.
        if state.committed() >= Some(&committed) || state.last() < Some(&committed) {
            return Ok(());
        }
        log.commit(committed)?;
        // Not synced: it reaches the disk with the next append.
        log.flush(false, None)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.lock().log_state().committed().copied().map(LogId::from))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = entries
            .into_iter()
            .map(|entry| (StoredLogId::from(&entry.log_id), StoredPayload::of(&entry.payload)));
        let mut log = self.lock();
        log.append(records)?;
        log.flush(true, Some(Flushed::Raft(callback)))
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let keep = last_log_id.as_ref().map(StoredLogId::from);
        self.flushed(|log| {
            if keep.as_ref() >= log.log_state().last() {
                return Ok(());
            }
            let first_removed = last_log_id.map_or(0, |id| id.index + 1);
            log.truncate(first_removed).map(drop)
        })
        .await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        // What is purged can be had from the history alone, so the history goes to the disk first.
        if let Some(history) = self.history.clone() {
            let index = log_id.index;
            tokio::task::spawn_blocking(move || history.sync_up_to(index))
                .await
                .map_err(io::Error::other)?
                .map_err(io::Error::other)?;
        }
        let upto = StoredLogId::from(&log_id);
        self.flushed(|log| log.purge(upto).map(drop)).await
    }
}
