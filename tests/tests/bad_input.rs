//! Bad files: each is refused with its place, what is wrong and what to do, and nothing changes.

mod support;
mod verbs_alone;

use std::fs;
use std::process::Command;

use support::{Database, Project, Server, binary};
use verbs_alone::{Alone, said};

/// Two SQLite targets, and one migration in force on both.
async fn migrated(name: &str) -> (Alone, Vec<Database>) {
    let project = Project::new(name);
    let server = Server::sqlite(&project.join("db"));
    let databases = vec![server.database("t/1").await, server.database("t/2").await];
    let alone = Alone::within(project, &databases, "[project]\nmigrations = \"m\"\n");
    alone.migration("0001_a", "CREATE TABLE a (id integer primary key);\n", "DROP TABLE a;\n");
    alone.run("migrate").exits(0);
    for database in &databases {
        assert_eq!(database.in_force().await, ["1"]);
    }
    (alone, databases)
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_are_shown_with_their_line() {
    let (alone, databases) = migrated("keys").await;
    let good = fs::read_to_string(alone.project.join("skein.toml")).expect("it was written");
    let before = alone.state(&databases).await;
    for (from, to, words) in [
        ("[project]", "[projekt]", &["skein.toml:1:2", "`projekt`", "did you mean `project`"][..]),
        ("migrations", "migratoins", &["skein.toml:2:1", "`migratoins`", "^^^^^^^^^^"]),
        ("[[target]]", "[[tarket]]", &["`tarket`", "did you mean `target`"]),
        ("id = \"t/1\"", "id = \"t/1\"\ncolour = \"red\"", &["`colour`", "expected one of"]),
        ("id = \"t/1\"", "id = \"t/1", &["skein.toml:", "^"]),
        ("id = \"t/2\"", "id = \"t/1\"", &["`t/1`", "line"]),
        ("id = \"t/2\"", "id = 2", &["skein.toml:", "string"]),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        alone.project.write("skein.toml", &bad);
        for verb in ["plan", "migrate", "status", "verify"] {
            let ran = alone.run(verb).exits(2);
            said(&ran, words);
        }
    }
    alone.project.write("skein.toml", &good);
    assert_eq!(alone.state(&databases).await, before);
    alone.run("plan --detailed-exitcode").exits(0);
}

/// The file is read by `--check` and by a start alike, and a start has made nothing then.
#[test]
fn a_coordinator_says_what_is_wrong_with_its_configuration() {
    let project = Project::new("node-config");
    let head = "node = 1\ncluster = \"c\"\ndata = \"data\"\nlisten = \"127.0.0.1:0\"\n";
    let edit = |from: &str, to: &str| head.replacen(from, to, 1);
    let members = |list: &[(u64, &str)]| {
        list.iter().fold(head.to_owned(), |text, (node, address)| {
            format!("{text}[[member]]\nnode = {node}\naddress = \"{address}\"\n")
        })
    };
    project.write("bad-charter.toml", "[backup]\nleest = \"none\"\n");
    let many: Vec<(u64, &str)> = (1..=8).map(|node| (node, "127.0.0.1:1")).collect();
    let files: Vec<(String, &[&str])> = vec![
        (edit("data", "datta"), &["line 3", "`datta`", "^^^^^"]),
        (format!("{head}listten = 1\n"), &["line 5", "`listten`"]),
        (format!("{head}[raft]\nheartbeat = 1\n"), &["line 6", "`heartbeat`", "heartbeat_ms"]),
        (format!("{head}[[member]]\nnode = 1\nadress = \"x\"\n"), &["line 7", "`adress`"]),
        (edit("node = 1", "node = 0"), &["`node` is 0", "from 1 on"]),
        (edit("node = 1", "node = -1"), &["line 1", "-1"]),
        (edit("node = 1\n", ""), &["`node`"]),
        (edit("\"c\"", "\"\""), &["`cluster` is empty"]),
        (edit("127.0.0.1:0", "not an address"), &["line 4"]),
        (edit("127.0.0.1", "0.0.0.0"), &["0.0.0.0:0", "plaintext_beyond_loopback"]),
        (format!("{head}metrics = \"0.0.0.0:9\"\n"), &["0.0.0.0:9", "plaintext_beyond_loopback"]),
        (format!("{head}lease_ms = 20\n"), &["`lease_ms` is 20"]),
        (format!("{head}[raft]\nheartbeat_ms = 0\n"), &["heartbeat_ms (0)"]),
        (format!("{head}[raft]\nheartbeat_ms = 700\n"), &["heartbeat_ms (700)", "(600)"]),
        (format!("{head}[raft]\nelection_min_ms = 900\n"), &["election_min_ms (900)"]),
        (format!("{head}[raft]\nsnapshot_after = 0\n"), &["snapshot_after"]),
        (members(&[(2, "127.0.0.1:1")]), &["node 1 is not among the members"]),
        (members(&[(1, "127.0.0.1:1"), (1, "127.0.0.1:2")]), &["node 1 is a member twice"]),
        (members(&[(1, "127.0.0.1:1"), (2, "127.0.0.1:1")]), &["127.0.0.1:1"]),
        (members(&[(1, "no address")]), &["no address", "host:port"]),
        (members(&[(0, "127.0.0.1:1"), (1, "127.0.0.1:2")]), &["0"]),
        (members(&many), &["8 members"]),
        (format!("{head}charter = \"none.toml\"\n"), &["none.toml", "No such file"]),
        (
            format!("{head}charter = \"bad-charter.toml\"\n"),
            &["bad-charter.toml", "line 2", "leest"],
        ),
    ];
    for (text, words) in files {
        let path = project.write("node.toml", &text);
        for check in [true, false] {
            let mut command = Command::new(binary());
            command.arg("coordinator").arg("--config").arg(&path).current_dir(project.path());
            if check {
                command.arg("--check");
            }
            let output = command.output().expect("the program under test starts");
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "check {check}: {text}\n{stderr}");
            for word in words.iter().chain(&["error: ", "node.toml", "next: "]) {
                let named =
                    stderr.contains(word) || *word == "node.toml" && text.contains("charter");
                assert!(named, "check {check}: {word:?} is missing:\n{text}\n{stderr}");
            }
            assert!(!project.join("data").exists(), "it had begun to work: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_changed_after_it_was_applied_is_refused() {
    let (alone, databases) = migrated("edited").await;
    let before = alone.state(&databases).await;
    // A comment changes nothing that runs: noted, and no obstacle.
    let up = "-- who needs this?\nCREATE TABLE a (id integer primary key);\n";
    alone.project.write("m/0001_a.up.sql", up);
    let plan = alone.run("plan").exits(0);
    assert!(plan.stdout.contains("0001_a.up.sql was edited after it was applied"), "{plan:?}");
    assert!(plan.stdout.contains("only comments or white space differ"), "{plan:?}");

    alone.project.write("m/0001_a.up.sql", "CREATE TABLE a (id integer primary key, b text);\n");
    alone.migration("0002_b", "CREATE TABLE b (id integer primary key);\n", "DROP TABLE b;\n");
    let words = ["0001_a.up.sql was changed after version 1 was applied to t/1", "new migration"];
    for verb in ["plan", "migrate", "migrate --direction down", "apply --yes", "migrate --validate"]
    {
        let ran = alone.run(verb).exits(21);
        said(&ran, &words);
    }
    alone.untouched_since(&before, &databases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_are_missing_late_or_doubled_are_refused() {
    let (alone, databases) = migrated("versions").await;
    let table = |name: &str| format!("CREATE TABLE {name} (id integer primary key);\n");
    alone.migration("0002_b", &table("b"), "DROP TABLE b;\n");
    alone.migration("0004_d", &table("d"), "DROP TABLE d;\n");
    alone.run("migrate").exits(0);
    let before = alone.state(&databases).await;

    // Applied and no longer there.
    alone.remove("0002_b");
    for verb in ["plan", "migrate", "migrate --direction down"] {
        let words = ["version 2 is in force on t/1 and not in the bundle", "put the file back"];
        said(&alone.run(verb).exits(21), &words);
    }
    alone.migration("0002_b", &table("b"), "DROP TABLE b;\n");

    // Lower than one in force.
    alone.migration("0003_c", &table("c"), "DROP TABLE c;\n");
    for verb in ["plan", "migrate", "apply --yes"] {
        let words = ["version 3 (0003_c.up.sql) is lower", "came late", "--out-of-order"];
        said(&alone.run(verb).exits(21), &words);
    }

    // Two files, one version: nothing reaches the log.
    alone.migration("0003_x", &table("x"), "DROP TABLE x;\n");
    for verb in ["plan", "migrate"] {
        let words = ["version 3 is taken by 0003_", "0003_x.up.sql:1:1", "a version of its own"];
        alone.refuses(verb, 21, &words);
    }
    alone.remove("0003_x");
    let zeros = table("y");
    alone.project.write("m/3_y.up.sql", &zeros);
    alone.refuses("plan", 21, &["version 3 is taken by", "3_y.up.sql:1:1"]);
    fs::remove_file(alone.project.join("m/3_y.up.sql")).expect("it was written");

    alone.untouched_since(&before, &databases).await;

    // Asked for by name, the late one is let in; and the order of the ledger tells the truth.
    alone.run("migrate --out-of-order").exits(0);
    for database in &databases {
        assert_eq!(database.in_force().await, ["1", "2", "4", "3"]);
    }
}

/// Two people branch off: each bundle has its own version 2. Whoever comes second learns of it.
#[tokio::test(flavor = "multi_thread")]
async fn two_bundles_with_one_version_do_not_both_pass() {
    let (alone, databases) = migrated("branches").await;
    for (dir, table) in [("one", "ours"), ("two", "theirs")] {
        for way in ["up", "down"] {
            let name = format!("0001_a.{way}.sql");
            let text = fs::read_to_string(alone.project.join(&format!("m/{name}")));
            alone.project.write(&format!("{dir}/{name}"), &text.expect("it was written"));
        }
        let up = format!("CREATE TABLE {table} (id integer primary key);\n");
        alone.project.write(&format!("{dir}/0002_{table}.up.sql"), &up);
        alone
            .project
            .write(&format!("{dir}/0002_{table}.down.sql"), &format!("DROP TABLE {table};\n"));
    }
    let second = alone.json("plan two", 0);
    let second = second["id"].as_str().expect("a plan has an id").to_owned();
    alone.run("migrate one").exits(0);
    let before = alone.state(&databases).await;
    let words = ["0002_theirs.up.sql was changed after version 2 was applied to t/1"];
    said(&alone.run("migrate two").exits(21), &words);
    // The plan that was made before is stale now, and says so by its own code.
    let stale = alone.run(&format!("apply --plan {second}")).exits(40);
    said(&stale, &["t/1"]);
    alone.untouched_since(&before, &databases).await;
    alone.run("plan one --detailed-exitcode").exits(0);
}

/// What cannot be a directory of migrations at all.
#[tokio::test(flavor = "multi_thread")]
async fn directories_that_hold_no_history_are_refused() {
    let (alone, databases) = migrated("directories").await;
    let before = alone.state(&databases).await;
    fs::create_dir(alone.project.join("empty")).expect("a directory can be made");
    alone.project.write("words/readme.txt", "no migration here\n");
    alone.project.write("goose/0001_a.sql", "-- +goose Down\nDROP TABLE a;\n");
    alone.project.write("bytes/0001_a.up.sql", "CREATE TABLE a (id int);\n");
    fs::write(alone.project.join("bytes/0002_b.up.sql"), [0xff, 0xfe, 0x00])
        .expect("a file is written");
    for (dir, words) in [
        ("nowhere", &["nowhere"][..]),
        ("empty", &["empty"]),
        ("words", &["words"]),
        ("goose", &["0001_a.sql"]),
        ("bytes", &["0002_b.up.sql"]),
    ] {
        alone.refuses(&format!("plan {dir}"), 21, words);
        alone.refuses(&format!("migrate {dir}"), 21, words);
    }
    // Larger than the log takes, in two files that would each pass.
    for version in [1, 2] {
        let up = format!("CREATE TABLE l{version} (id int);\n-- {}\n", "x".repeat(34 << 20));
        alone.project.write(&format!("large/000{version}_l.up.sql"), &up);
    }
    alone.refuses("plan large", 21, &["at most 67108864", "split the directory"]);
    assert_eq!(alone.state(&databases).await, before);
}
