//! A data directory out of a backup.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::executor::block_on;
use openraft::storage::RaftLogStorage as _;

use super::{Backup, BackupError, CHUNK, io_error, make_beside, put_in_place};
use crate::blobs::Blobs;
use crate::data_dir::{DataDir, Identity, Incarnation};
use crate::history::{History, TreeHead, sync_dir};
use crate::raft_log::LogStore;
use crate::types::{Membership, Node, Vote, log_id};

/// How a cluster begins again.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// Whose data is made: a node that no cluster ever had.
    pub identity: Identity,
    /// Where it will be reached.
    pub address: String,
    /// The new beginning.
    pub incarnation: Incarnation,
    /// What is recorded of it, behind everything that the backup has.
    pub events: Vec<Bytes>,
}

/// A restore that may be carried out: nothing stands in its way.
#[derive(Debug)]
pub struct Restore<'a> {
    backup: &'a Backup,
    place: PathBuf,
}

impl<'a> Restore<'a> {
    /// A restore of `backup` to `place`, as node `node`. An error where data is there already, or where
    /// the number was ever given.
    pub fn plan(backup: &'a Backup, place: &Path, node: u64) -> Result<Self, BackupError> {
        let highest = backup.highest_node();
        if node <= highest {
            return Err(BackupError::NumberUsed { node, highest });
        }
        let holds = std::fs::read_dir(place).map(|mut entries| entries.next().is_some());
        if holds.unwrap_or(place.exists()) {
            return Err(BackupError::Exists(place.to_owned()));
        }
        Ok(Self { backup, place: place.to_owned() })
    }

    /// Makes the data: the node is the only member, and what is recorded of the beginning is the last of
    /// its history. It is whole and on the disk when this returns; after a crash before, it is not there.
    pub fn carry_out(self, beginning: Beginning) -> Result<TreeHead, BackupError> {
        let made = make_beside(&self.place, ".restoring")?;
        let dir = DataDir::open(&made, &beginning.identity)?;
        dir.adopt(beginning.incarnation)?;
        let node = Node { addr: beginning.address, store: dir.store() };
        let head = self.history(&made, &beginning.identity, node, beginning.events)?;
        self.blobs(&made)?;
        drop(dir);
        put_in_place(&made, &self.place)?;
        Ok(head)
    }

    fn history(
        &self,
        made: &Path,
        identity: &Identity,
        node: Node,
        events: Vec<Bytes>,
    ) -> Result<TreeHead, BackupError> {
        let (history, _) = History::open(&made.join("history"), None, |_, _| Ok(()))?;
        let mut incoming = history.receive()?;
        for frame in self.backup.frames()? {
            incoming.push(&frame?)?;
        }
        let last = incoming.joint().last;
        history.install(incoming, last)?;
        // A term of its own: no leader of before can have made its entries.
        let term = last.map_or(0, |last| last.leader_id.term) + 1;
        let first = log_id(term, last.map_or(0, |last| last.index) + 1);
        let voters = vec![BTreeSet::from([identity.node])];
        let members = BTreeMap::from([(identity.node, node)]);
        let membership = Membership::new(voters, members)
            .map_err(|error| io_error("form a cluster in", made)(std::io::Error::other(error)))?;
        history.append(first, Some(&membership), events)?;
        history.sync()?;
        let log = made.join("log");
        let mut store = LogStore::open(&log, false)?;
        // The log begins behind the history, in the term that the node has voted for itself in.
        block_on(store.save_vote(&Vote::new(term, identity.node)))
            .map_err(io_error("write the vote in", &log))?;
        block_on(store.purge(first)).map_err(io_error("begin the log in", &log))?;
        sync_dir(&log).map_err(io_error("force to the disk", &log))?;
        Ok(history.head())
    }

    fn blobs(&self, made: &Path) -> Result<(), BackupError> {
        let blobs = Blobs::open(&made.join("blobs"))?;
        for digest in &self.backup.manifest.blobs {
            let mut offset = 0;
            while let Some(chunk) = self.backup.blobs.chunk(digest, offset, CHUNK)? {
                offset += u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX);
                blobs.put(&chunk)?;
                if offset >= chunk.total {
                    break;
                }
            }
        }
        match blobs.missing(&self.backup.manifest.blobs).first() {
            None => Ok(()),
            Some(lacks) => Err(BackupError::LacksBlob(*lacks)),
        }
    }
}
