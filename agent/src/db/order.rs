//! What a session is asked to run, and what came of it.

use std::fmt;
use std::sync::Arc;

use skein_bundle::Script;
use skein_bundle::sql::ScriptPlan;

use super::fence::Token;
use super::fingerprint::Fingerprint;
use super::ledger::LedgerRow;

/// Which script of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    Up,
    Down,
}

impl Direction {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Up, Self::Down].into_iter().find(|direction| direction.as_str() == text)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One migration in one direction, to be run under one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The migration's version, as the bundle writes it.
    pub step: String,
    pub direction: Direction,
    /// Of the script: what the ledger compares to tell a repeat from a changed file.
    pub digest: [u8; 32],
    pub script: Script,
    /// How the script is run, as `skein_bundle::sql::plan_script` decided.
    pub plan: Arc<ScriptPlan>,
    /// Must succeed and return only true values before the step counts as applied.
    pub verify: Option<Script>,
    /// Asked where nothing else tells whether an interrupted statement took effect. Its first
    /// value says whether the *up* script is in force.
    pub probe: Option<Script>,
    pub token: Token,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} ({})", self.step, self.direction)
    }
}

/// The step is in force; how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// We ran it now.
    Applied {
        /// Rows changed, as the server counts them.
        rows: u64,
        /// From the first to the last byte of the try that succeeded, in milliseconds. A wait for a lock
        /// that was had in the end is in it.
        ms: u64,
        /// That wait, as it was seen from outside. `None`: nobody could see.
        locked_ms: Option<u64>,
        /// Before that: tries that had no effect (a lock timeout, a deadlock), and the pauses between them.
        waited_ms: u64,
        /// What the engine wrote to its log meanwhile, bytes; what others wrote is in it. `None`: it does not
        /// tell.
        written: Option<u64>,
        /// Known where the run needed it anyway (statement by statement); else ask
        /// [`super::Session::fingerprint`] at the end of the leg.
        fingerprint_after: Option<Fingerprint>,
        /// The statement (one-based) at which an interrupted run was taken up again.
        resumed_at: Option<u64>,
    },
    /// The ledger already had it with this digest: nothing was run.
    Already(LedgerRow),
}
