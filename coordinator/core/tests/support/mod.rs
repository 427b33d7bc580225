//! A little world around the core: a fleet of make-believe targets, and the words of the golden
//! scripts. What a step does to a target here is that its ledger changes.

pub(crate) mod batches;
pub(crate) mod gate;
pub(crate) mod law;
pub(crate) mod line;
pub(crate) mod throttle;
pub(crate) mod words;
pub(crate) mod world;
