//! Consensus: the only module that talks to openraft.

mod identity;
mod machine;
mod network;
mod service;
mod settings;
mod wire;

pub(crate) use identity::{Identity, wiped};
pub(crate) use machine::{Machine, Recorded};
pub(crate) use network::{Network, PEER_MESSAGE_MAX, Peers};
pub(crate) use service::{Service, pieces};
pub(crate) use settings::settings;

/// The running consensus of this node.
pub(crate) type Raft = skein_store::Raft<Machine>;
