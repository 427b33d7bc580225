//! Targets that a table of tenants names.

use std::path::Path;

use super::{BYTES_MAX, ROWS_MAX, Rows};
use crate::config::{Row, Url};
use crate::db::{self, Location, Timeouts};
use crate::text::chain;

pub(super) async fn read(sql: &str, database: &Url, directory: &Path) -> Rows {
    let url = database.read(directory).await.map_err(|error| chain(&error))?;
    let location = Location::parse(url.expose(), None).map_err(|error| chain(&error))?;
    let rows = db::rows(&location, sql, (ROWS_MAX, BYTES_MAX), &Timeouts::default()).await?;
    let one =
        |(at, row): (usize, Vec<(String, Option<String>)>)| (format!("row {}", at + 1), of(row));
    Ok(rows.into_iter().enumerate().map(one).collect())
}

fn of(columns: Vec<(String, Option<String>)>) -> Result<Row, String> {
    let mut row = Row::default();
    for (name, value) in columns {
        // NULL says nothing.
        if let Some(value) = value {
            row.set(&name, value)?;
        }
    }
    row.complete()
}
