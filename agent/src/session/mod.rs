//! One stream to the coordinator for the whole agent.
//!
//! ```text
//! talk ── dial ──► Hello, Welcome ──► heartbeats, reports, observations ──►
//!   │                              ◄── legs, acknowledgements, cancels, wishes to look again
//!   ├─ hands    the legs: waiting, running, over; a task for each that runs
//!   ├─ mailbox  reports, kept until acknowledged, sent again on each new stream
//!   ├─ lease    what a leg asks before each step
//!   ├─ looks    targets to be looked at, and what was seen
//!   └─ reads    schemas that somebody wants to see
//! ```
//!
//! What holds: legs go on while no coordinator answers, but no step starts once the lease could not
//! be renewed for its length; a report is sent until it is acknowledged, and its repeats change
//! nothing; of two legs on one target only the later runs, and never at one time with the earlier.

mod asks;
mod dial;
mod hands;
mod lease;
mod looks;
mod mailbox;
mod reads;
mod start;
mod talk;

pub(crate) use lease::{Lease, Over};
pub(crate) use mailbox::{Answer, Mailbox};
pub use start::{Coordinators, Dial, Running, StartError, start};
