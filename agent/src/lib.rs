//! The agent: a process beside its targets that calls out to the coordinator, holds leases, runs
//! steps and reports.
//!
//! ```text
//! session   one stream to the coordinator, however many targets: legs come in, reports go out
//!   └ leg   one leased leg on one target: check, backup, steps, each reported as it happens
//!       ├ db      the session lock, the fence, the ledger, and the scripts themselves
//!       └ backup  the archive before the first step
//! bundles   what is to be run, fetched once by digest and kept on disk
//! observe   what the targets are and what their ledgers say
//! discovery tables and commands that name targets, read again and again
//! roster    which targets are served now
//! schema    what people see of a target's schema
//! gate      what has to hold before a rollout goes on, asked of targets and of what skein.toml names
//! throttle  what steps wait for: replicas, load, a query, a signal
//! metrics   what is counted meanwhile, for whoever watches
//! ```
//!
//! There is no journal on the agent's own disk. What must outlive a crash of the agent (which steps
//! are in force, which one was begun, under which lease) stands in the target itself, written in the
//! transaction of the step wherever the engine has one; a second record beside it could only
//! contradict it. Reports that were not acknowledged before a crash are lost with the process, and
//! the next holder of the leg finds their effects in the ledger and reports them.

pub mod backup;
pub mod config;
pub mod db;
pub mod wire;

mod bundles;
mod discovery;
mod gate;
mod leg;
mod metrics;
mod observe;
mod roster;
mod schema;
mod session;
mod text;
mod throttle;

pub use config::Config;
pub use discovery::find as find_target;
pub use metrics::Metrics;
pub use session::{Coordinators, Dial, Running, StartError, start};
