//! MariaDB: programs survive, the ledger stays, a dump cut short is found.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use skein_agent::backup::{
    BackupError, Mode, Progress, Request, Scope, Source, Table, check, restore, take,
};
use sqlx::{Connection, Executor};

use crate::support::{
    Database, contains, damage_is_found, directory, files, output, pretend, processes, same, taken,
    unpacked, until,
};

const SETUP: &str = r"
    CREATE TABLE customers (id int AUTO_INCREMENT PRIMARY KEY, name varchar(50) CHARACTER SET utf8mb4);
    CREATE TABLE orders (id int PRIMARY KEY, customer int, what text, data blob, FOREIGN KEY (customer) REFERENCES customers (id));
    CREATE TABLE `od``d -- t` (`a b` int COMMENT 'two\nlines');
    CREATE TABLE audit (said text);
    CREATE VIEW seen AS SELECT what FROM orders;
    CREATE FUNCTION shout(t text) RETURNS text DETERMINISTIC RETURN upper(t);
    CREATE PROCEDURE fill() BEGIN
-- Table structure for table `_skein_trap`
        INSERT INTO audit VALUES ('filled'); END;
    CREATE TRIGGER touched AFTER INSERT ON orders FOR EACH ROW INSERT INTO audit VALUES (NEW.what);
    CREATE EVENT hourly ON SCHEDULE EVERY 1 HOUR DISABLE DO INSERT INTO audit VALUES ('tick');
    INSERT INTO customers (name) VALUES ('ünï 🦢'), ('zwei');
    INSERT INTO orders VALUES (1, 1, 'line\nbreak\\ -- Table structure for table `_skein_x`', x'00ff0a0d1a'), (2, 2, NULL, NULL);
    INSERT INTO `od``d -- t` VALUES (1), (NULL);
    CREATE TABLE _skein_ledger (step varchar(50) PRIMARY KEY, token bigint);
    INSERT INTO _skein_ledger VALUES ('one', 1);
";

/// Everything that `mariadb-dump` says of a database.
fn everything(database: &Database) -> String {
    let url = url::Url::parse(&database.url()).unwrap();
    let mut command = Command::new("mariadb-dump");
    command.args([
        "--routines",
        "--triggers",
        "--events",
        "--skip-comments",
        "--skip-extended-insert",
        "--order-by-primary",
        "--hex-blob",
    ]);
    command.arg(format!("--user={}", url.username()));
    for (key, value) in url.query_pairs() {
        if key == "socket" {
            command.arg(format!("--socket={value}"));
        }
    }
    if !url.query_pairs().any(|(key, _)| key == "socket") {
        command.arg(format!("--host={}", url.host_str().unwrap()));
        command.arg(format!("--port={}", url.port().unwrap_or(3306)));
        command.env("MYSQL_PWD", url.password().unwrap_or_default());
    }
    output(command.arg(&database.name))
}

#[tokio::test]
async fn tables_and_programs_come_back_as_they_were() {
    let test = "tables_and_programs_come_back_as_they_were";
    let Some(live) = Database::mariadb(test).await else { return };
    let Some(scratch) = Database::mariadb(test).await else { return };
    live.run(SETUP).await;
    let (dir, destination) = directory();
    let archive = taken(&live.source(), &Scope::Database, &destination).await;
    assert!(archive.tool.contains("dump "), "{}", archive.tool);
    let restored = restore(&archive, &destination, &scratch.source(), Mode::Empty).await.unwrap();
    assert_eq!(
        restored.listing.tables,
        ["_skein_ledger", "audit", "customers", "od`d -- t", "orders"]
    );
    // A view, a function, a procedure, a trigger, an event.
    assert_eq!(restored.listing.entries, 5 + 5);
    same(&everything(&scratch), &everything(&live));
    for (kind, name) in
        [("FUNCTION", "shout"), ("PROCEDURE", "fill"), ("TRIGGER", "touched"), ("EVENT", "hourly")]
    {
        assert!(everything(&scratch).contains(name), "{kind} {name}");
    }
    let again = restore(&archive, &destination, &scratch.source(), Mode::Empty).await;
    assert!(matches!(again, Err(BackupError::NotEmpty { .. })), "{again:?}");
    assert_eq!(files(dir.path()), [dir.path().join("a/backup.zst")]);
}

#[tokio::test]
async fn damage_is_found_in_a_mariadb_archive() {
    let test = "damage_is_found_in_a_mariadb_archive";
    let Some(live) = Database::mariadb(test).await else { return };
    live.run(SETUP).await;
    let (dir, destination) = directory();
    let archive = taken(&live.source(), &Scope::Database, &destination).await;
    damage_is_found(&archive, dir.path(), &destination).await;
    // A dump that was cut short before it was compressed: all but its last line.
    let text = unpacked(&archive, dir.path());
    let (packed, cut) = pretend(&archive, &text[..text.len() - 18]);
    std::fs::write(dir.path().join(&archive.location), packed).unwrap();
    let found = check(&cut, &destination).await;
    assert!(matches!(found, Err(BackupError::Unreadable { .. })), "{found:?}");
}

#[tokio::test]
async fn replacing_leaves_the_ledger_and_removes_what_came_later() {
    let test = "mariadb replacing_leaves_the_ledger_and_removes_what_came_later";
    let Some(live) = Database::mariadb(test).await else { return };
    live.run(SETUP).await;
    let (_dir, destination) = directory();
    let before = everything(&live);
    let archive = taken(&live.source(), &Scope::Database, &destination).await;
    live.run(
        "DELETE FROM orders; ALTER TABLE customers ADD COLUMN later int; DROP TABLE `od``d -- t`;
         CREATE TABLE later (id int PRIMARY KEY, o int, FOREIGN KEY (o) REFERENCES orders (id));
         CREATE PROCEDURE later_p() SELECT 1; DROP FUNCTION shout;
         CREATE VIEW later_v AS SELECT * FROM later; CREATE SEQUENCE later_s;
         CREATE EVENT later_e ON SCHEDULE EVERY 1 HOUR DISABLE DO SELECT 1;
         INSERT INTO _skein_ledger VALUES ('two', 2); CREATE TABLE _skein_intent (step int);",
    )
    .await;
    let restored = restore(&archive, &destination, &live.source(), Mode::Replace).await.unwrap();
    assert_eq!(restored.left_out, ["_skein_ledger"]);
    let ledger = "SELECT GROUP_CONCAT(step ORDER BY step SEPARATOR ' ') FROM _skein_ledger";
    assert_eq!(live.text(ledger).await, "one two");
    live.run("DROP TABLE _skein_intent; DELETE FROM _skein_ledger WHERE step = 'two'").await;
    same(&everything(&live), &before);
}

#[tokio::test]
async fn a_part_is_what_was_asked() {
    let Some(live) = Database::mariadb("mariadb a_part_is_what_was_asked").await else { return };
    live.run(SETUP).await;
    let (dir, destination) = directory();
    let scope = Scope::Tables(vec![Table::named("od`d -- t"), Table::named("audit")]);
    let archive = taken(&live.source(), &scope, &destination).await;
    let listing = check(&archive, &destination).await.unwrap();
    assert_eq!(listing.tables, ["audit", "od`d -- t"]);
    live.run("DELETE FROM audit; DELETE FROM `od``d -- t`; UPDATE customers SET name = 'later'")
        .await;
    restore(&archive, &destination, &live.source(), Mode::Replace).await.unwrap();
    assert_eq!(live.text("SELECT CONVERT(COUNT(*), char) FROM audit").await, "2");
    assert_eq!(live.text("SELECT CONVERT(COUNT(*), char) FROM `od``d -- t`").await, "2");
    assert_eq!(live.text("SELECT name FROM customers LIMIT 1").await, "later");

    let Some(scratch) = Database::mariadb("mariadb a_part_is_what_was_asked").await else { return };
    std::fs::remove_file(dir.path().join(&archive.location)).unwrap();
    let archive = taken(&live.source(), &Scope::SchemaOnly, &destination).await;
    restore(&archive, &destination, &scratch.source(), Mode::EmptyWithoutLedger).await.unwrap();
    assert_eq!(scratch.text("SELECT CONVERT(COUNT(*), char) FROM customers").await, "0");
    assert_eq!(scratch.text("SELECT shout('a')").await, "A");
    assert_eq!(
        scratch.text("SELECT CONVERT(COUNT(*), char) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE '\\_skein%'").await,
        "0"
    );
    let refused = restore(&archive, &destination, &live.source(), Mode::Replace).await;
    assert!(matches!(refused, Err(BackupError::Unsupported { .. })), "{refused:?}");

    let missing = Scope::Tables(vec![Table::named("audit"), Table::named("nothing")]);
    let request = Request {
        source: &live.source(),
        scope: &missing,
        destination: &destination,
        name: "missing.zst",
        fingerprint: [0; 32],
    };
    let failed = take(&request, &Progress::none()).await;
    assert!(matches!(failed, Err(BackupError::ToolFailed { .. })), "{failed:?}");
    assert_eq!(files(dir.path()).len(), 1);
}

/// The password is one that an option file would spoil, and the server asks for it.
#[tokio::test]
async fn a_running_dump_shows_no_password_and_dies_with_its_future() {
    let test = "mariadb a_running_dump_shows_no_password_and_dies_with_its_future";
    let Some(live) = Database::mariadb(test).await else { return };
    live.run("CREATE TABLE held (a int)").await;
    let user = format!("u{}", live.name.rsplit('_').next().unwrap());
    let canary = "can#ary \"it's\" \\ ;[x]=$";
    live.admin(&format!(
        "CREATE USER {user}@'localhost' IDENTIFIED BY 'can#ary \"it''s\" \\\\ ;[x]=$'; GRANT ALL ON {}.* TO {user}@'localhost'",
        live.name
    ))
    .await;
    let source = Source::from_url(&live.url_as(&user, canary), None).unwrap();
    let (dir, destination) = directory();
    taken(&source, &Scope::Tables(vec![Table::named("held")]), &destination).await;

    let mut holder = sqlx::MySqlConnection::connect(&live.url()).await.unwrap();
    holder.execute("LOCK TABLES held WRITE").await.unwrap();
    let taking = tokio::spawn({
        let destination = destination.clone();
        async move {
            let request = Request {
                source: &source,
                scope: &Scope::Database,
                destination: &destination,
                name: "x.zst",
                fingerprint: [0; 32],
            };
            take(&request, &Progress::none()).await
        }
    });
    let running = || {
        let mut found = processes("mariadb-dump", &live.name);
        found.extend(processes("mysqldump", &live.name));
        found
    };
    until("the wait of the dump for the lock", async || {
        let waiting = format!("SELECT CONVERT(COUNT(*), char) FROM information_schema.PROCESSLIST WHERE USER = '{user}' AND STATE LIKE 'Waiting%'");
        !running().is_empty() && live.text(&waiting).await != "0"
    })
    .await;
    let mut defaults = Vec::new();
    for id in running() {
        for file in ["cmdline", "environ"] {
            let bytes = std::fs::read(format!("/proc/{id}/{file}")).unwrap();
            assert!(!contains(&bytes, "can#ary"), "{file} of the running dump has the password");
            let text = String::from_utf8_lossy(&bytes).into_owned();
            defaults.extend(
                text.split('\0')
                    .filter_map(|it| it.strip_prefix("--defaults-file=").map(str::to_owned)),
            );
        }
    }
    assert_eq!(defaults.len(), 1);
    {
        let mode = std::fs::metadata(&defaults[0]).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }
    taking.abort();
    assert!(taking.await.unwrap_err().is_cancelled());
    until("the end of the dump", async || running().is_empty()).await;
    until("the end of the half archive", async || files(dir.path()).len() == 1).await;
    assert!(!std::path::Path::new(&defaults[0]).exists(), "the password file stays");
    holder.close().await.unwrap();

    // A wrong password is told by the server; ours is not.
    let wrong = Source::from_url(&live.url_as(&user, "wrong-canary"), None).unwrap();
    let request = Request {
        source: &wrong,
        scope: &Scope::Database,
        destination: &destination,
        name: "y.zst",
        fingerprint: [0; 32],
    };
    let failed = take(&request, &Progress::none()).await.unwrap_err();
    let shown = format!("{failed} {failed:?}");
    assert!(shown.contains(&live.name) && !shown.contains("canary"), "{shown}");
    live.admin(&format!("DROP USER {user}@'localhost'")).await;
}

#[tokio::test]
async fn an_archive_is_restored_by_the_tools_alone() {
    let test = "mariadb an_archive_is_restored_by_the_tools_alone";
    let Some(live) = Database::mariadb(test).await else { return };
    let Some(scratch) = Database::mariadb(test).await else { return };
    live.run(SETUP).await;
    let (dir, destination) = directory();
    let archive = taken(&live.source(), &Scope::Database, &destination).await;
    let url = url::Url::parse(&scratch.url()).unwrap();
    let Some((_, socket)) = url.query_pairs().find(|(key, _)| key == "socket") else {
        skein_tests::skip(test, "the server of SKEIN_TEST_MARIADB is not named by a socket");
        return;
    };
    let by_hand = format!(
        "zstd -dc '{}' | mariadb --comments --user={} --socket='{socket}' {}",
        dir.path().join(&archive.location).display(),
        url.username(),
        scratch.name
    );
    output(Command::new("sh").args(["-c", &by_hand]));
    same(&everything(&scratch), &everything(&live));
}
