//! SQL as far as a migration tool must understand it: where statements end, what each does, and
//! whether a script can share one transaction with its bookkeeping.

pub mod model;

pub mod batch;
pub mod lex;
mod words;

pub mod names;

mod compound;
mod routine;
pub mod split;

pub mod classify;
mod mysql;
mod postgres;
mod sqlite;
pub mod trace;

pub(crate) mod client;
pub mod normalise;
pub mod plan;

pub use batch::Batch;
pub use classify::{Facts, Lock, facts};
pub use model::{Class, Dialect, Split, Statement};
pub use plan::{Judged, Mode, ScriptPlan, plan_script};
pub use split::split;
pub use trace::{Trace, View, trace};
