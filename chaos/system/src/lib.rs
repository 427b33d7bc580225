//! The whole system under faults that come from a seed: real nodes and real agents, on simulated
//! networks, clocks and disks.
//!
//! ```text
//!   run      one seed: builds the world, lets time pass, asks the invariants after every moment
//!   apart    the same in a process of its own
//!   node     a real coordinator: openraft, sequencer, codec, sessions, api, store, as they are
//!   agent    a real agent, on real SQLite files
//!   client   people: rollouts forward and back, pauses, reads, repeats of requests
//!   strategy waves, soaks, gates, throttles and windows that they ask for
//!   words    what they say to a rollout that is under way: knobs, holds, cancels, chosen rollbacks, freezes
//!   nemesis  partitions, crashes, power cuts, clocks, disks
//!   damage   bits that flip on a node's disk, and sectors that are written elsewhere
//!   watch    what is seen goes to the invariants of `skein-chaos`
//! ```
//!
//! One thread runs at a time, and which follows from the seed (`skein-chaos-interpose`), so that a run is a
//! function of its seed and of the program.

mod agent;
pub mod apart;
mod bundle;
mod client;
mod damage;
mod log;
mod measured;
pub mod mutation;
mod nemesis;
mod node;
mod panics;
mod run;
mod seal;
mod strategy;
mod targets;
mod watch;
mod wire;
mod words;
mod world;

pub use run::{Options, Run, run};
