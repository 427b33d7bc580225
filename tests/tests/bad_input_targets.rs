//! Targets that cannot take what they are given: SQL that is broken, servers that are not there,
//! disks that are full. Each is named with its place, and nothing of it stands.

mod support;
#[expect(dead_code, reason = "each file of tests uses its own part")]
mod verbs_alone;

use std::fs;
use std::path::Path;
use std::process::Command;

use skein_agent::db::Engine;
use support::{Project, Server, Tmpfs};
use verbs_alone::{Alone, said};

/// Broken in the third line of a file that has a good one before it; and, where the engine has no
/// transaction around both, broken in its first statement.
async fn broken_sql(name: &str, server: Option<Server>) {
    let project = Project::new(name);
    let server = server.unwrap_or_else(|| Server::sqlite(&project.join("db")));
    let databases = vec![server.database("t/1").await];
    let head = "[project]\nmigrations = \"m\"\n[strategy]\nretries = 0\n";
    let alone = Alone::within(project, &databases, head);
    alone.migration("0001_a", "CREATE TABLE a (id integer primary key);\n", "DROP TABLE a;\n");
    alone.run("migrate").exits(0);
    let before = alone.state(&databases).await;
    let broken = "-- a comment\n\nALTER TABEL a ADD b integer;\n";
    alone.migration("0002_b", broken, "ALTER TABLE a DROP COLUMN b;\n");
    // Undone as a whole: the fleet is where it was, and the reader knows what to mend.
    let failed = alone.run("migrate --on-breach rollback-rollout -o json").exits(30).json();
    let reason = failed["reason"].as_str().unwrap_or_default();
    for words in ["t/1", "0002_b.up.sql:3", "TABEL"] {
        assert!(reason.contains(words), "{words:?} is not in {reason:?}");
    }
    assert_eq!(alone.state(&databases).await.targets, before.targets);
    // Left as it is: the same, and the target is named.
    let halted = alone.run("migrate --on-breach halt").exits(31);
    for words in ["t/1", "0002_b.up.sql:3", "TABEL", "skein resume"] {
        assert!(halted.stdout.contains(words), "{words:?} is not in {}", halted.stdout);
    }
    assert_eq!(alone.state(&databases).await.targets, before.targets);
    let log = alone.json("history", 0).to_string();
    assert!(log.contains("0002_b.up.sql"), "the log knows the file");
    // Mended, it goes through.
    alone.migration("0002_b", "ALTER TABLE a ADD b integer;\n", "ALTER TABLE a DROP COLUMN b;\n");
    alone.run("migrate").exits(0);
    assert_eq!(databases[0].in_force().await, ["1", "2"]);
    // A reference to what is not there, behind a statement that was good.
    let late = "CREATE TABLE c (id integer primary key);\nINSERT INTO nowhere VALUES (1);\n";
    alone.migration("0003_c", late, "DROP TABLE c;\n");
    let schema = databases[0].schema().await;
    let halted = alone.run("migrate --on-breach halt").exits(31);
    for words in ["t/1", "0003_c.up.sql:2", "nowhere"] {
        assert!(halted.stdout.contains(words), "{words:?} is not in {}", halted.stdout);
    }
    if databases[0].engine == Engine::Mysql {
        // Its DDL commits by itself: the half is told, kept, and nothing runs over it.
        assert!(halted.stdout.contains("first 1 of 2 statements"), "{}", halted.stdout);
        let open = databases[0].observe().await.intent.expect("a half is written down");
        assert_eq!((open.step.as_str(), open.statement, open.statements), ("3", 2, 2));
        alone.run("migrate").exits(41);
    } else {
        assert_eq!(databases[0].schema().await, schema);
        assert_eq!(databases[0].observe().await.intent, None);
    }
    assert_eq!(databases[0].in_force().await, ["1", "2"]);
    alone.run("history verify").exits(0);
    for database in databases {
        database.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_sql_is_named_by_its_line_on_postgres() {
    let test = "broken_sql_is_named_by_its_line_on_postgres";
    let Some(server) = Server::shared(Engine::Postgres, test) else { return };
    broken_sql("broken-pg", Some(server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_sql_is_named_by_its_line_on_mariadb() {
    let test = "broken_sql_is_named_by_its_line_on_mariadb";
    let Some(server) = Server::shared(Engine::Mysql, test) else { return };
    broken_sql("broken-my", Some(server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_sql_is_named_by_its_line_on_sqlite() {
    broken_sql("broken-lite", None).await;
}

/// Nobody listens, the file is a directory, the account is unknown: said with the reason, and
/// without the password.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_reached_is_named_with_the_reason() {
    let test = "a_target_that_cannot_be_reached_is_named_with_the_reason";
    let project = Project::new("unreached");
    fs::create_dir(project.join("dir.db")).expect("a directory can be made");
    let here = project.path().display().to_string();
    let alone = Alone::within(project, &[], "");
    alone.migration("0001_a", "CREATE TABLE a (id integer primary key);\n", "DROP TABLE a;\n");
    let mut urls = vec![
        ("postgres://app:hunter2@127.0.0.1:1/orders".to_owned(), "refused"),
        ("mysql://app:hunter2@127.0.0.1:1/orders".to_owned(), "refused"),
        (format!("postgres://app:hunter2@localhost/orders?host={here}/none"), "none"),
        (format!("sqlite:{here}/dir.db"), "dir.db"),
        (format!("sqlite:{here}/no/where.db"), "where.db"),
    ];
    if let Some(server) = Server::shared(Engine::Postgres, test) {
        let there = server.database("unused").await;
        urls.push((there.url.replace(&there.name, "no_such_database"), "no_such_database"));
        there.remove().await;
    }
    for (url, words) in urls {
        let text =
            format!("[project]\nmigrations = \"m\"\n[[target]]\nid = \"t/1\"\nurl = {url:?}\n");
        alone.project.write("skein.toml", &text);
        for verb in ["plan", "migrate"] {
            let ran = alone.run(verb);
            // Known from before to be unreachable, it is held; never seen, it cannot be planned for.
            assert!(matches!(ran.code, Some(21 | 41)), "{url}: {ran:?}");
            said(&ran, &["t/1", words]);
            assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
        }
        let targets = alone.run("targets").exits(0);
        assert!(targets.stdout.contains(words), "{url}: {targets:?}");
        let verify = alone.run("verify").exits(41);
        for ran in [&targets, &verify] {
            assert!(!ran.stdout.contains("hunter2"), "{ran:?}");
        }
    }
    let log = alone.json("history", 0).to_string();
    assert!(!log.contains("hunter2") && log.contains("target_unreachable"), "{log}");
    assert!(!log.contains("leg_assigned"), "{log}");
    for file in ["history", "log"] {
        assert!(!holds(&alone.project.join(".skein").join(file), b"hunter2"), "{file}");
    }
}

/// Whether any file below has these bytes.
fn holds(dir: &Path, words: &[u8]) -> bool {
    let entries = fs::read_dir(dir).expect("a directory can be read").filter_map(Result::ok);
    entries.map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return holds(&path, words);
        }
        let bytes = fs::read(&path).unwrap_or_default();
        bytes.windows(words.len()).any(|part| part == words)
    })
}

/// No backup, no step: the disk behind the backups is full, and the target stays as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_behind_the_backups_stops_before_the_first_step() {
    let test = "a_full_disk_behind_the_backups_stops_before_the_first_step";
    let project = Project::new("backups-full");
    let Some(small) = Tmpfs::mount(&project.join("backups"), "1m", test) else { return };
    let server = Server::sqlite(&project.join("db"));
    let databases = vec![server.database("t/1").await];
    // Three mebibytes that do not compress.
    let rows = "CREATE TABLE bulk (data blob); WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT \
                x + 1 FROM n WHERE x < 48) INSERT INTO bulk SELECT randomblob(65536) FROM n";
    databases[0].raw(rows).await.expect("rows can be written");
    let head = "[project]\nmigrations = \"m\"\n[agent]\nbackups = \"backups\"\n\
                [strategy]\nretries = 0\n";
    let alone = Alone::within(project, &databases, head);
    alone.migration("0001_a", "CREATE TABLE a (id integer primary key);\n", "DROP TABLE a;\n");
    let before = alone.state(&databases).await;
    let halted = alone.run("migrate --on-breach halt").exits(31);
    for words in ["t/1", "no space left", "backups", "free space"] {
        assert!(halted.stdout.contains(words), "{words:?} is not in {}", halted.stdout);
    }
    let after = alone.state(&databases).await;
    assert_eq!(after.targets, before.targets);
    let what = alone.events_since(before.history.0);
    for forbidden in ["step_backed_up", "step_applied"] {
        assert!(!what.iter().any(|what| what == forbidden), "{what:?}");
    }
    // Nothing half-written is left behind, so that what was free is free again.
    assert!(!holds_a_file(small.path()), "a part of a backup was left");
    // With room, the same rollout goes on.
    let grown = Command::new("mount").args(["-o", "remount,size=16m"]).arg(small.path()).output();
    assert!(grown.expect("mount can be run").status.success());
    let resumed = alone.run("resume mig-0001 -o json").exits(0).json();
    assert_eq!(resumed["state"], "completed", "{resumed}");
    assert_eq!(databases[0].in_force().await, ["1"]);
    alone.run("backup verify t/1").exits(0);
    drop(small);
}

fn holds_a_file(dir: &Path) -> bool {
    let entries = fs::read_dir(dir).expect("a directory can be read").filter_map(Result::ok);
    entries.map(|entry| entry.path()).any(|path| path.is_file() || holds_a_file(&path))
}
