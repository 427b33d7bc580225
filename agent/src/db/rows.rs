//! Answers of a query that is not ours, with the names of their columns.

use super::answer::Keep;
use super::connection::Connection;
use super::location::Location;
use super::observe::connect_to_read;
use super::timeouts::Timeouts;
use crate::text::chain;

/// A row: each column's name, and its value as the engine writes it in text; `None` is NULL.
pub(crate) type Named = Vec<(String, Option<String>)>;

/// Asks for what is in the database, and changes nothing in it. The error holds no password.
pub(crate) async fn rows(
    location: &Location,
    sql: &str,
    (rows_max, bytes_max): (usize, usize),
    timeouts: &Timeouts,
) -> Result<Vec<Named>, String> {
    let mut connection =
        connect_to_read(location, timeouts).await.map_err(|error| chain(&error))?;
    let first = match connection {
        Connection::Postgres(_) => "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        Connection::Mysql(_) => "SET SESSION TRANSACTION READ ONLY",
        Connection::Sqlite(_) => "PRAGMA query_only = 1",
    };
    let _alive = connection.while_wanted().await;
    let asked = async {
        connection.send(first.to_owned(), Keep::Nothing).await?;
        connection.send(sql.to_owned(), Keep::Named { rows_max, bytes_max }).await
    };
    let answers = asked.await;
    connection.close().await;
    let answers =
        answers.map_err(|broken| format!("{}: {}", location.redacted(), broken.failure.message))?;
    let mut named = Vec::new();
    for answer in answers {
        let mut rows = answer.rows.into_iter();
        let Some(names) = rows.next() else { continue };
        let names: Vec<String> = names.into_iter().map(Option::unwrap_or_default).collect();
        named.extend(rows.map(|row| names.iter().cloned().zip(row).collect()));
    }
    Ok(named)
}
