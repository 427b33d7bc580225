//! Linearizability: clients start, pause, resume and look at rollouts that stand still, through any node
//! and through every fault, and what they saw must have an order that a single copy would have made.
//!
//! ```text
//! spec      the single copy       history   who asked what when, and what was answered
//! clients   those who ask
//! ```
//!
//! A rollout whose only target has no agent does nothing by itself, so that its state is a register: every
//! change is somebody's request. The checker is the one of `todc-utils` (Wing and Gong, with Lowe's and
//! Horn and Kroening's improvements).

mod clients;
mod history;
mod spec;

pub(crate) use clients::{Counts, Registers};
