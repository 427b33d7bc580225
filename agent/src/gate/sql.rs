//! The first value that a query answers in a target. The session only reads, and the server ends the query
//! when its time is over.

use std::time::Duration;

use crate::config::Target;
use crate::db::{self, Timeouts};
use crate::text::chain;

/// Of one value, bytes.
const BYTES_MAX: usize = 4_096;

pub(super) async fn ask(target: &Target, query: &str, limit: Duration) -> Result<String, String> {
    let (location, _) = target.locate().await.map_err(|error| chain(&error))?;
    let limit_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    let defaults = Timeouts::default();
    let timeouts = Timeouts {
        connect_ms: defaults.connect_ms.min(limit_ms),
        lock_ms: defaults.lock_ms.min(limit_ms),
        statement_ms: limit_ms,
        retries_max: 0,
        ..defaults
    };
    let rows = db::rows(&location, query, (1, BYTES_MAX), &timeouts).await?;
    let first = rows.into_iter().next().and_then(|row| row.into_iter().next());
    match first {
        Some((_, Some(value))) => Ok(value),
        Some((_, None)) => Err("the query answers NULL".to_owned()),
        None => Err("the query answers no row".to_owned()),
    }
}
