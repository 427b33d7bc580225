//! Whole machines that lose their power: `skein coordinator` and `skein agent` over disks that forget.
//!
//! ```text
//!   load ── bundles, heads ──► nodes 1..3, each a machine with a disk of its own
//!        └─ migrations ──────► an agent with its SQLite targets and backups: one more machine
//!   round: load │ some machines lose power at a random moment │ they start again │ check
//! ```
//!
//! What was acknowledged to anybody is there afterwards, on every node; what a node told of its tree it
//! stands by; a step that the log calls applied is in its target, and a backup that it names is whole.

pub mod check;
pub mod client;
pub mod load;
pub mod machine;
pub mod round;
