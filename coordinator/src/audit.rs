//! The log without a node: a data directory checked, an event read.

use std::path::Path;

use skein_core::Event;

use skein_store::history::{HistoryError, Verified, verify};

pub use crate::codec::Malformed;

/// Checks the whole history in a data directory: every frame, leaf and root.
///
/// # Errors
/// The first bad place: file, offset, event.
pub fn verify_directory(data: &Path) -> Result<Verified, HistoryError> {
    verify(&data.join("history"))
}

/// One event, from the bytes that are stored and that are a leaf of the tree.
///
/// # Errors
/// They are no event of this release or an earlier one.
pub fn event(stored: &[u8]) -> Result<Event, Malformed> {
    crate::codec::decode_event(&bytes::Bytes::copy_from_slice(stored))
}
