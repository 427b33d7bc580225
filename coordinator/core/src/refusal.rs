//! Why a request is refused, and what to do next. A refusal changes nothing.

use std::fmt;

/// The kinds of refusal, as the exit codes of the command line tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request itself is wrong.
    Invalid,
    /// The thing asked for does not exist.
    Missing,
    /// Validation: the bundle or the fleet does not allow it.
    Unfit,
    /// A step cannot be undone, and nobody has taken responsibility for it.
    Unwaived,
    /// The plan was made on a state that has moved.
    Stale,
    /// A schema or a ledger is not what the log says.
    Drift,
    /// Made under another charter, or not allowed by the charter.
    Denied,
    /// The state that it is in does not allow it now.
    Conflict,
    /// The lease under which it was sent is gone.
    LeaseLost,
}

/// The asker's fault, deterministic, answered: nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which kind.
    pub kind: Kind,
    /// What is wrong and where.
    pub what: String,
    /// What to do next.
    pub next: String,
}

impl Refusal {
    /// A refusal that says what and what next.
    pub fn new(kind: Kind, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { kind, what: what.into(), next: next.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Refusal {}
