//! What a process gets from its operating system, made a function of a seed: threads that take turns,
//! a clock that is set, random numbers, and a disk that can lose its power.
//!
//! A program that links this crate has `getrandom`, `clock_gettime`, `pthread_create`, `write`, `fsync`
//! and their like from here instead of from libc. For threads outside a [`Simulation`] each of them does
//! what libc does; within one:
//!
//! ```text
//!   baton    one thread runs at a time, and who is next is a function of what happened before
//!   clock    both clocks stand still until the simulation sets them
//!   chance   getrandom is a generator with a seed
//!   disk     what was written is on the disk once it was synced, and may be lost before
//! ```
//!
//! So the store's flush thread, tokio's blocking threads and SQLite's connection threads run as they are,
//! and a run is a function of its seed. For x86-64 Linux with glibc; elsewhere [`Simulation::begin`]
//! says that it cannot.

mod baton;
mod chance;
mod clock;
pub mod disk;
mod hooks;
mod owner;
mod real;
mod trace;

pub use chance::Chance;
pub use owner::{Owner, skew};

use std::path::Path;

/// The one simulation of this process. The thread that begins it drives it; the threads that it starts,
/// and theirs, are in it.
#[derive(Debug)]
pub struct Simulation {
    // Its thread is the one that drives.
    _here: std::marker::PhantomData<*const ()>,
}

impl Simulation {
    /// Begins one on this thread. Files below `root`, which is empty, are on simulated disks.
    ///
    /// # Panics
    /// While another one is under way in this process.
    pub fn begin(seed: u64, root: &Path) -> Self {
        baton::begin();
        chance::begin(seed);
        clock::begin();
        owner::begin();
        trace::begin();
        disk::begin(root);
        Self { _here: std::marker::PhantomData }
    }

    /// Sets both clocks to so many nanoseconds since the beginning (never back), and lets every thread
    /// whose wait ends by then go on until all of them wait again.
    pub fn advance(&self, now: u64) {
        clock::set(now);
        baton::expire(now);
    }

    /// How to tell on whose behalf this thread runs at the moment.
    pub fn owners(&self, whose: fn() -> Owner) {
        owner::told_by(whose);
    }

    /// Runs `work` on behalf of `owner`.
    pub fn on_behalf<T>(&self, owner: Owner, work: impl FnOnce() -> T) -> T {
        owner::on_behalf(owner, work)
    }

    /// From now on nothing that is done for this owner reaches a disk: its process is dead, though its
    /// threads may still run to their ends. [`Simulation::buried`] waits for those.
    pub fn kill(&self, owner: Owner) {
        owner::kill(owner);
        let _ = baton::release_owned(owner);
    }

    /// Lets the threads of a dead owner run until none is left, if they end at all.
    pub fn buried(&self, owner: Owner) -> bool {
        baton::bury(owner)
    }

    /// What happened so far, as one number; the same for every run of a seed.
    pub fn trace(&self) -> u64 {
        trace::hash()
    }

    /// Adds something to what happened.
    pub fn note(&self, what: &str) {
        note(what);
    }

    /// Keeps what happens as text from now on.
    pub fn keep_trace(&self) {
        trace::keep();
    }

    /// The text kept since the last call.
    pub fn take_trace(&self) -> String {
        trace::take()
    }
}

/// Adds something to what happened in the simulation that this thread is in, if it is in one.
pub fn note(what: &str) {
    if baton::is_member() {
        trace::note(what);
    }
}

/// Adds something to the text of the trace, where it is kept, and not to its number.
pub fn remark(what: &str) {
    if baton::is_member() {
        trace::remark(what);
    }
}

/// Whether this thread works for somebody who is alive; so does every thread outside a simulation.
pub fn is_alive() -> bool {
    !baton::is_member() || !owner::is_dead(owner::here())
}

impl Drop for Simulation {
    fn drop(&mut self) {
        disk::end();
        owner::end();
        clock::end();
        chance::end();
        baton::end();
    }
}
