//! Reads the sources of targets, again and again and whenever somebody wishes.
//!
//! ```text
//! command ─┐
//! query ───┴─ rows ─ config::Discovery ─► targets ─► roster
//! ```
//!
//! What holds: a reading is bounded in time, bytes and rows, and counts only when it came to its end; nothing
//! that a source prints or answers is logged or told but ids, names of columns, and places of rows.

mod command;
mod query;
mod rows;

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;

pub(crate) use command::{Group, program};

use crate::config::{Discovery, Row, Source, Target};
use crate::roster::{Named, Reading, Roster};

/// Rows of one source; more is not gone by.
const ROWS_MAX: usize = 100_000;
/// What a source may say in all, bytes.
const BYTES_MAX: usize = 32 << 20;

/// Reads every source, and again at its time and at each wish, for ever.
pub(crate) async fn run(
    discoveries: Vec<Discovery>,
    roster: Arc<Roster>,
    wishes: watch::Receiver<u64>,
) {
    let mut readers: FuturesUnordered<_> = discoveries
        .into_iter()
        .enumerate()
        .map(|(at, discovery)| follow(at, discovery, roster.clone(), wishes.clone()))
        .collect();
    while readers.next().await.is_some() {}
}

async fn follow(
    at: usize,
    discovery: Discovery,
    roster: Arc<Roster>,
    mut wishes: watch::Receiver<u64>,
) {
    loop {
        let wish = *wishes.borrow_and_update();
        let reading = read(&discovery).await;
        roster.take_in(at, reading, wish);
        tokio::select! {
            () = tokio::time::sleep(discovery.every) => {}
            wished = wishes.changed() => {
                if wished.is_err() {
                    return;
                }
            }
        }
    }
}

/// The target of that id as the first source that names it has it, read now: for somebody beside the agent, who works
/// with the agent's file.
///
/// # Errors
///
/// Why there is none, source by source.
pub async fn find(discoveries: &[Discovery], id: &str) -> Result<Target, Vec<String>> {
    let mut why = Vec::new();
    for discovery in discoveries {
        let name = &discovery.name;
        let rows = match read(discovery).await {
            Reading::Rows(rows) => rows,
            Reading::Failed(reason) => {
                why.push(format!("source {name} could not be read: {reason}"));
                continue;
            }
        };
        let is_it = |row: &Named| row.id.as_ref().is_some_and(|known| known.to_string() == id);
        let mut named = rows.into_iter().filter(is_it);
        match (named.next(), named.next()) {
            (Some(Named { target: Ok(target), .. }), None) => return Ok(target),
            (Some(Named { place, target: Err(reason), .. }), None) => {
                why.push(format!("source {name}, {place}: {reason}"));
            }
            (Some(one), Some(other)) => {
                why.push(format!("source {name} names it twice: {}, {}", one.place, other.place));
            }
            (None, _) => why.push(format!("source {name} does not name it")),
        }
    }
    Err(why)
}

async fn read(discovery: &Discovery) -> Reading {
    let rows = async {
        match &discovery.source {
            Source::Command(words) => command::read(words, &discovery.directory).await,
            Source::Query { sql, database } => {
                query::read(sql, database, &discovery.directory).await
            }
        }
    };
    let limit = discovery.timeout;
    match tokio::time::timeout(limit, rows).await {
        Ok(Ok(rows)) => {
            let named = |(place, row): (String, Result<Row, String>)| match row {
                Ok(row) => {
                    let id = discovery.id(&row).ok();
                    Named { place, id, target: discovery.target(row) }
                }
                Err(why) => Named { place, id: None, target: Err(why) },
            };
            Reading::Rows(rows.into_iter().map(named).collect())
        }
        Ok(Err(why)) => Reading::Failed(why),
        Err(_) => Reading::Failed(format!("it took longer than {} s", limit.as_secs())),
    }
}

/// Rows with their places; the error says why none of them counts.
type Rows = Result<Vec<(String, Result<Row, String>)>, String>;
