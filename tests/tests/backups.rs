//! Backups by the command line, on each engine: listed, tried in a scratch database, put back with a
//! waiver, and refused where their bytes are not what they were.

mod support;
#[expect(dead_code, reason = "each file of tests uses its own part")]
mod verbs_alone;

use std::fs;

use skein_agent::db::Engine;
use support::{Database, Project, Server};
use verbs_alone::{Alone, said};

const ROWS: &str = "INSERT INTO orders (id, note) VALUES (1, 'one'), (2, 'it''s two'), (3, NULL)";

async fn notes(database: &Database) -> Vec<String> {
    let text = if database.engine == Engine::Mysql { "char" } else { "text" };
    let sql = format!("SELECT CAST(coalesce(note, '-') AS {text}) FROM orders ORDER BY id");
    database.column(&sql).await.expect("the orders can be read")
}

/// One target beside another that has nothing to do with it.
async fn verified_and_restored(name: &str, server: Option<Server>) {
    let project = Project::new(name);
    let server = server.unwrap_or_else(|| Server::sqlite(&project.join("db")));
    let databases = vec![server.database("t/1").await, server.database("t/2").await];
    let alone = Alone::within(project, &databases, "[project]\nmigrations = \"m\"\n");
    let (database, other) = (&databases[0], &databases[1]);
    let orders = "CREATE TABLE orders (id integer primary key, note varchar(40));\n";
    alone.migration("0001_orders", orders, "DROP TABLE orders;\n");
    alone.run("migrate").exits(0);
    for database in &databases {
        database.raw(ROWS).await.expect("rows can be written");
    }
    let before = (database.schema().await, notes(database).await);

    // The backup before the second step holds the rows; what comes after it is lost by a restore.
    let up = "ALTER TABLE orders ADD COLUMN price integer;\nUPDATE orders SET note = 'gone';\n";
    alone.migration("0002_price", up, "ALTER TABLE orders DROP COLUMN price;\n");
    alone.run("migrate").exits(0);
    assert_eq!(notes(database).await, ["gone", "gone", "gone"]);
    let listed = alone.json("backup list --target t/1", 0);
    let backups = listed["backups"].as_array().expect("backups are listed");
    assert_eq!(backups.len(), 2, "{listed}");
    let newest = &backups[1];
    assert_eq!(newest["steps"], serde_json::json!(["2"]), "{listed}");
    let archive = newest["archive"].as_str().expect("an archive has a name").to_owned();
    let file = alone.project.join(".skein/backups").join(&archive);
    let size = fs::metadata(&file).expect("the archive is where the log says").len();
    assert_eq!(newest["bytes"], size, "{listed}");

    // Tried in a scratch database, by its name and by its target: the target itself stays.
    let now = alone.state(&databases).await;
    for what in [archive.as_str(), "t/1"] {
        let tried = alone.json(&format!("backup verify {what}"), 0);
        assert_eq!(tried["archive"], archive.as_str(), "{tried}");
        assert_eq!(tried["equal"], true, "{tried}");
        assert_eq!(tried["fingerprint"], tried["restored_fingerprint"], "{tried}");
    }
    alone.refuses("backup verify t/9", 61, &["t/9", "skein backup list"]);
    assert_eq!(alone.state(&databases).await, now);

    // Nobody puts anything back without a reason, and without being asked.
    let lost = ["loses every write to t/1", "--waive"];
    alone.refuses("backup restore t/1", 21, &lost);
    let words = ["backup", "restore", "t/1", "--waive", "agreed with kim"];
    said(&alone.run_words(&words).exits(2), &["nobody is there to confirm", "--yes"]);
    assert_eq!(alone.state(&databases).await, now);

    damaged(&alone, &databases, &archive).await;

    let restored = alone.run_words(&[&words[..], &["--yes"]].concat()).exits(0);
    assert!(restored.stderr.contains("agreed with kim"), "{restored:?}");
    assert_eq!((database.schema().await, notes(database).await), before);
    assert_eq!(notes(other).await, ["gone", "gone", "gone"], "the other target was touched");
    // The ledger says what had been applied; that the schema is another one now is found at once.
    assert_eq!(database.in_force().await, ["1", "2"]);
    let looked = alone.run("verify").exits(41);
    assert!(looked.stdout.contains("t/1"), "{looked:?}");
    let refused = alone.run("migrate --direction down").exits(41);
    said(&refused, &["target t/1 is held", "skein verify"]);
    alone.run("history verify").exits(0);
    for database in databases {
        database.remove().await;
    }
}

/// An archive that lost a byte, or itself, is no backup: said by its own code, with nothing done.
async fn damaged(alone: &Alone, databases: &[Database], archive: &str) {
    let now = alone.state(databases).await;
    let file = alone.project.join(".skein/backups").join(archive);
    let good = fs::read(&file).expect("an archive can be read");
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let half = good[..middle].to_vec();
    let kept = alone.project.join("kept");
    for bytes in [Some(flipped), Some(half), None] {
        fs::rename(&file, &kept).expect("an archive can be moved");
        if let Some(bytes) = bytes {
            fs::write(&file, bytes).expect("an archive can be damaged");
        }
        let words = ["backup", "restore", "t/1", "--waive", "a test", "--yes"];
        for ran in [alone.run("backup verify t/1"), alone.run_words(&words)] {
            said(&ran.exits(61), &[archive]);
        }
        fs::rename(&kept, &file).expect("an archive can be moved back");
    }
    let after = alone.state(databases).await;
    assert_eq!(after.targets, now.targets);
    alone.run("backup verify t/1").exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_verified_and_restored_on_postgres() {
    let test = "a_backup_is_verified_and_restored_on_postgres";
    let Some(server) = Server::shared(Engine::Postgres, test) else { return };
    verified_and_restored("backup-pg", Some(server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_verified_and_restored_on_mariadb() {
    let test = "a_backup_is_verified_and_restored_on_mariadb";
    let Some(server) = Server::shared(Engine::Mysql, test) else { return };
    verified_and_restored("backup-my", Some(server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_verified_and_restored_on_sqlite() {
    verified_and_restored("backup-lite", None).await;
}

/// Of two tables only the one that the step changes is in the archive, and comes back by a restore; the
/// other keeps what was written to it since.
async fn only_the_affected_tables(name: &str, server: Server) {
    let project = Project::new(name);
    let databases = vec![server.database("t/1").await];
    let alone = Alone::within(project, &databases, "[project]\nmigrations = \"m\"\n");
    let database = &databases[0];
    let tables = "CREATE TABLE orders (id integer primary key, note varchar(40));\n\
                  CREATE TABLE visits (id integer primary key);\n";
    alone.migration("0001_tables", tables, "DROP TABLE visits;\nDROP TABLE orders;\n");
    alone.run("migrate").exits(0);
    database.raw(ROWS).await.expect("rows can be written");
    let before = (database.schema().await, notes(database).await);
    alone.migration("0002_gone", "UPDATE orders SET note = 'gone';\n", "SELECT 1;\n");
    alone.run("apply --yes --backup tables").exits(0);
    database.raw("INSERT INTO visits VALUES (7)").await.expect("rows can be written");

    let listed = alone.json("backup list --target t/1", 0);
    let newest = &listed["backups"].as_array().expect("backups are listed")[1];
    assert_eq!(newest["scope"], "tables", "{listed}");
    let archive = newest["archive"].as_str().expect("an archive has a name").to_owned();
    let tried = alone.json(&format!("backup verify {archive}"), 0);
    assert_eq!(
        (&tried["tables"], &tried["equal"]),
        (&1.into(), &serde_json::Value::Null),
        "{tried}"
    );
    let words = ["backup", "restore", archive.as_str(), "--waive", "agreed with kim", "--yes"];
    alone.run_words(&words).exits(0);
    assert_eq!((database.schema().await, notes(database).await), before);
    let visits = if database.engine == Engine::Mysql { "char" } else { "text" };
    let visits = database.column(&format!("SELECT CAST(id AS {visits}) FROM visits")).await;
    assert_eq!(visits.expect("the visits can be read"), ["7"]);

    // A statement that nobody can judge is backed up against with everything there is.
    let opaque = match database.engine {
        Engine::Mysql => "DO SLEEP(0);\n",
        Engine::Postgres | Engine::Sqlite => "DO $$ BEGIN PERFORM 1; END $$;\n",
    };
    alone.migration("0003_opaque", opaque, "SELECT 1;\n");
    alone.run("apply --yes --backup tables").exits(0);
    let listed = alone.json("backup list --target t/1", 0);
    let newest = &listed["backups"].as_array().expect("backups are listed")[2];
    assert_eq!(newest["scope"], "database", "{listed}");
    for database in databases {
        database.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_the_affected_tables_on_postgres() {
    let test = "a_backup_of_the_affected_tables_on_postgres";
    let Some(server) = Server::shared(Engine::Postgres, test) else { return };
    only_the_affected_tables("backup-tables-pg", server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_the_affected_tables_on_mariadb() {
    let test = "a_backup_of_the_affected_tables_on_mariadb";
    let Some(server) = Server::shared(Engine::Mysql, test) else { return };
    only_the_affected_tables("backup-tables-my", server).await;
}

/// A target that a source names is restored with the file that has the source.
#[tokio::test(flavor = "multi_thread")]
async fn a_discovered_target_is_verified_and_restored() {
    let project = Project::new("backup-found");
    let server = Server::sqlite(&project.join("db"));
    let database = server.database("found/1").await;
    let names = |rows: &str| {
        project.write("rows", rows);
    };
    let row = format!("{{\"id\": \"1\", \"url\": {:?}}}\n", database.url);
    names(&row);
    project.write(
        "skein.toml",
        "[project]\nmigrations = \"m\"\n\n[[discovery]]\nname = \"tenants\"\nprefix = \"found/\"\n\
         command = [\"cat\", \"rows\"]\n",
    );
    let alone = Alone { project };
    let orders = "CREATE TABLE orders (id integer primary key, note varchar(40));\n";
    alone.migration("0001_orders", orders, "DROP TABLE orders;\n");
    alone.run("targets discover").exits(0);
    alone.run("migrate").exits(0);
    database.raw(ROWS).await.expect("rows can be written");
    let before = database.schema().await;
    alone.migration("0002_price", "ALTER TABLE orders ADD COLUMN price integer;\n", "SELECT 1;\n");
    alone.run("migrate").exits(0);

    let tried = alone.json("backup verify found/1", 0);
    assert_eq!(tried["equal"], true, "{tried}");
    let words = ["backup", "restore", "found/1", "--waive", "agreed with kim", "--yes"];
    alone.run_words(&words).exits(0);
    assert_eq!(database.schema().await, before);

    // A source that does not name it, names it twice or cannot be read is told as that.
    let path = alone.project.join("rows");
    for (rows, why) in [
        ("{\"id\": \"2\", \"url\": \"sqlite:two.db\"}\n".to_owned(), "does not name it"),
        (format!("{row}{row}"), "names it twice"),
        (String::new(), "tenants"),
    ] {
        if rows.is_empty() {
            fs::remove_file(&path).expect("it was written");
        } else {
            fs::write(&path, rows).expect("it can be written");
        }
        let refused = alone.run("backup verify found/1").exits(2);
        said(&refused, &["target found/1 is not in", "source tenants", why, "listed there"]);
    }
}

/// What stands in the way of a restore and says nothing of the archive is not told as a lost backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_not_lost_for_want_of_a_tool() {
    let test = "a_backup_is_not_lost_for_want_of_a_tool";
    let Some(server) = Server::shared(Engine::Mysql, test) else { return };
    let project = Project::new("backup-tool");
    let databases = vec![server.database("t/1").await];
    let alone = Alone::within(project, &databases, "[project]\nmigrations = \"m\"\n");
    let orders = "CREATE TABLE orders (id integer primary key, note varchar(40));\n";
    alone.migration("0001_orders", orders, "DROP TABLE orders;\n");
    alone.run("migrate").exits(0);
    for line in ["backup verify t/1", "backup restore t/1 --waive agreed --yes"] {
        let mut command = std::process::Command::new(support::binary());
        command.args(line.split_whitespace()).current_dir(alone.project.path());
        let output = command.env("PATH", "/nowhere").output().expect("the program starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains("was not found") && told.contains("nothing against the archive"),
            "{told}"
        );
    }
    alone.run("backup verify t/1").exits(0);
    for database in databases {
        database.remove().await;
    }
}
