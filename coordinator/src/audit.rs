//! Checking a data directory without a node.

use std::path::Path;

use skein_store::history::{HistoryError, Verified, verify};

/// Checks the whole history in a data directory: every frame, leaf and root.
///
/// # Errors
/// The first bad place: file, offset, event.
pub fn verify_directory(data: &Path) -> Result<Verified, HistoryError> {
    verify(&data.join("history"))
}
