//! What the log file holds, in the terms of the `raft-log` crate.

use std::io::{self, Read, Write};

use bytes::Bytes;
use openraft::storage::IOFlushed;
use raft_log::codeq::{Decode, Encode};
use tokio::sync::oneshot;

use crate::codec::{self, CodecError};
use crate::types::{EntryPayload, LogId, TypeConfig, Vote, log_id};

/// The types that `raft-log` is compiled for.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub(super) struct Records;

impl raft_log::Types for Records {
    type LogId = StoredLogId;
    type LogPayload = StoredPayload;
    type Vote = StoredVote;
    type Callback = Flushed;
    type UserData = Nothing;

    fn log_index(id: &StoredLogId) -> u64 {
        id.index
    }

    fn payload_size(payload: &StoredPayload) -> u64 {
        u64::try_from(payload.0.len()).unwrap_or(u64::MAX)
    }
}

/// Ordered by term, then index, as Raft orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StoredLogId {
    term: u64,
    index: u64,
}

impl From<&LogId> for StoredLogId {
    fn from(id: &LogId) -> Self {
        Self { term: id.leader_id.term, index: id.index }
    }
}

impl From<StoredLogId> for LogId {
    fn from(id: StoredLogId) -> Self {
        log_id(id.term, id.index)
    }
}

impl Encode for StoredLogId {
    fn encode<W: Write>(&self, mut w: W) -> io::Result<usize> {
        Ok(self.term.encode(&mut w)? + self.index.encode(&mut w)?)
    }
}

impl Decode for StoredLogId {
    fn decode<R: Read>(mut r: R) -> io::Result<Self> {
        Ok(Self { term: u64::decode(&mut r)?, index: u64::decode(&mut r)? })
    }
}

/// Partly ordered, as openraft orders votes: two candidates of one term do not compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) struct StoredVote(pub(super) Vote);

impl Encode for StoredVote {
    fn encode<W: Write>(&self, mut w: W) -> io::Result<usize> {
        let leader = &self.0.leader_id;
        Ok(leader.term.encode(&mut w)?
            + leader.voted_for.encode(&mut w)?
            + u8::from(self.0.committed).encode(&mut w)?)
    }
}

impl Decode for StoredVote {
    fn decode<R: Read>(mut r: R) -> io::Result<Self> {
        let mut vote = Vote::new(u64::decode(&mut r)?, u64::decode(&mut r)?);
        vote.committed = u8::decode(&mut r)? != 0;
        Ok(Self(vote))
    }
}

/// An entry's payload as [`codec`] writes it.
#[derive(Debug, Clone)]
pub(super) struct StoredPayload(pub(super) Bytes);

impl StoredPayload {
    pub(super) fn of(payload: &EntryPayload) -> Self {
        Self(codec::encode_payload(payload))
    }

    pub(super) fn open(self) -> Result<EntryPayload, CodecError> {
        codec::decode_payload(self.0)
    }
}

/// The length has a checksum of its own. Without one, a length that was altered reaches past the
/// end of the file, and `raft-log` takes that for a torn write: it would cut off this record and
/// every acknowledged one after it.
fn length_checksum(len: u32) -> u32 {
    crc32fast::hash(&len.to_be_bytes())
}

impl Encode for StoredPayload {
    fn encode<W: Write>(&self, mut w: W) -> io::Result<usize> {
        let len = u32::try_from(self.0.len())
            .map_err(|source| io::Error::new(io::ErrorKind::InvalidInput, source))?;
        let written = len.encode(&mut w)? + length_checksum(len).encode(&mut w)?;
        w.write_all(&self.0)?;
        Ok(written + self.0.len())
    }
}

impl Decode for StoredPayload {
    fn decode<R: Read>(mut r: R) -> io::Result<Self> {
        let len = u32::decode(&mut r)?;
        if u32::decode(&mut r)? != length_checksum(len) {
            let reason = format!("a record's length, {len} bytes, was altered");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let mut bytes = Vec::new();
        let read = (&mut r).take(u64::from(len)).read_to_end(&mut bytes)?;
        if u64::try_from(read).unwrap_or(u64::MAX) != u64::from(len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self(bytes.into()))
    }
}

/// The crate's place for data of ours, which stays empty. It has no length for the same reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nothing;

impl Encode for Nothing {
    fn encode<W: Write>(&self, _: W) -> io::Result<usize> {
        Ok(0)
    }
}

impl Decode for Nothing {
    fn decode<R: Read>(_: R) -> io::Result<Self> {
        Ok(Self)
    }
}

/// Who is told that a write is on the disk.
pub(super) enum Flushed {
    /// openraft, which went on meanwhile.
    Raft(IOFlushed<TypeConfig>),
    /// A caller that waits.
    Caller(oneshot::Sender<io::Result<()>>),
}

impl raft_log::Callback for Flushed {
    fn send(self, result: io::Result<()>) {
        match self {
            Self::Raft(callback) => callback.io_completed(result),
            // A caller that went away no longer needs the answer; the write stands.
            Self::Caller(sender) => drop(sender.send(result)),
        }
    }
}
