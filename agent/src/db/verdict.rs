//! How much of a step stands in the target, on evidence.

use std::fmt;

/// What stands after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing of the step.
    Never,
    /// The first `statements_done` of its statements, and nothing of the next.
    Partly { statements_done: u64, of: u64 },
    /// All of it.
    Fully,
    /// There is no evidence; a person decides.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("nothing of the step is in force"),
            Self::Partly { statements_done, of } => {
                write!(f, "the first {statements_done} of {of} statements are in force")
            }
            Self::Fully => f.write_str("the whole step is in force"),
            Self::Unknown => f.write_str("how much of the step is in force is not known"),
        }
    }
}

/// What a session found of a step that another session began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing stands: run it.
    Never,
    /// The statements before `at` (one-based) stand: run the rest.
    Resume { at: u64, of: u64 },
    /// Everything stands and the ledger says so, or lacks only its row.
    Fully,
    /// No evidence decides; `why` says what is missing and what a person can do.
    Stuck { why: String },
}
