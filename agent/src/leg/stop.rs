//! What ends a leg before its last step.

use skein_proto::agent::v1::report::Outcome;
use skein_proto::agent::v1::{Failed, Released, Stuck, Verdict as WireVerdict};

use crate::bundles::BundleError;
use crate::db::{Cause, DbError, StepError, Verdict};
use crate::text::chain;

/// Carried by `?` to the one place where a leg ends.
#[derive(Debug)]
pub(super) enum Stop {
    /// The lease is another's. Nothing is reported.
    Lost(String),
    /// The last report of the leg.
    Report(Box<Outcome>),
}

impl Stop {
    pub(super) fn released(why: &str) -> Self {
        Self::Report(Box::new(Outcome::Released(Released { why: why.to_owned() })))
    }

    pub(super) fn stuck(step: u32, why: impl Into<String>) -> Self {
        Self::Report(Box::new(Outcome::Stuck(Stuck { step, why: why.into() })))
    }

    /// Nothing was run, and nothing will be until somebody changes something.
    pub(super) fn refused(step: u32, message: impl Into<String>) -> Self {
        Self::never(step, message, false)
    }

    /// Nothing was run.
    pub(super) fn never(step: u32, message: impl Into<String>, retryable: bool) -> Self {
        Self::failed(Failed {
            step,
            verdict: WireVerdict::Never.into(),
            retryable,
            message: message.into(),
            ..Failed::default()
        })
    }

    /// The same, where something of the leg may stand in the target after all: nobody has seen.
    pub(super) fn in_doubt(self) -> Self {
        match self {
            Self::Report(outcome) => match *outcome {
                Outcome::Failed(failed) if failed.verdict() == WireVerdict::Never => {
                    Self::failed(Failed {
                        verdict: WireVerdict::Unknown.into(),
                        retryable: false,
                        message: format!(
                            "{}; what an earlier executor of this leg left in the target is not \
                             known. Its _skein_ledger and _skein_intent tables tell",
                            failed.message
                        ),
                        ..failed
                    })
                }
                other => Self::Report(Box::new(other)),
            },
            lost @ Self::Lost(_) => lost,
        }
    }

    pub(super) fn failed(failed: Failed) -> Self {
        Self::Report(Box::new(Outcome::Failed(failed)))
    }

    pub(super) fn bundle(step: u32, error: &BundleError) -> Self {
        Self::never(step, chain(error), error.is_retryable())
    }

    /// Before any step of the leg was begun.
    pub(super) fn database(step: u32, error: &DbError) -> Self {
        match error {
            DbError::Fence(_) => Self::fence(step, &chain(error)),
            DbError::LedgerDamaged { .. } | DbError::LedgerFormat { .. } => {
                Self::stuck(step, chain(error))
            }
            _ => Self::never(step, chain(error), error.is_retryable()),
        }
    }

    /// Where the lease is lost this report is refused and changes nothing. Where it is not, the
    /// target has seen another log than the coordinator's, and somebody must know.
    fn fence(step: u32, message: &str) -> Self {
        Self::stuck(
            step,
            format!(
                "{message}. If no other agent holds a lease on the target, it was last migrated \
                 under another coordinator (or one whose data was thrown away): register it with \
                 that one, or settle its _skein_fence row by hand"
            ),
        )
    }

    pub(super) fn step(step: u32, error: &StepError) -> Self {
        match error.cause {
            Cause::Fence => Self::fence(step, &error.to_string()),
            Cause::Drift | Cause::NotApplied | Cause::Stuck => Self::stuck(step, error.to_string()),
            Cause::Statement | Cause::Verify | Cause::CommitUnknown | Cause::Database => {
                Self::failed(Failed {
                    step,
                    verdict: verdict(&error.verdict).into(),
                    retryable: error.retryable,
                    message: message(error),
                    file: error.file.clone(),
                    line: error.line.unwrap_or_default(),
                    cancelled: error.cancelled,
                })
            }
        }
    }
}

/// File and line have fields of their own.
fn message(error: &StepError) -> String {
    let code = error.code.as_ref().map(|code| format!(" [{code}]")).unwrap_or_default();
    match error.verdict {
        Verdict::Never | Verdict::Unknown | Verdict::Fully => format!("{}{code}", error.message),
        Verdict::Partly { .. } => format!("{}{code}; {}", error.message, error.verdict),
    }
}

fn verdict(verdict: &Verdict) -> WireVerdict {
    match verdict {
        Verdict::Never => WireVerdict::Never,
        Verdict::Partly { .. } => WireVerdict::Partly,
        Verdict::Fully => WireVerdict::Fully,
        Verdict::Unknown => WireVerdict::Unknown,
    }
}
