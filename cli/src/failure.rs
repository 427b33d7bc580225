//! Why a command ends without having done what it was asked: one message, one next step, one code.

use tonic::{Code, Status};

use crate::exit::ExitCode;

/// What the edge prints before it exits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    pub exit: ExitCode,
    /// What happened and where.
    pub what: String,
    /// The command or action to do next. Empty: the message says it all.
    pub next: String,
    /// It is for want of a waiver that the coordinator refused it, and for nothing else.
    pub unwaived: bool,
}

impl Failure {
    pub fn new(exit: ExitCode, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), next: String::new(), unwaived: false }
    }

    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, what)
    }

    /// An error from below, with its whole chain of causes in one line.
    pub fn caused(exit: ExitCode, what: &str, error: &dyn std::error::Error) -> Self {
        Self::new(exit, format!("{what}: {}", chain(error)))
    }
}

/// An error and its causes, joined by colons; a cause that its parent already quotes is left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}

/// Metadata of a refusal: the exit code, and what to do next (as bytes: it may be any text).
const EXIT: &str = "skein-exit";
const NEXT: &str = "skein-next-bin";
/// The same: what the asker has to give.
const WANTS: &str = "skein-wants";

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let metadata = status.metadata();
        let exit = metadata
            .get(EXIT)
            .and_then(|number| number.to_str().ok()?.parse().ok())
            .and_then(ExitCode::from_number)
            .unwrap_or_else(|| by_code(status.code()));
        let next = metadata.get_bin(NEXT).and_then(|next| next.to_bytes().ok());
        let next = next.map(|next| String::from_utf8_lossy(&next).into_owned());
        let what = if status.message().is_empty() {
            format!("the coordinator answered {:?} without a message", status.code())
        } else {
            status.message().to_owned()
        };
        let unwaived = metadata.get(WANTS).is_some_and(|wanted| wanted == "waiver");
        Self { exit, what, next: next.unwrap_or_default(), unwaived }
    }
}

fn by_code(code: Code) -> ExitCode {
    match code {
        Code::Ok => ExitCode::Done,
        Code::Unavailable | Code::DeadlineExceeded => ExitCode::Unreachable,
        Code::PermissionDenied | Code::Unauthenticated => ExitCode::Denied,
        Code::InvalidArgument | Code::NotFound => ExitCode::Usage,
        Code::FailedPrecondition => ExitCode::Refused,
        Code::Aborted => ExitCode::Stale,
        Code::DataLoss => ExitCode::Tampered,
        Code::Cancelled
        | Code::Unknown
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal => ExitCode::Internal,
    }
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataValue;
    use tonic::{Code, Status};

    use super::Failure;
    use crate::exit::ExitCode;

    #[test]
    fn a_refusal_carries_its_code_and_next_step() {
        let mut status = Status::failed_precondition("step 0042 cannot be undone");
        status.metadata_mut().insert("skein-exit", "40".parse().unwrap());
        let next = MetadataValue::from_bytes("run `skein plan` → ✔".as_bytes());
        status.metadata_mut().insert_bin("skein-next-bin", next);
        let failure = Failure::from(status);
        assert_eq!(failure.exit, ExitCode::Stale);
        assert_eq!(failure.what, "step 0042 cannot be undone");
        assert_eq!(failure.next, "run `skein plan` → ✔");
    }

    #[test]
    fn without_metadata_the_status_code_decides() {
        for (code, exit) in [
            (Code::Unavailable, ExitCode::Unreachable),
            (Code::PermissionDenied, ExitCode::Denied),
            (Code::InvalidArgument, ExitCode::Usage),
            (Code::FailedPrecondition, ExitCode::Refused),
            (Code::Aborted, ExitCode::Stale),
            (Code::DataLoss, ExitCode::Tampered),
            (Code::Internal, ExitCode::Internal),
        ] {
            assert_eq!(Failure::from(Status::new(code, "x")).exit, exit, "{code:?}");
        }
    }

    #[test]
    fn a_code_outside_of_the_contract_is_not_passed_on() {
        let mut status = Status::aborted("moved");
        status.metadata_mut().insert("skein-exit", "77".parse().unwrap());
        assert_eq!(Failure::from(status).exit, ExitCode::Stale);
    }
}
