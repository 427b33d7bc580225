//! The wall clock, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use skein_core::ids::Millis;

/// Now. A clock before 1970 counts as 1970: the log's own time never goes back in any case.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
