//! Runs migrations on databases, exactly once, and tells what stands after a crash.
//!
//! ```text
//! Location ─ Session::open ─► session lock ─ apply(Order) ─┬─ transactional: script + ledger row
//!                                                         └─ stepwise: intent ► statement ► progress
//! ```
//! What must hold: whoever changes a target holds its session lock on the executing connection;
//! every write is refused by a fence above its token; a ledger row exists only for a step that is
//! in force; no verdict without evidence.

mod location;
mod timeouts;

mod error;
mod fence;
mod fingerprint;
mod held;
mod identity;
mod intent;
mod kill;
mod ledger;
mod lock_wait;
mod mend;
mod order;
mod step_error;
mod verdict;
mod verify;

mod observe;
mod recover;
mod recovery;
mod rows;
mod script_line;
mod session;
mod settle;
mod standing;
mod stepwise;
mod tables;
mod timed;
mod transactional;
mod units;
mod validate;
mod written;

mod answer;
mod at_once;
mod batch;
mod batches;
mod between;
mod connecting;
mod connection;
mod failure;
mod patience;
mod sql;

mod mysql;
mod postgres;
mod sqlite;

pub(crate) use between::{Between, Left, SoFar};
pub use error::DbError;
pub use fence::{StaleFence, Token};
#[cfg(test)]
pub(crate) use fingerprint::Key;
pub use fingerprint::{Fingerprint, RULE, Schema};
pub use identity::Identity;
pub use intent::{Intent, Phase};
pub(crate) use kill::Killer;
pub use ledger::{LedgerRow, Row, applied};
pub use location::{Engine, Location, LocationError};
pub use observe::{Observation, observe, observe_behind, schema};
pub use order::{Direction, Order, Outcome};
pub(crate) use rows::{Named, rows};
pub use session::Session;
pub use settle::Settlement;
pub(crate) use sql::mentions;
pub use step_error::{Cause, StepError};
pub use tables::Tables;
pub(crate) use timed::Timed;
pub use timeouts::Timeouts;
pub use validate::Trial;
pub use verdict::{Recovery, Verdict};
pub use verify::Checks;
