//! How long a step waited for a lock that it got, held against how long somebody else held that.
#![expect(clippy::unwrap_used, reason = "test helpers")]

mod db_support;

use std::time::Duration;

use db_support::{Target, every, impatient};
use skein_agent::db::{Engine, Order, Outcome, Session, Timeouts};
use sqlx::{AssertSqlSafe, Connection, Executor};

const TABLE: &str = "CREATE TABLE accounts (id int PRIMARY KEY, name varchar(40));";
const ROW: &str = "INSERT INTO accounts (id, name) VALUES (1, 'a');";
/// So long somebody holds a lock, milliseconds.
const HELD: u64 = 900;

/// Somebody else's transaction: it does `sql`, holds what it has for a while, and lets go.
async fn holds(target: &Target, sql: &'static str) -> tokio::task::JoinHandle<()> {
    let (engine, url) = (target.engine, target.url.clone());
    let (ready, held) = tokio::sync::oneshot::channel();
    let holder = tokio::spawn(async move {
        macro_rules! hold {
            ($connection:ty, $begin:literal) => {{
                let mut connection = <$connection>::connect(&url).await.unwrap();
                connection.execute($begin).await.unwrap();
                connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
                ready.send(()).unwrap();
                tokio::time::sleep(Duration::from_millis(HELD)).await;
                connection.execute("COMMIT").await.unwrap();
                connection.close().await.unwrap();
            }};
        }
        match engine {
            Engine::Postgres => hold!(sqlx::PgConnection, "BEGIN"),
            Engine::Mysql => hold!(sqlx::MySqlConnection, "START TRANSACTION"),
            Engine::Sqlite => hold!(sqlx::SqliteConnection, "BEGIN IMMEDIATE"),
        }
    });
    held.await.unwrap();
    holder
}

/// What a step took, and what of that was a wait.
async fn took(session: &mut Session, order: &Order) -> (u64, Option<u64>) {
    match session.apply(order).await.unwrap() {
        Outcome::Applied { ms, locked_ms, .. } => (ms, locked_ms),
        Outcome::Already(row) => panic!("{row:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_was_won_is_told() {
    for target in every("a_wait_that_was_won_is_told").await {
        let timeouts = Timeouts { lock_ms: 10_000, ..impatient() };
        let (mut session, _) =
            Session::open_and_observe(&target.location, &timeouts).await.unwrap();
        let (_, light) = took(&mut session, &target.up("1", TABLE)).await;
        assert!(light.is_some_and(|ms| ms < 100), "{}: {light:?}", target.engine);
        took(&mut session, &target.up("2", ROW)).await;

        // A row that somebody has changed, and a table that somebody reads.
        let change = target.up("3", "UPDATE accounts SET name = 'b' WHERE id = 1;");
        let widen = target.up("4", "ALTER TABLE accounts ADD COLUMN more int;");
        let updates = "UPDATE accounts SET name = 'c' WHERE id = 1";
        let reads = "SELECT * FROM accounts";
        for (order, sql) in [(&change, updates), (&widen, reads)] {
            let holder = holds(&target, sql).await;
            let (ms, locked) = took(&mut session, order).await;
            holder.await.unwrap();
            let what = format!("{} {order}: {locked:?} of {ms}", target.engine);
            let locked = locked.expect("it can be seen");
            assert!((HELD * 2 / 3..=ms).contains(&locked), "{what}");
        }

        // One that takes its time and waits for nobody.
        let sleeps = match target.engine {
            Engine::Postgres => "SELECT pg_sleep(1.5);",
            Engine::Mysql => "SELECT SLEEP(1.5);",
            Engine::Sqlite => {
                "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 2000000) \
                 SELECT max(x) FROM c;"
            }
        };
        let (ms, locked) = took(&mut session, &target.up("5", sleeps)).await;
        assert!(ms >= 100, "{}: {ms}", target.engine);
        assert_eq!(locked, Some(0), "{}", target.engine);
        session.close().await;
        target.remove().await;
    }
}
