//! A SQLite target whose writer was killed in the middle of a transaction.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod db_support;

use db_support::sqlite;
use rusqlite::Connection;
use skein_agent::db::observe;

fn file_of(url: &str) -> &str {
    url.strip_prefix("sqlite:").and_then(|rest| rest.strip_suffix("?mode=rwc")).unwrap()
}

/// Who only reads cannot roll back what the dead one left; a look must not wait for somebody who writes.
#[tokio::test]
async fn a_look_at_it_rolls_back_what_was_left() {
    let target = sqlite();
    target.raw("CREATE TABLE kept (id INTEGER)").await;
    let file = file_of(&target.url);
    let writer = Connection::open(file).unwrap();
    // Less memory than the transaction is long: the journal and some of the pages are on the disk.
    writer
        .execute_batch(
            "PRAGMA cache_size = 2; BEGIN IMMEDIATE; CREATE TABLE lost (text TEXT); \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) \
             INSERT INTO lost SELECT hex(randomblob(400)) FROM n;",
        )
        .unwrap();
    let dead = sqlite();
    let copy = file_of(&dead.url);
    std::fs::copy(file, copy).unwrap();
    let journal = std::fs::copy(format!("{file}-journal"), format!("{copy}-journal")).unwrap();
    assert!(journal > 0, "there is something to be rolled back");
    drop(writer);
    observe(&dead.location).await.unwrap();
    assert_eq!(dead.scalar("SELECT group_concat(name) FROM sqlite_master").await, "kept");
    target.remove().await;
    dead.remove().await;
}
