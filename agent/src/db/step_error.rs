//! Why a step did not end well, and what of it stands.

use std::fmt;

use super::failure::Failure;
use super::fence::StaleFence;
use super::order::Order;
use super::verdict::Verdict;

/// The kinds of failure that a caller acts on differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A statement of the script failed.
    Statement,
    /// The verify script failed or returned something that is not true.
    Verify,
    /// A later lease reached the target: we must stop.
    Fence,
    /// The ledger has the step, but of a script with another digest.
    Drift,
    /// An undo of a step that is not in force.
    NotApplied,
    /// An interrupted run stands open and nothing decides how far it came. A person must settle it.
    Stuck,
    /// The connection ended while COMMIT was on its way: the ledger tells, on the next session.
    CommitUnknown,
    /// The connection or the server failed outside of the script.
    Database,
}

/// A step that did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    pub cause: Cause,
    /// May pass when tried again as it is (on a new session if `session_lost`).
    pub retryable: bool,
    /// What of the step stands in the target now.
    pub verdict: Verdict,
    /// The session cannot be used any further.
    pub session_lost: bool,
    /// Somebody had the statement killed.
    pub cancelled: bool,
    /// A later lease holds the target.
    pub fence_lost: bool,
    /// The step and its direction.
    pub step: Box<str>,
    pub file: String,
    /// One-based line in `file` of the failing statement, where known.
    pub line: Option<u32>,
    /// SQLSTATE, error number or result code of the server.
    pub code: Option<Box<str>>,
    /// What happened, in the server's words where it spoke, and what to do next.
    pub message: String,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(code) = &self.code {
            write!(f, " [{code}]")?;
        }
        write!(f, "; {}", self.verdict)
    }
}

impl std::error::Error for StepError {}

impl StepError {
    pub(crate) fn new(
        order: &Order,
        cause: Cause,
        verdict: Verdict,
        message: impl Into<String>,
    ) -> Self {
        Self {
            cause,
            retryable: false,
            verdict,
            session_lost: false,
            cancelled: false,
            fence_lost: cause == Cause::Fence,
            step: order.to_string().into(),
            file: order.script.file.clone(),
            line: None,
            code: None,
            message: message.into(),
        }
    }

    /// A failure of the server. Retryable only where nothing stands.
    pub(crate) fn of(order: &Order, cause: Cause, verdict: Verdict, failure: Failure) -> Self {
        let retryable = failure.transient && verdict == Verdict::Never;
        Self {
            retryable,
            session_lost: failure.lost,
            code: failure.code.map(Into::into),
            ..Self::new(order, cause, verdict, failure.message)
        }
    }

    pub(crate) fn fence(order: &Order, verdict: Verdict, stale: StaleFence) -> Self {
        Self::new(order, Cause::Fence, verdict, stale.to_string())
    }

    /// Whether its statement was ended from outside: `query_canceled`, `ER_QUERY_INTERRUPTED`, `SQLITE_INTERRUPT`.
    pub(crate) fn is_killed(&self) -> bool {
        !self.session_lost && matches!(self.code.as_deref(), Some("57014" | "1317" | "9"))
    }

    #[must_use]
    pub(crate) fn at_line(mut self, line: Option<u32>) -> Self {
        self.line = line;
        self
    }
}
