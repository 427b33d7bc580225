//! A little world around the core: a fleet of make-believe targets, and the words of the golden
//! scripts. What a step does to a target here is that its ledger changes.

pub mod line;
pub mod words;
pub mod world;
