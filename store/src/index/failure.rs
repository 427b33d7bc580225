//! What can go wrong in sled, and how it is caught.

use std::panic::AssertUnwindSafe;

/// Something in sled failed; the answer is always to rebuild.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("sled failed")]
    Sled(#[from] sled::Error),
    #[error("sled panicked")]
    Panic,
    #[error("a lookup failed")]
    Asked,
    #[error("an entry is not of this format")]
    Format,
    #[error("the index could not be forced to the disk")]
    Sync(#[source] std::io::Error),
    #[error("the history could not be read")]
    History(#[from] crate::history::HistoryError),
}

/// sled 0.34 panics on some damage instead of saying so.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Failure::Panic))
}
