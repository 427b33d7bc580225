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
    let rows = db::rows(&location, query, (1, BYTES_MAX), &Timeouts::within(limit)).await?;
    let first = rows.into_iter().next().and_then(|row| row.into_iter().next());
    match first {
        Some((_, Some(value))) => Ok(value),
        Some((_, None)) => Err("the query answers NULL".to_owned()),
        None => Err("the query answers no row".to_owned()),
    }
}
