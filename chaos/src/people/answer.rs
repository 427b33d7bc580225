//! What an answer tells of what was asked for.

use tonic::{Code, Status};

/// Whether it may have happened, or another node may know better.
pub fn is_unknown(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
    )
}
