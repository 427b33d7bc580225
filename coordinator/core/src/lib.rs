//! What Skein decides, as pure functions: no clock, no chance, no IO, no dependencies.
//!
//! ```text
//!   Request ──decide──► [Event] ──evolve──► Fleet ──schedule──► [Command]   (what to do next)
//!                                                  └─outbox────► [Leg]       (what an agent has to do)
//! ```
//!
//! What must hold:
//! - `evolve` alone changes a [`Fleet`], and is the same function on every replica and in every
//!   release: replaying old events gives the old state.
//! - `decide` refuses or returns events that `evolve` accepts, and changes nothing itself.
//! - `schedule` and `outbox` look at the state only, never at transitions, so that a new leader goes
//!   on where the old one stopped, with no code for it.
//! - The cost of an event and of a tick does not grow with the fleet.

#![warn(missing_docs, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]

pub mod bundle;
pub mod command;
pub mod decide;
pub mod event;
pub mod evolve;
pub mod forecast;
pub mod hours;
pub mod ids;
pub mod outbox;
pub mod plan;
pub mod policy;
pub mod refusal;
pub mod room;
pub mod schedule;
pub mod spec;
pub mod state;
pub mod view;

pub use command::{Command, Request};
pub use event::{Body, Event};
pub use refusal::Refusal;
pub use state::Fleet;
