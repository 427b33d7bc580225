//! The binary as people use it, with no coordinator elsewhere: three SQLite targets in a directory.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its project has failed")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tempfile::TempDir;

const TARGETS: [&str; 3] = ["eu-1", "eu-2", "us-1"];

struct Project {
    dir: TempDir,
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Project {
    /// Two migrations that can be undone; the canary wave is eu-1.
    fn new(on_breach: &str) -> Self {
        let project = Self { dir: TempDir::new().unwrap() };
        let mut config = format!(
            "[project]\nformat = \"sqlx\"\n[strategy]\nretries = 0\non_breach = \"{on_breach}\"\n\
             [[strategy.wave]]\nname = \"canary\"\ntargets = [\"eu-1\"]\n"
        );
        for id in TARGETS {
            project.write(&format!("{id}.db"), "");
            let target = format!("[[target]]\nid = \"{id}\"\nurl = \"sqlite:{id}.db\"\n");
            config.push_str(&target);
        }
        project.write("skein.toml", &config);
        fs::create_dir(project.path().join("migrations")).unwrap();
        project
            .write("migrations/0001_users.up.sql", "CREATE TABLE users (id INTEGER PRIMARY KEY);");
        project.write("migrations/0001_users.down.sql", "DROP TABLE users;");
        project.write("migrations/0002_email.up.sql", "ALTER TABLE users ADD COLUMN email TEXT;");
        project.write("migrations/0002_email.down.sql", "ALTER TABLE users DROP COLUMN email;");
        project
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
        command.args(words.split_whitespace()).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SKEIN_")) {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, words: &str) -> Ran {
        Ran::of(&mut self.command(words))
    }

    /// Runs it and wants it to end so.
    fn expect(&self, code: i32, words: &str) -> Ran {
        let ran = self.run(words);
        assert_eq!(ran.code, code, "skein {words}\n{}{}", ran.out, ran.err);
        ran
    }

    /// The last object of `-o json` or the only one.
    fn json(&self, code: i32, words: &str) -> Value {
        let ran = self.expect(code, &format!("{words} -o json"));
        serde_json::from_str(&ran.out)
            .unwrap_or_else(|error| panic!("{words}: {error}\n{}", ran.out))
    }

    fn lines(&self, words: &str) -> Vec<Value> {
        let ran = self.expect(0, &format!("{words} -o jsonl"));
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Columns of `users` as the database itself has them; empty: there is no such table.
    fn columns(&self, target: &str) -> Vec<String> {
        let url = format!("sqlite://{}/{target}.db", self.path().display());
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let mut database = SqliteConnection::connect(&url).await.unwrap();
            let rows = sqlx::query("SELECT name FROM pragma_table_info('users')");
            let rows = rows.fetch_all(&mut database).await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        })
    }

    fn execute(&self, target: &str, sql: &'static str) {
        let url = format!("sqlite://{}/{target}.db", self.path().display());
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let mut database = SqliteConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut database).await.unwrap();
        });
    }
}

impl Ran {
    fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn says(&self, words: &str) {
        assert!(self.err.contains(words), "`{words}` is missing in\n{}", self.err);
    }
}

fn plan_id(plan: &str) -> String {
    let after = plan.split("skein apply --plan ").nth(1).unwrap();
    after.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn from_plan_to_audit() {
    let project = Project::new("halt");
    project.expect(10, "plan --detailed-exitcode");
    let plan = project.expect(0, "plan").out;
    assert!(plan.contains("3 targets in 2 waves"), "{plan}");
    let ran = project.expect(2, "apply");
    ran.says(&format!("skein apply --plan {}", plan_id(&plan)));
    assert!(project.columns("eu-1").is_empty(), "nothing was confirmed");

    let ran = project.expect(0, &format!("apply --plan {}", plan_id(&plan)));
    assert!(ran.out.contains("completed"), "{}", ran.out);
    for target in TARGETS {
        assert_eq!(project.columns(target), ["id", "email"], "{target}");
    }
    project.expect(0, "plan --detailed-exitcode");
    let fleet = project.json(0, "status");
    assert_eq!(fleet["events"], fleet["events_under_charter"]);
    assert_eq!(fleet["versions"][0]["targets"], 3);
    assert_eq!(project.json(0, "verify")["equal"], 3);
    assert_eq!(project.json(0, "backup list")["backups"].as_array().unwrap().len(), 3);
    for target in TARGETS {
        assert_eq!(project.json(0, &format!("backup verify {target}"))["equal"], true);
    }

    let undo = project.json(0, "rollback mig-0001 --dry-run");
    assert_eq!(undo["targets"][0]["versions"].as_array().unwrap().len(), 2);
    project.expect(2, "rollback mig-0001").says("skein rollback mig-0001 --yes");
    let ran = project.expect(2, "rollback mig-0001 --on eu-1 --step 1 -o json");
    ran.says("skein rollback mig-0001 --on eu-1 --step 1 -o json --yes");
    project.expect(0, "rollback mig-0001 --yes");
    for target in TARGETS {
        assert!(project.columns(target).is_empty(), "{target}");
    }
    assert_eq!(project.json(0, "status mig-0001")["state"], "rolled back");

    let audit = project.json(0, "history verify");
    assert_eq!(audit["verified"], true);
    let offline = project.json(0, "history verify --data .skein");
    assert_eq!(offline["nodes"][0]["root"], audit["nodes"][0]["root"]);
}

#[test]
fn histories_are_whole_and_under_one_charter() {
    let project = Project::new("halt");
    project.expect(0, "apply --yes");
    let lines = project.lines("history");
    let (version, events) = lines.split_first().unwrap();
    assert_eq!(version["type"], "version");
    let mut charters: Vec<&Value> = events.iter().map(|event| &event["charter"]).collect();
    charters.dedup();
    assert_eq!(charters.len(), 1);
    for (seq, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], seq);
    }
    let of_one = project.lines("history --target us-1 --rollout mig-0001");
    assert!(of_one[1..].iter().all(|event| event["rollout"] == "mig-0001"));
    for what in ["step_backed_up", "step_applied", "step_verified"] {
        let at = |what: &str| of_one.iter().position(|event| event["what"] == what);
        assert!(at(what) > at("leg_assigned"), "{what}");
    }
    assert_eq!(project.lines("history --since-seq 2 --limit 3").len(), 4);
}

#[test]
fn a_plan_is_the_same_bytes_anywhere() {
    let project = Project::new("halt");
    let first = project.expect(0, "plan").out;
    fs::create_dir(project.path().join("below")).unwrap();
    let mut elsewhere = project.command("plan");
    elsewhere
        .current_dir(project.path().join("below"))
        .env("TZ", "Pacific/Auckland")
        .env("LANG", "de_DE.ISO-8859-1")
        .env("LC_ALL", "C")
        .env("COLUMNS", "20")
        .env("USER", "somebody-else")
        .env("TERM", "dumb");
    assert_eq!(Ran::of(&mut elsewhere).out, first);
}

#[test]
fn a_broken_budget_takes_the_fleet_back() {
    let project = Project::new("rollback_rollout");
    project.execute("us-1", "CREATE TABLE users (id INTEGER PRIMARY KEY, mine TEXT);");
    let ran = project.expect(30, "apply --yes");
    assert!(ran.out.contains("rolled back"), "{}", ran.out);
    assert!(project.columns("eu-1").is_empty(), "the canary had succeeded and is taken back");
    assert!(project.columns("eu-2").is_empty());
    assert_eq!(project.columns("us-1"), ["id", "mine"], "what was there stays");
    let failed = project.lines("history --target us-1");
    assert!(failed.iter().any(|event| event["what"] == "step_failed"), "{failed:?}");
}

#[test]
fn a_halt_calls_for_an_operator() {
    let project = Project::new("halt");
    project.execute("eu-1", "CREATE TABLE users (id INTEGER PRIMARY KEY, mine TEXT);");
    let ran = project.expect(31, "apply --yes");
    assert!(ran.out.contains("eu-1"), "{}", ran.out);
    for target in ["eu-2", "us-1"] {
        assert!(project.columns(target).is_empty(), "the wave behind the canary never began");
    }
    let status = project.json(0, "status mig-0001");
    assert_eq!(status["state"], "halted");
    assert_eq!(status["residual"][0]["target"], "eu-1");
}

#[test]
fn what_cannot_be_undone_wants_a_waiver() {
    let project = Project::new("halt");
    fs::remove_file(project.path().join("migrations/0002_email.down.sql")).unwrap();
    let plan = project.expect(0, "plan").out;
    assert!(plan.contains("Cannot be undone"), "{plan}");
    let ran = project.expect(21, "apply --yes");
    ran.says("0002");
    ran.says(&format!("skein apply --plan {} --waive", plan_id(&plan)));
    assert!(project.columns("eu-1").is_empty());
    let mut waived = project.command("apply --yes --waive");
    let ran = Ran::of(waived.arg("agreed with the owners"));
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let events = project.lines("history --rollout mig-0001");
    assert!(events.iter().any(|event| event["what"] == "step_waived"));
}

#[test]
fn a_start_that_is_refused_for_something_else_wants_no_waiver() {
    let project = Project::new("halt");
    fs::remove_file(project.path().join("migrations/0002_email.down.sql")).unwrap();
    let plan = plan_id(&project.expect(0, "plan").out);
    // When it is started another rollout has the targets, and waits for somebody's word.
    let config = fs::read_to_string(project.path().join("skein.toml")).unwrap();
    let canary = "name = \"canary\"\n";
    project.write("skein.toml", &config.replace(canary, &format!("{canary}approval = true\n")));
    project.expect(11, "apply --yes --target step=1 --timeout 1s");
    let ran = project.expect(21, &format!("apply --plan {plan}"));
    ran.says("is part of mig-0002, which has not ended");
    ran.says("wait for mig-0002");
    assert!(!ran.err.contains("--waive"), "{}", ran.err);
}

#[test]
fn another_charter_is_refused() {
    let project = Project::new("halt");
    let other = "ab".repeat(32);
    project.expect(51, &format!("apply --yes --charter-hash {other}"));
    assert!(project.columns("eu-1").is_empty());
}

#[test]
fn a_plan_made_on_another_state_is_stale() {
    let project = Project::new("halt");
    let old = plan_id(&project.expect(0, "plan").out);
    project.expect(0, "apply --yes --target step=1");
    project.expect(40, &format!("apply --plan {old}"));
    assert_eq!(project.columns("eu-1"), ["id"], "only the step that was asked for");
}

#[test]
fn one_line_migrations() {
    let project = Project::new("halt");
    project.expect(0, "migrate --plan");
    assert!(project.columns("eu-1").is_empty());
    project.expect(0, "migrate --step 1");
    assert_eq!(project.columns("eu-1"), ["id"]);
    project.expect(0, "migrate --validate");
    assert_eq!(project.columns("eu-1"), ["id"], "a trial leaves nothing");
    project.expect(0, "migrate --think --latest");
    assert_eq!(project.columns("us-1"), ["id", "email"]);
    project.expect(0, "migrate --direction down --version 1");
    assert_eq!(project.columns("us-1"), ["id"]);
    project.expect(0, "migrate --direction down --target none");
    assert!(project.columns("us-1").is_empty());
    let ran = project.expect(0, "migrate --status");
    assert!(ran.out.contains("nothing on 3"), "{}", ran.out);
}

#[test]
fn a_flipped_bit_is_found() {
    let project = Project::new("halt");
    project.expect(0, "apply --yes");
    project.expect(0, "history verify --data .skein");
    let history = project.path().join(".skein/history");
    let mut files: Vec<_> =
        fs::read_dir(&history).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|path| fs::metadata(path).map_or(0, |file| file.len()));
    let largest = files.last().unwrap();
    let mut bytes = fs::read(largest).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(largest, bytes).unwrap();
    let audit = project.json(60, "history verify --data .skein");
    assert_ne!(audit["nodes"][0]["fault"], "");
}

/// A process that keeps the project's log open until it is dropped.
struct Holder {
    child: Child,
    // A reader that went away would end the process.
    _out: BufReader<ChildStdout>,
}

impl Holder {
    fn new(project: &Project) -> Self {
        let mut child = project.command("history --follow").stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.contains("formed the cluster"), "{line}");
        Self { child, _out: out }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn two_at_once_are_told_apart() {
    let project = Project::new("halt");
    let holder = Holder::new(&project);
    let ran = project.expect(50, "status");
    ran.says("in use by another process");
    drop(holder);
    project.expect(0, "status");
}

#[test]
fn a_restore_is_a_decision_of_its_own() {
    let project = Project::new("halt");
    project.expect(0, "apply --yes --target step=1");
    project.expect(0, "apply --yes");
    project.execute("us-1", "INSERT INTO users (email) VALUES ('after@the.backup');");
    let backups = project.json(0, "backup list --target us-1 --rollout mig-0002");
    let archive = backups["backups"][0]["archive"].as_str().unwrap();

    project.expect(21, &format!("backup restore {archive}")).says("--waive");
    let waived = |more: &str| {
        let mut command = project.command(&format!("backup restore {archive} {more}"));
        Ran::of(command.arg("--waive").arg("one test row, agreed"))
    };
    let ran = waived("");
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert_eq!(project.columns("us-1"), ["id", "email"], "nobody confirmed it");
    let ran = waived("--yes");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(project.columns("us-1"), ["id"], "where it stood before the second rollout");
    // The ledger still says that the step is in force: that is drift, and it is said.
    project.expect(41, "verify");
}

#[test]
fn a_damaged_archive_is_no_backup() {
    let project = Project::new("halt");
    project.expect(0, "apply --yes");
    let backups = project.json(0, "backup list --target eu-1");
    let archive = backups["backups"][0]["archive"].as_str().unwrap();
    let path = project.path().join(".skein/backups").join(archive);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    project.expect(61, &format!("backup verify {archive}"));
    project.expect(0, "backup verify eu-2");
    project.expect(61, "backup verify nobody");
}

/// Counts for some tenths of a second on each target, one target after another.
fn slow_project() -> Project {
    let project = Project::new("halt");
    let slow = "CREATE TABLE counted AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c \
                WHERE x < 400000) SELECT max(x) AS x FROM c;";
    project.write("migrations/0003_slow.up.sql", slow);
    project.write("migrations/0003_slow.down.sql", "DROP TABLE counted;");
    project
}

#[test]
fn ctrl_c_detaches_and_the_work_goes_on_later() {
    let project = slow_project();
    let mut child = project
        .command("apply --yes --parallelism 1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(err.any(|line| line.starts_with("mig-0001 running")), "it never ran");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = err.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("skein watch mig-0001")), "{rest:?}");

    let status = project.json(0, "status mig-0001");
    assert_eq!(status["state"], "running", "it rests in the log");
    project.expect(12, "watch mig-0001 --timeout 0s");
    assert_eq!(project.json(0, "watch mig-0001")["state"], "completed");
    for target in TARGETS {
        assert_eq!(project.columns(target), ["id", "email"], "{target}");
    }
}

#[test]
fn watching_in_json_lines_ends_with_the_end() {
    let project = slow_project();
    let lines = project.lines("apply --yes");
    assert_eq!(lines[0]["type"], "version");
    let states: Vec<&str> = lines[1..].iter().map(|line| line["state"].as_str().unwrap()).collect();
    let (last, before) = states.split_last().unwrap();
    assert_eq!(*last, "completed");
    assert!(before.iter().all(|state| *state == "running") && !before.is_empty(), "{states:?}");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let project = Project::new("halt");
    project.expect(0, "apply --yes");
    let mut child =
        project.command("history").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{err}");
    assert_eq!(err, "");
}

#[test]
fn the_result_goes_into_a_file_too() {
    let project = Project::new("halt");
    let ran = project.expect(0, "plan --output-file plan.json");
    assert!(ran.out.contains("To run exactly this plan"));
    let file = fs::read_to_string(project.path().join("plan.json")).unwrap();
    let plan: Value = serde_json::from_str(&file).unwrap();
    assert!(plan["id"].as_str().unwrap().starts_with(&plan_id(&ran.out)));
}

#[test]
fn init_leaves_a_project_that_migrates() {
    let project = Project { dir: TempDir::new().unwrap() };
    project.expect(0, "init");
    project.write("migrations/0001_create_greetings.down.sql", "DROP TABLE greetings; -- mine");
    project.expect(0, "init");
    let kept = fs::read_to_string(project.path().join("migrations/0001_create_greetings.down.sql"));
    assert!(kept.unwrap().contains("mine"));
    project.expect(0, "apply --yes");
    project.expect(0, "history verify");
}

#[test]
fn a_wrong_file_says_where() {
    let project = Project::new("halt");
    project.write("skein.toml", "[project]\nformt = \"sqlx\"\n");
    let ran = project.expect(2, "plan");
    ran.says("skein.toml:2:1");
    ran.says("format");
    let none = TempDir::new().unwrap();
    let mut command = project.command("plan");
    let ran = Ran::of(command.current_dir(none.path()));
    assert_eq!(ran.code, 2);
    ran.says("skein init");
}

#[test]
fn nobody_there() {
    let project = Project::new("halt");
    let ran = project.expect(50, "status --coordinator http://127.0.0.1:9 --connect-timeout 1");
    ran.says("127.0.0.1:9");
}
