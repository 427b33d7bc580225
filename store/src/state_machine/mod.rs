//! Applying committed entries.
//!
//! [`machine`] is what the caller brings; [`apply`] records what it answers; [`snapshot`] is how a
//! node that lacks too much is given the rest.

mod apply;
mod machine;
mod snapshot;

pub use apply::StateMachine;
pub use machine::{Applied, Halt, Machine};
pub use snapshot::{SnapshotBuilder, SnapshotData};
