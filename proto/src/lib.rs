//! The words on the wire and on disk, compiled from `skein/**/*.proto`.
//!
//! Nothing here knows a rule: conversions live beside what they convert to.

/// What people and their tools ask of a coordinator.
pub mod v1 {
    tonic::include_proto!("skein.v1");
}

/// What agents and coordinators say to each other.
pub mod agent {
    pub mod v1 {
        tonic::include_proto!("skein.agent.v1");
    }
}

/// What coordinator nodes say to each other.
pub mod raft {
    pub mod v1 {
        tonic::include_proto!("skein.raft.v1");
    }
}

/// What is on disk for ever.
pub mod log {
    pub mod v1 {
        tonic::include_proto!("skein.log.v1");
    }
}

/// The compiled definitions, for the reflection service.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/skein.fds"));
