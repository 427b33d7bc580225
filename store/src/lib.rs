//! What stays: the Raft log, the event history, the bundles' bytes and the index over the history.
//!
//! This crate implements openraft's storage traits over bytes and knows no domain. The caller gives
//! a [`Machine`] that turns committed payloads into events; the events are kept for ever in the
//! [`History`], and the state is their fold, replayed at start. Nothing is serialised twice: a
//! snapshot is the part of the history that the receiver lacks.
//!
//! ```text
//!   raft_log/        entries, vote, marks: durable before they count      DIR/log
//!   state_machine/   applies entries: Machine → history, blobs, index
//!   history/         frames of events under one Merkle tree               DIR/history
//!   blobs            content by digest, assembled from chunks             DIR/blobs
//!   index            term → events; derived, rebuilt when in doubt        DIR/index
//!   backup/          a copy of all that, and a node's data made from it
//!   data_dir         whose data this is, and that one process has it      DIR/identity, DIR/lock
//! ```
#![warn(missing_docs, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]

mod again;
pub mod backup;
mod blobs;
pub mod codec;
mod data_dir;
pub mod history;
mod index;
mod raft_log;
mod state_machine;
mod store;
mod torn;
mod types;

pub use blobs::{BLOB_MAX, BlobError, Blobs, Chunk, Digest, Stored};
pub use data_dir::{DataDir, DataDirError, Identity, Incarnation};
pub use history::History;
pub use index::{Hits, Index, Terms};
pub use raft_log::{LogReader, LogStore, OpenLogError};
pub use state_machine::{Applied, Halt, Machine, SnapshotBuilder, SnapshotData, StateMachine};
pub use store::{OpenError, Store};
pub use types::*;
