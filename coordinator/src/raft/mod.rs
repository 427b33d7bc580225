//! Consensus: the only module that talks to openraft.

mod machine;
mod network;
mod service;
mod settings;
mod wire;

pub(crate) use machine::{Machine, Recorded};
pub(crate) use network::{Network, PEER_MESSAGE_MAX, Peers};
pub(crate) use service::{Service, pieces};
pub(crate) use settings::settings;

use skein_core::ids::ClusterId;
use skein_proto::raft::v1 as wire_v1;

/// The running consensus of this node.
pub(crate) type Raft = skein_store::Raft<Machine>;

/// Which cluster and node a message is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) cluster: ClusterId,
    pub(crate) node: u64,
}

impl Identity {
    pub(crate) fn route(&self, to: u64) -> wire_v1::Route {
        wire_v1::Route {
            cluster_id: bytes::Bytes::copy_from_slice(&self.cluster.0),
            from: self.node,
            to,
        }
    }
}
