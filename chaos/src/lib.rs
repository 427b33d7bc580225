//! Skein under faults that come from a seed.
//!
//! [`model`] plays whole fleets over the pure core: a leader that loses its office, agents that crash,
//! stall and wake up, a network that loses, doubles and delays, databases with and without
//! transactional DDL. [`invariants`] watch every event and every effect, one promise a file, through
//! the words of [`observation`], which other simulators and [`history`] say as well. A run is a
//! function of its seed, so that a violation is replayed by naming it.
//!
//! [`people`] are those who own a fleet: the strategies that they ask for and what they say to a rollout, for
//! the simulator of the whole system and the chaos on real processes alike.
//!
//! [`writer`] is the store's writer in a process of its own, that is killed, or loses its power.

pub mod cmd;
pub mod disks;
pub mod history;
pub mod invariants;
pub mod model;
pub mod mutants;
pub mod observation;
pub mod people;
pub mod place;
pub mod shrink;
pub mod writer;
