//! How many rows of the tables that a script names each engine tells, held against what is in them.
#![expect(clippy::unwrap_used, reason = "test helpers")]

mod db_support;

use db_support::{Target, every, postgres, sqlite};
use skein_agent::db::{Engine, observe};

const ROWS: u64 = 20_000;

fn numbers(engine: Engine, rows: u64) -> String {
    match engine {
        Engine::Postgres => format!("generate_series(1, {rows}) n(seq)"),
        Engine::Mysql => format!("seq_1_to_{rows}"),
        Engine::Sqlite => format!(
            "(WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < {rows}) \
             SELECT seq FROM n)"
        ),
    }
}

async fn touched(target: &Target, script: &str) -> Option<u64> {
    let seen = observe(&target.location).await.unwrap();
    seen.tables.expect("its server tells").touched(target.engine, script)
}

#[tokio::test]
async fn rows_are_told_by_every_engine() {
    for target in every("rows_are_told_by_every_engine").await {
        let engine = target.engine;
        target.raw("CREATE TABLE orders (id int); CREATE TABLE items (id int);").await;
        target.raw("CREATE TABLE none (id int);").await;
        let fill =
            |table, rows| format!("INSERT INTO {table} SELECT seq FROM {};", numbers(engine, rows));
        target.raw(&fill("orders", ROWS)).await;
        target.raw(&fill("items", 300)).await;
        // A server's own estimate, of an index that was counted in a few of its pages.
        let about = |rows: u64| rows * 9 / 10..=rows * 11 / 10;
        for (script, rows) in [
            ("UPDATE Orders SET id = 1;", ROWS),
            ("INSERT INTO orders SELECT id FROM items;", ROWS + 300),
            ("DELETE FROM items WHERE id = 1; -- orders", 300),
            ("DELETE FROM none WHERE 'orders' <> 'items';", 0),
            ("CREATE TABLE fresh (id int);", 0),
        ] {
            let told = touched(&target, script).await.expect("it is told");
            assert!(about(rows).contains(&told), "{engine:?}: {script}: {told}");
        }
        target.remove().await;
    }
}

/// Without an `ANALYZE`, and after one; partitions count for the table that is named.
#[tokio::test]
async fn rows_are_told_by_postgresql_before_an_analyze() {
    let Some(target) = postgres("rows_are_told_by_postgresql_before_an_analyze").await else {
        return;
    };
    let fill = |table: &str| {
        format!("INSERT INTO {table} SELECT seq FROM {};", numbers(target.engine, ROWS))
    };
    target.raw("CREATE TABLE \"Odd.Name\" (id int); CREATE SCHEMA other;").await;
    target.raw("CREATE TABLE whole (id int) PARTITION BY RANGE (id);").await;
    target.raw("CREATE TABLE low PARTITION OF whole FOR VALUES FROM (0) TO (5000);").await;
    target.raw("CREATE TABLE high PARTITION OF whole FOR VALUES FROM (5000) TO (90000);").await;
    target.raw("CREATE TABLE other.orders (id int);").await;
    for table in ["\"Odd.Name\"", "whole", "other.orders"] {
        target.raw(&fill(table)).await;
    }
    for again in ["SELECT 1;", "ANALYZE;"] {
        target.raw(again).await;
        for script in
            ["UPDATE whole SET id = 1;", "DELETE FROM \"Odd.Name\";", "DELETE FROM orders;"]
        {
            assert_eq!(touched(&target, script).await, Some(ROWS), "{again} {script}");
        }
        assert_eq!(touched(&target, "DELETE FROM odd;").await, Some(0));
    }
    target.remove().await;
}

/// By the range of row ids, which may be given as anybody likes; by statistics, where there are any.
#[tokio::test]
async fn rows_are_told_by_sqlite_from_a_few_pages() {
    let target = sqlite();
    target.raw("CREATE TABLE own (id integer PRIMARY KEY);").await;
    target.raw("INSERT INTO own VALUES (1), (900000000000);").await;
    target.raw("CREATE TABLE without (id text PRIMARY KEY) WITHOUT ROWID;").await;
    target.raw("INSERT INTO without VALUES ('a'), ('b'), ('c');").await;
    target.raw("CREATE VIEW seen AS SELECT * FROM own; CREATE INDEX i ON own (id);").await;
    assert_eq!(touched(&target, "DELETE FROM own;").await, None);
    assert_eq!(touched(&target, "DELETE FROM without;").await, None);
    assert_eq!(touched(&target, "DELETE FROM other;").await, Some(0));
    target.raw("ANALYZE;").await;
    assert_eq!(touched(&target, "DELETE FROM own;").await, Some(2));
    assert_eq!(touched(&target, "DELETE FROM without;").await, Some(3));
    target.remove().await;
}
