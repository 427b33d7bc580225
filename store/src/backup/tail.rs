//! The data of a node that is stopped: its history, and what its Raft log has behind it.

use std::path::Path;
use std::sync::Arc;

use futures::executor::block_on;
use openraft::storage::{RaftLogReader as _, RaftLogStorage as _};

use super::{BackupError, Writer, io_error};
use crate::data_dir::DataDir;
use crate::history::Frames;
use crate::index::Terms;
use crate::state_machine::{Applied, Machine};
use crate::store::{OpenError, Store};
use crate::types::{EntryPayload, Payload};

/// A stopped node's data.
#[derive(Debug)]
pub struct Tail<M> {
    /// What it keeps.
    pub store: Store<M>,
}

/// Opens the data in `dir` of whichever node it is, as that node would at its start. The node must be
/// stopped.
pub fn open_stopped<M: Machine>(
    dir: &Path,
    machine: Arc<M>,
    terms: Terms,
) -> Result<Tail<M>, OpenError> {
    let Some(identity) = DataDir::identity(dir)? else {
        let dir = dir.to_owned();
        return Err(crate::DataDirError::NoIdentity { dir }.into());
    };
    Ok(Tail { store: Store::open(dir, &identity, machine, terms)? })
}

impl<M: Machine> Tail<M> {
    /// Every frame of its history.
    pub fn frames(&self) -> Result<Frames, BackupError> {
        Ok(self.store.history.outgoing()?.frames_after(&crate::history::Joint::default())?)
    }

    /// Writes what its Raft log has behind its history: entries that the node had not heard to be
    /// committed, and that may have been acknowledged. Gives how many.
    pub fn follow(&self, machine: &M, writer: &mut Writer) -> Result<u64, BackupError> {
        let unread = io_error("read", self.store.dir.path());
        let mut log = self.store.log.clone();
        let after = self.store.history.last_applied().map_or(0, |last| last.index + 1);
        let entries = block_on(async {
            let mut reader = log.get_log_reader().await;
            reader.try_get_log_entries(after..).await
        });
        let entries = entries.map_err(unread)?;
        let mut count = 0;
        for entry in entries {
            let index = entry.log_id.index;
            let (membership, applied) = match &entry.payload {
                EntryPayload::Blank => (None, Applied::default()),
                EntryPayload::Membership(membership) => (Some(membership), Applied::default()),
                EntryPayload::Normal(Payload(bytes)) => {
                    let applied = machine.apply(index, bytes);
                    (None, applied.map_err(crate::history::HistoryError::from)?)
                }
            };
            writer.entry(entry.log_id, membership, applied)?;
            count += 1;
        }
        Ok(count)
    }
}
