//! Refusals and failures as gRPC statuses. The metadata says what the command line exits with, and
//! what to do next.

use skein_core::Refusal;
use skein_core::refusal::Kind;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::sequencer::Failure;

/// The exit code that the command line should end with.
pub(crate) const EXIT: &str = "skein-exit";
/// What to do next, as bytes: it may be any text.
pub(crate) const NEXT: &str = "skein-next-bin";
/// What the asker has to give, where it is refused for want of that alone.
pub(crate) const WANTS: &str = "skein-wants";
/// Where the leader is, as far as this node knows.
pub(crate) const LEADER: &str = "skein-leader";

fn with(mut status: Status, exit: u32, next: &str) -> Status {
    if let Ok(value) = exit.to_string().parse() {
        status.metadata_mut().insert(EXIT, value);
    }
    if !next.is_empty() {
        status.metadata_mut().insert_bin(NEXT, MetadataValue::from_bytes(next.as_bytes()));
    }
    status
}

pub(crate) fn refused(refusal: &Refusal) -> Status {
    let (code, exit) = match refusal.kind {
        Kind::Invalid => (Code::InvalidArgument, 2),
        Kind::Missing => (Code::NotFound, 2),
        Kind::Unfit | Kind::Unwaived | Kind::Conflict => (Code::FailedPrecondition, 21),
        Kind::Stale => (Code::Aborted, 40),
        Kind::Drift => (Code::FailedPrecondition, 41),
        Kind::Denied => (Code::PermissionDenied, 51),
        Kind::LeaseLost => (Code::Aborted, 21),
    };
    let mut status = with(Status::new(code, refusal.what.clone()), exit, &refusal.next);
    if refusal.kind == Kind::Unwaived {
        status.metadata_mut().insert(WANTS, MetadataValue::from_static("waiver"));
    }
    status
}

pub(super) fn failed(failure: Failure) -> Status {
    match failure {
        Failure::Refused(refusal) => refused(&refusal),
        Failure::NotLeader => {
            unavailable("this node does not lead; nothing was changed".to_owned())
        }
        Failure::Unknown(why) => unavailable(format!("whether it happened is not known: {why}")),
    }
}

pub(super) fn unavailable(what: String) -> Status {
    with(Status::unavailable(what), 50, "repeat it: with the same request id that is safe")
}

pub(super) fn malformed(error: &dyn std::error::Error) -> Status {
    with(Status::invalid_argument(error.to_string()), 2, "send what this release understands")
}

pub(super) fn broken(error: &dyn std::error::Error) -> Status {
    tracing::error!(%error, "a request could not be answered");
    Status::internal(error.to_string())
}

pub(super) fn missing(what: String, next: &str) -> Status {
    with(Status::not_found(what), 2, next)
}
