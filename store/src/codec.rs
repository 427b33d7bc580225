//! Raft's own words as bytes: on disk in the log and the history, and between the nodes.
//!
//! Protobuf, so that a field added by a later release is skipped by an earlier one. Decoding never
//! panics; what is missing or contradictory is a [`CodecError`] that names it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;

use crate::types::{
    self, Entry, EntryPayload, LogId, Membership, Node, Payload, SnapshotMeta, StoreId,
    StoredMembership, Vote,
};

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Not protobuf, or not this message.
    #[error("{what} of {len} bytes does not decode; the sender or the disk is at fault")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// How many bytes were given.
        len: usize,
        /// What prost said.
        #[source]
        source: prost::DecodeError,
    },
    /// A field that is always written is absent.
    #[error("{what} lacks its {field}; it was written by something else than this store")]
    Missing {
        /// What was being read.
        what: &'static str,
        /// The absent field.
        field: &'static str,
    },
    /// Voters without an address, or an empty set of voters.
    #[error("a membership contradicts itself: {reason}")]
    Membership {
        /// What openraft said about it.
        reason: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct WireLogId {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) index: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct WireVote {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    node: u64,
    #[prost(bool, tag = "3")]
    committed: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct WireVoters {
    #[prost(uint64, repeated, tag = "1")]
    nodes: Vec<u64>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct WireNode {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    addr: String,
    /// Empty: not known, as in every membership from before stores had ids.
    #[prost(bytes = "bytes", tag = "3")]
    store: Bytes,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WireMembership {
    #[prost(message, repeated, tag = "1")]
    configs: Vec<WireVoters>,
    #[prost(message, repeated, tag = "2")]
    nodes: Vec<WireNode>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WireStoredMembership {
    #[prost(message, optional, tag = "1")]
    log_id: Option<WireLogId>,
    #[prost(message, optional, tag = "2")]
    membership: Option<WireMembership>,
}

/// An entry without its log id, as the Raft log keeps it. Neither field: a blank entry.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WirePayload {
    #[prost(bytes = "bytes", optional, tag = "1")]
    normal: Option<Bytes>,
    #[prost(message, optional, tag = "2")]
    membership: Option<WireMembership>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct WireEntry {
    #[prost(message, optional, tag = "1")]
    log_id: Option<WireLogId>,
    #[prost(message, optional, tag = "2")]
    payload: Option<WirePayload>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct WireSnapshotMeta {
    #[prost(message, optional, tag = "1")]
    last_log_id: Option<WireLogId>,
    #[prost(message, optional, tag = "2")]
    membership: Option<WireStoredMembership>,
}

impl From<&LogId> for WireLogId {
    fn from(id: &LogId) -> Self {
        Self { term: id.leader_id.term, index: id.index }
    }
}

impl From<WireLogId> for LogId {
    fn from(id: WireLogId) -> Self {
        types::log_id(id.term, id.index)
    }
}

impl From<&Membership> for WireMembership {
    fn from(m: &Membership) -> Self {
        Self {
            configs: m
                .get_joint_config()
                .iter()
                .map(|voters| WireVoters { nodes: voters.iter().copied().collect() })
                .collect(),
            nodes: m
                .nodes()
                .map(|(id, node)| WireNode {
                    id: *id,
                    addr: node.addr.clone(),
                    store: node.store.to_bytes(),
                })
                .collect(),
        }
    }
}

impl TryFrom<WireMembership> for Membership {
    type Error = CodecError;

    fn try_from(m: WireMembership) -> Result<Self, CodecError> {
        let configs: Vec<BTreeSet<u64>> =
            m.configs.into_iter().map(|voters| voters.nodes.into_iter().collect()).collect();
        let nodes: BTreeMap<u64, Node> =
            m.nodes.into_iter().map(|node| (node.id, node.into())).collect();
        Self::new(configs, nodes)
            .map_err(|error| CodecError::Membership { reason: error.to_string() })
    }
}

impl From<WireNode> for Node {
    fn from(node: WireNode) -> Self {
        let store = StoreId::read(&node.store).unwrap_or_default();
        Self { addr: node.addr, store }
    }
}

impl From<&StoredMembership> for WireStoredMembership {
    fn from(m: &StoredMembership) -> Self {
        Self {
            log_id: m.log_id().as_ref().map(WireLogId::from),
            membership: Some(m.membership().into()),
        }
    }
}

impl TryFrom<WireStoredMembership> for StoredMembership {
    type Error = CodecError;

    fn try_from(m: WireStoredMembership) -> Result<Self, CodecError> {
        let membership = m.membership.map(Membership::try_from).transpose()?.unwrap_or_default();
        Ok(Self::new(m.log_id.map(LogId::from), membership))
    }
}

impl From<&EntryPayload> for WirePayload {
    fn from(payload: &EntryPayload) -> Self {
        match payload {
            EntryPayload::Blank => Self { normal: None, membership: None },
            EntryPayload::Normal(Payload(bytes)) => {
                Self { normal: Some(bytes.clone()), membership: None }
            }
            EntryPayload::Membership(m) => Self { normal: None, membership: Some(m.into()) },
        }
    }
}

impl TryFrom<WirePayload> for EntryPayload {
    type Error = CodecError;

    fn try_from(payload: WirePayload) -> Result<Self, CodecError> {
        match payload {
            WirePayload { membership: Some(m), .. } => Ok(Self::Membership(m.try_into()?)),
            WirePayload { normal: Some(bytes), membership: None } => {
                Ok(Self::Normal(Payload(bytes)))
            }
            WirePayload { normal: None, membership: None } => Ok(Self::Blank),
        }
    }
}

pub(crate) fn decode_as<T: Message + Default>(
    what: &'static str,
    bytes: Bytes,
) -> Result<T, CodecError> {
    let len = bytes.len();
    T::decode(bytes).map_err(|source| CodecError::Malformed { what, len, source })
}

/// An entry as bytes.
pub fn encode_entry(entry: &Entry) -> Bytes {
    let wire =
        WireEntry { log_id: Some((&entry.log_id).into()), payload: Some((&entry.payload).into()) };
    wire.encode_to_vec().into()
}

/// An entry from bytes. The payload is a slice of them, not a copy.
pub fn decode_entry(bytes: Bytes) -> Result<Entry, CodecError> {
    const WHAT: &str = "a log entry";
    let wire: WireEntry = decode_as(WHAT, bytes)?;
    let log_id = wire.log_id.ok_or(CodecError::Missing { what: WHAT, field: "log id" })?;
    let payload = wire.payload.ok_or(CodecError::Missing { what: WHAT, field: "payload" })?;
    Ok(Entry { log_id: log_id.into(), payload: payload.try_into()? })
}

pub(crate) fn encode_payload(payload: &EntryPayload) -> Bytes {
    WirePayload::from(payload).encode_to_vec().into()
}

pub(crate) fn decode_payload(bytes: Bytes) -> Result<EntryPayload, CodecError> {
    decode_as::<WirePayload>("a log payload", bytes)?.try_into()
}

/// A vote as bytes.
pub fn encode_vote(vote: &Vote) -> Bytes {
    let leader = &vote.leader_id;
    let wire = WireVote { term: leader.term, node: leader.voted_for, committed: vote.committed };
    wire.encode_to_vec().into()
}

/// A vote from bytes.
pub fn decode_vote(bytes: Bytes) -> Result<Vote, CodecError> {
    let wire: WireVote = decode_as("a vote", bytes)?;
    let mut vote = Vote::new(wire.term, wire.node);
    vote.committed = wire.committed;
    Ok(vote)
}

/// A log id as bytes.
pub fn encode_log_id(id: &LogId) -> Bytes {
    WireLogId::from(id).encode_to_vec().into()
}

/// A log id from bytes.
pub fn decode_log_id(bytes: Bytes) -> Result<LogId, CodecError> {
    Ok(decode_as::<WireLogId>("a log id", bytes)?.into())
}

/// A membership as bytes.
pub fn encode_membership(membership: &Membership) -> Bytes {
    WireMembership::from(membership).encode_to_vec().into()
}

/// A membership from bytes.
pub fn decode_membership(bytes: Bytes) -> Result<Membership, CodecError> {
    decode_as::<WireMembership>("a membership", bytes)?.try_into()
}

/// A membership with the entry that made it, as bytes.
pub fn encode_stored_membership(membership: &StoredMembership) -> Bytes {
    WireStoredMembership::from(membership).encode_to_vec().into()
}

/// A membership with the entry that made it, from bytes.
pub fn decode_stored_membership(bytes: Bytes) -> Result<StoredMembership, CodecError> {
    decode_as::<WireStoredMembership>("a stored membership", bytes)?.try_into()
}

/// What a snapshot covers, as bytes.
pub fn encode_snapshot_meta(meta: &SnapshotMeta) -> Bytes {
    let wire = WireSnapshotMeta {
        last_log_id: meta.last_log_id.as_ref().map(WireLogId::from),
        membership: Some((&meta.last_membership).into()),
    };
    wire.encode_to_vec().into()
}

/// What a snapshot covers, from bytes.
pub fn decode_snapshot_meta(bytes: Bytes) -> Result<SnapshotMeta, CodecError> {
    let wire: WireSnapshotMeta = decode_as("a snapshot's meta", bytes)?;
    let last_membership =
        wire.membership.map(StoredMembership::try_from).transpose()?.unwrap_or_default();
    Ok(SnapshotMeta { last_log_id: wire.last_log_id.map(LogId::from), last_membership })
}
