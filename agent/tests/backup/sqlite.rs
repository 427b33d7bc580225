//! SQLite: images are exact, and a live database is replaced in one transaction.

use std::path::Path;

use crate::support::{damage_is_found, directory, files, taken};
use rusqlite::Connection;
use skein_agent::backup::{
    BackupError, Destination, Mode, Progress, Request, Scope, Source, Table, check, restore, take,
};

const SETUP: &str = "
    PRAGMA user_version = 42;
    CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT, blob BLOB);
    INSERT INTO orders (what, blob) VALUES ('ünï', x'00ff'), ('two', NULL);
    CREATE TABLE loose (name TEXT);
    INSERT INTO loose (rowid, name) VALUES (1, 'a'), (5, 'b'), (900, 'c');
    CREATE TABLE \"od\"\"d\" (a INT, b INT GENERATED ALWAYS AS (a + 1) VIRTUAL);
    INSERT INTO \"od\"\"d\" (a) VALUES (1);
    CREATE INDEX by_what ON orders (what);
    CREATE VIEW seen AS SELECT what FROM orders;
    CREATE TRIGGER touched AFTER INSERT ON loose BEGIN INSERT INTO orders (what) VALUES (new.name); END;
    CREATE VIRTUAL TABLE words USING fts5 (text);
    INSERT INTO words VALUES ('to be found');
    CREATE TABLE _skein_ledger (step TEXT PRIMARY KEY, token INT);
    CREATE INDEX _skein_ledger_token ON _skein_ledger (token);
    INSERT INTO _skein_ledger VALUES ('one', 1);
";

fn open(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

fn source(path: &Path) -> Source {
    Source::from_url(&format!("sqlite://{}", path.display()), None).unwrap()
}

fn text(path: &Path, sql: &str) -> String {
    open(path).query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Definitions and rows, `rowid`s included.
fn everything(path: &Path) -> Vec<String> {
    let database = open(path);
    let mut asked = vec![
        "SELECT type || name || coalesce(sql, '') FROM sqlite_schema ORDER BY name".to_owned(),
        "PRAGMA user_version".to_owned(),
        "SELECT name || seq FROM sqlite_sequence ORDER BY name".to_owned(),
    ];
    for table in ["orders", "loose", "\"od\"\"d\"", "words", "_skein_ledger"] {
        asked.push(format!("SELECT rowid || ':' || quote({table}.rowid) FROM {table}"));
    }
    asked.push("SELECT quote(what) || quote(blob) FROM orders".to_owned());
    asked.push("SELECT a || ',' || b FROM \"od\"\"d\"".to_owned());
    asked.push("SELECT step || token FROM _skein_ledger".to_owned());
    let mut found = Vec::new();
    for sql in asked {
        let mut asking = database.prepare(&sql).unwrap();
        let mut rows = asking.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let value: rusqlite::types::Value = row.get(0).unwrap();
            found.push(format!("{value:?}"));
        }
    }
    found
}

#[tokio::test]
async fn an_image_comes_back_row_for_row() {
    for journal in ["DELETE", "WAL"] {
        let (dir, destination) = directory();
        let home = tempfile::tempdir().unwrap();
        let (live, scratch) = (home.path().join("live.db"), home.path().join("scratch.db"));
        let keeper = open(&live);
        keeper.pragma_update(None, "journal_mode", journal).unwrap();
        keeper.execute_batch(SETUP).unwrap();
        let archive = taken(&source(&live), &Scope::Database, &destination).await;
        assert_eq!(archive.scope, Scope::Database);
        assert!(archive.tool.starts_with("sqlite 3."), "{}", archive.tool);
        assert_eq!(files(dir.path()), [dir.path().join("a/backup.zst")]);

        let restored =
            restore(&archive, &destination, &source(&scratch), Mode::Empty).await.unwrap();
        assert!(restored.listing.tables.contains(&"od\"d".to_owned()), "{restored:?}");
        assert_eq!(restored.left_out, Vec::<String>::new());
        assert_eq!(everything(&scratch), everything(&live), "{journal}");
        assert_eq!(text(&scratch, "PRAGMA journal_mode"), journal.to_lowercase());

        let again = restore(&archive, &destination, &source(&scratch), Mode::Empty).await;
        assert!(matches!(again, Err(BackupError::NotEmpty { .. })), "{again:?}");
    }
}

#[tokio::test]
async fn damage_is_found_in_an_image() {
    let (dir, destination) = directory();
    let home = tempfile::tempdir().unwrap();
    let live = home.path().join("live.db");
    open(&live).execute_batch(SETUP).unwrap();
    let archive = taken(&source(&live), &Scope::Database, &destination).await;
    damage_is_found(&archive, dir.path(), &destination).await;

    // A damaged database makes a faithful copy of its damage; the check says so.
    let mut image = crate::support::unpacked(&archive, dir.path());
    let page = image.len() / 4096 / 2 * 4096;
    image[page..page + 4096].fill(0x5a);
    let (packed, lying) = crate::support::pretend(&archive, &image);
    std::fs::write(dir.path().join(&archive.location), packed).unwrap();
    let found = check(&lying, &destination).await;
    assert!(matches!(found, Err(BackupError::Unreadable { .. })), "{found:?}");
    assert_eq!(files(dir.path()).len(), 1, "temporary copies stay");
}

#[tokio::test]
async fn replacing_a_live_database_keeps_the_ledger() {
    for journal in ["DELETE", "WAL"] {
        let (_dir, destination) = directory();
        let home = tempfile::tempdir().unwrap();
        let live = home.path().join("live.db");
        let other = open(&live);
        other.pragma_update(None, "journal_mode", journal).unwrap();
        other.execute_batch(SETUP).unwrap();
        let archive = taken(&source(&live), &Scope::Database, &destination).await;
        other
            .execute_batch(
                "DELETE FROM orders; DROP TABLE loose; CREATE TABLE later (a);
                 INSERT INTO _skein_ledger VALUES ('two', 2);
                 ALTER TABLE _skein_ledger ADD COLUMN at INT DEFAULT 9;
                 CREATE TABLE _skein_intent (step TEXT);",
            )
            .unwrap();
        let restored =
            restore(&archive, &destination, &source(&live), Mode::Replace).await.unwrap();
        assert_eq!(restored.left_out, ["_skein_ledger"]);
        // A connection that was open all the while sees it too.
        let see = |sql: &str| other.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(see("SELECT group_concat(what, ' ' ORDER BY id) FROM orders"), "ünï two");
        assert_eq!(see("SELECT group_concat(rowid, ' ') FROM loose"), "1 5 900");
        assert_eq!(see("SELECT group_concat(step || at, ' ') FROM _skein_ledger"), "one9 two9");
        assert_eq!(see("SELECT count(*) || '' FROM sqlite_schema WHERE name = 'later'"), "0");
        assert_eq!(
            see(
                "SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_schema WHERE name LIKE '~_skein~_%' ESCAPE '~' ORDER BY name)"
            ),
            "_skein_intent _skein_ledger _skein_ledger_token"
        );
        assert_eq!(see("PRAGMA journal_mode"), journal.to_lowercase());
        assert_eq!(see("PRAGMA integrity_check"), "ok");

        let fresh = home.path().join("fresh.db");
        restore(&archive, &destination, &source(&fresh), Mode::EmptyWithoutLedger).await.unwrap();
        assert_eq!(
            text(
                &fresh,
                "SELECT count(*) || '' FROM sqlite_schema WHERE name LIKE '~_skein%' ESCAPE '~'"
            ),
            "0"
        );
        assert_eq!(
            text(&fresh, "SELECT group_concat(what, ' ' ORDER BY id) FROM orders"),
            "ünï two"
        );
    }
}

#[tokio::test]
async fn a_part_is_taken_whole_and_says_so() {
    let (_dir, destination) = directory();
    let home = tempfile::tempdir().unwrap();
    let live = home.path().join("live.db");
    open(&live).execute_batch(SETUP).unwrap();
    let scope = Scope::Tables(vec![Table::named("orders")]);
    let archive = taken(&source(&live), &scope, &destination).await;
    assert_eq!(archive.scope, Scope::Database);
}

#[tokio::test]
async fn a_missing_database_is_not_created_and_leaves_nothing() {
    let (dir, destination) = directory();
    let gone = dir.path().join("gone.db");
    let request = Request {
        source: &source(&gone),
        scope: &Scope::Database,
        destination: &destination,
        name: "x.zst",
        fingerprint: [0; 32],
    };
    let failed = take(&request, &Progress::none()).await;
    assert!(matches!(failed, Err(BackupError::Sqlite { .. })), "{failed:?}");
    assert_eq!(files(dir.path()), Vec::<std::path::PathBuf>::new());
    assert!(!gone.exists());
}

#[tokio::test]
async fn an_archive_in_an_object_store_comes_back() {
    let destination = Destination::parse("memory:///").unwrap();
    let home = tempfile::tempdir().unwrap();
    let (live, scratch) = (home.path().join("live.db"), home.path().join("scratch.db"));
    open(&live).execute_batch(SETUP).unwrap();
    // Random bytes do not compress: several parts of an upload.
    open(&live)
        .execute_batch("CREATE TABLE much (a BLOB); WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 24) INSERT INTO much SELECT randomblob(1 << 20) FROM n;")
        .unwrap();
    let archive = taken(&source(&live), &Scope::Database, &destination).await;
    assert!(archive.bytes > 20 << 20, "{}", archive.bytes);
    restore(&archive, &destination, &source(&scratch), Mode::Empty).await.unwrap();
    assert_eq!(everything(&scratch), everything(&live));
}
