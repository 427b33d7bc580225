//! What each engine is said to have written to its log for a step, held against what the step wrote.
#![expect(clippy::unwrap_used, reason = "test helpers")]

mod db_support;

use db_support::{Target, every, impatient, sqlite};
use skein_agent::db::{Engine, Order, Outcome, Session};

const MIB: u64 = 1 << 20;
const TABLE: &str = "CREATE TABLE blobs (id int PRIMARY KEY, body text NOT NULL);";
/// Rows of a kibibyte.
const ROWS: u64 = 4 * 1024;

/// Four mebibytes, that no engine can make smaller.
fn fill(engine: Engine) -> String {
    match engine {
        Engine::Postgres => format!(
            "INSERT INTO blobs SELECT n, (SELECT string_agg(md5(n::text || m), '') \
             FROM generate_series(1, 32) m) FROM generate_series(1, {ROWS}) n;"
        ),
        Engine::Mysql => {
            format!("INSERT INTO blobs SELECT seq, repeat(md5(seq), 32) FROM seq_1_to_{ROWS};")
        }
        Engine::Sqlite => format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS}) \
             INSERT INTO blobs SELECT n, hex(randomblob(512)) FROM n;"
        ),
    }
}

/// The same many bytes again, in their places.
fn change(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres | Engine::Mysql => "UPDATE blobs SET body = reverse(body);",
        Engine::Sqlite => "UPDATE blobs SET body = hex(randomblob(512));",
    }
}

async fn observed(target: &Target) -> Session {
    Session::open_and_observe(&target.location, &impatient()).await.unwrap().0
}

async fn written(session: &mut Session, order: &Order) -> Option<u64> {
    match session.apply(order).await.unwrap() {
        Outcome::Applied { written, .. } => written,
        Outcome::Already(row) => panic!("{row:?}"),
    }
}

/// A step that fills a table, one that changes it, and one that does nothing.
async fn held_against_what_was_written(target: &Target, what: &str) {
    let mut session = observed(target).await;
    written(&mut session, &target.up("1", TABLE)).await.expect("it is told");
    let filled = written(&mut session, &target.up("2", &fill(target.engine))).await.unwrap();
    // The same once more, in pieces: with its progress between them.
    let pieces = target.outside("3", change(target.engine));
    let pieces = written(&mut session, &pieces).await.unwrap();
    let changed = written(&mut session, &target.up("4", change(target.engine))).await.unwrap();
    let undone = written(&mut session, &target.down("4", change(target.engine))).await.unwrap();
    let little = written(&mut session, &target.up("5", "SELECT 1;")).await.unwrap();
    session.close().await;
    let all = [filled, pieces, changed, undone];
    // Others may write on the same server: at most is all that is promised, and a test of seconds
    // beside it leaves room.
    for bytes in all {
        assert!((4 * MIB..64 * MIB).contains(&bytes), "{what}: {all:?}");
    }
    assert!(little < 4 * MIB, "{what}: {little}");
}

#[tokio::test]
async fn a_step_says_what_was_written_for_it() {
    for target in every("a_step_says_what_was_written_for_it").await {
        held_against_what_was_written(&target, target.engine.as_str()).await;
        target.remove().await;
    }
}

#[tokio::test]
async fn a_file_with_a_write_ahead_log_does_so_too() {
    let target = sqlite();
    target.raw("PRAGMA journal_mode = WAL;").await;
    held_against_what_was_written(&target, "with a write-ahead log").await;
}

/// A light step of SQLite changes a page of the table and one of the ledger, and says just that.
#[tokio::test]
async fn a_light_step_says_how_light_it_is() {
    let target = sqlite();
    let mut session = observed(&target).await;
    written(&mut session, &target.up("1", TABLE)).await;
    let row = target.up("2", "INSERT INTO blobs VALUES (1, 'a');");
    let bytes = written(&mut session, &row).await.unwrap();
    assert!((2 * 4_096..8 * 4_096).contains(&bytes), "{bytes}");
}
