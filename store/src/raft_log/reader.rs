//! Reading the log, for replication and for applying.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use futures::Stream;
use openraft::OptionalSend;
use openraft::storage::RaftLogReader;

use super::records::{StoredLogId, StoredPayload};
use super::store::LogStore;
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// A batch of entries is closed when it has reached this size in bytes: well below the 64 MiB that
/// a peer's listener takes, and small enough that a heartbeat is not stuck behind it.
const BATCH_MAX_SIZE: u64 = 4 * 1024 * 1024;

/// Reads entries; sees an append as soon as it was accepted.
#[derive(Debug, Clone)]
pub struct LogReader {
    log: LogStore,
}

impl LogReader {
    pub(super) fn new(log: LogStore) -> Self {
        Self { log }
    }

    /// The entries from `start` to before `end`, at least one if there is one, then as many as fit
    /// into `size_max` bytes.
    fn read(&self, start: u64, end: u64, size_max: u64) -> io::Result<Vec<Entry>> {
        if start >= end {
            return Ok(Vec::new());
        }
        let log = self.log.lock();
        let mut entries = Vec::new();
        let mut size = 0;
        for record in log.read(start, end) {
            let (id, payload) = record?;
            size += <super::records::Records as raft_log::Types>::payload_size(&payload);
            entries.push(entry(id, payload)?);
            if size >= size_max {
                break;
            }
        }
        Ok(entries)
    }
}

fn entry(id: StoredLogId, payload: StoredPayload) -> io::Result<Entry> {
    let payload =
        payload.open().map_err(|source| io::Error::new(io::ErrorKind::InvalidData, source))?;
    Ok(Entry { log_id: id.into(), payload })
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        self.read(start, end, u64::MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.log.lock().log_state().vote().map(|vote| vote.0))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, BATCH_MAX_SIZE)
    }

    /// In batches, so that catching up on a long log never holds all of it in memory.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        use futures::{StreamExt, TryStreamExt, stream};

        let reader = self.clone();
        let batches = stream::try_unfold(bounds(&range), move |(start, end)| {
            let batch = reader.read(start, end, BATCH_MAX_SIZE);
            async move {
                let batch = batch?;
                let next = batch.last().map(|entry| (entry.log_id.index + 1, end));
                Ok::<_, io::Error>(next.map(|next| (batch, next)))
            }
        });
        batches.map_ok(|batch| stream::iter(batch.into_iter().map(Ok))).try_flatten().boxed()
    }
}

/// The last entry that was purged, or nothing.
impl LogStore {
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.lock().log_state().purged().copied().map(LogId::from)
    }
}
