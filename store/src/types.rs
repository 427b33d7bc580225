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

/// Which data directory a node keeps its promises in. Drawn when the directory is made, so that a node
/// that comes back without its data is told from the one that gave the promises.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub [u8; 16]);

impl StoreId {
    /// A new one, by chance.
    pub fn draw() -> Self {
        Self(rand::random())
    }

    /// What `bytes` say; none said is not known.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self).filter(Self::is_known)
    }

    /// Whether it says anything: members from before stores had ids have none on record.
    pub fn is_known(&self) -> bool {
        *self != Self::default()
    }

    /// To bytes; not known is empty.
    pub fn to_bytes(self) -> Bytes {
        if self.is_known() { Bytes::copy_from_slice(&self.0) } else { Bytes::new() }
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A member: where it is reached, and which store is its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// `host:port`.
    pub addr: String,
    /// Not known: any store will do.
    pub store: StoreId,
}

impl Node {
    /// A member whose store is not known.
    pub fn new(addr: impl Into<String>) -> Self {
        Self { addr: addr.into(), store: StoreId::default() }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.addr)
    }
}

openraft::declare_raft_types!(
    /// The choice of types that openraft is compiled for.
    pub TypeConfig:
        D = Payload,
        R = Response,
        NodeId = u64,
        Node = Node,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = openraft_rt_tokio::TokioRuntime,
);

/// A node's number in the cluster; never used again once its node is gone.
pub type NodeId = u64;
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
