//! A coordinator node: consensus around the pure core.
//!
//! ```text
//!   api ─► sequencer ─► codec ─► raft ─► store          decide, record, commit
//!    ▲         │                  └──► raft/machine      evolve, on every replica
//!    └─────────┴── sessions ◄── schedule, outbox         what agents have to do
//! ```
//!
//! What must hold: every change goes through the sequencer; reads are folds of the same events; only
//! `raft` talks to openraft's internals, only `codec` knows both the core's types and protobuf.

mod api;
pub mod audit;
pub mod backup;
mod bootstrap;
mod calendar;
pub mod charter;
mod class;
mod clock;
mod codec;
mod condition;
pub mod config;
#[doc(hidden)]
pub mod doors;
mod ending;
pub mod host;
mod leases;
mod metrics;
mod node;
mod raft;
mod reads;
mod roll_call;
mod round_trip;
mod sequencer;
mod serve;
mod sessions;

pub use config::Config;
pub use host::Host;
pub use metrics::Metrics;
pub use node::{Running, StartError, start, start_on};
