//! The types that consensus runs on, named once for the whole workspace.
//!
//! openraft is pinned exactly and its alpha line still renames things, so every name that another
//! crate needs is an alias here.

use std::fmt;

use bytes::Bytes;
use openraft::type_config::alias;

/// What a log entry carries: bytes that only the caller understands.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload(pub Bytes);

/// What applying an entry answered: bytes that only the caller understands.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Response(pub Bytes);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({} bytes)", self.0.len())
    }
}

openraft::declare_raft_types!(
    /// The choice of types that openraft is compiled for.
    pub TypeConfig:
        D = Payload,
        R = Response,
        NodeId = u64,
        Node = openraft::BasicNode,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = openraft_rt_tokio::TokioRuntime,
);

/// A node's number in the cluster; never used again once its node is gone.
pub type NodeId = u64;
/// Where a node is reached.
pub type Node = openraft::BasicNode;
/// A term's candidate.
pub type LeaderId = alias::LeaderIdOf<TypeConfig>;
/// A term's elected leader. In standard mode a term has one leader, so it is the term alone.
pub type CommittedLeaderId = alias::CommittedLeaderIdOf<TypeConfig>;
/// The vote that a node has given.
pub type Vote = alias::VoteOf<TypeConfig>;
/// Term and index of an entry.
pub type LogId = alias::LogIdOf<TypeConfig>;
/// An entry of the Raft log.
pub type Entry = alias::EntryOf<TypeConfig>;
/// Blank, a payload, or a change of membership.
pub type EntryPayload = alias::PayloadOf<TypeConfig>;
/// Voters and learners.
pub type Membership = openraft::Membership<NodeId, Node>;
/// A membership and the entry that made it.
pub type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
/// What a snapshot covers.
pub type SnapshotMeta = alias::SnapshotMetaOf<TypeConfig>;
/// A snapshot: what it covers, and a handle to its content.
pub type Snapshot = alias::SnapshotOf<TypeConfig, crate::SnapshotData>;
/// The running node, over the state machine that folds into `M`.
pub type Raft<M> = openraft::Raft<TypeConfig, crate::StateMachine<M>>;
/// The leader's request to append.
pub type AppendEntriesRequest = openraft::raft::AppendEntriesRequest<TypeConfig>;
/// A follower's answer to it.
pub type AppendEntriesResponse = openraft::raft::AppendEntriesResponse<TypeConfig>;
/// A candidate's request for a vote.
pub type VoteRequest = openraft::raft::VoteRequest<TypeConfig>;
/// The answer to it.
pub type VoteResponse = openraft::raft::VoteResponse<TypeConfig>;
/// The answer to a whole snapshot.
pub type SnapshotResponse = openraft::raft::SnapshotResponse<TypeConfig>;

/// The log id of an entry made in `term` at `index`.
pub fn log_id(term: u64, index: u64) -> LogId {
    LogId { leader_id: CommittedLeaderId::new(term), index }
}
