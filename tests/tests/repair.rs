//! Ledgers that are wrong are set right, on real servers: by evidence, by somebody's word, and not at all
//! where a probe says the opposite. What counts is in the targets' own tables.

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use skein_agent::db::{Engine, Session, Timeouts};
use support::{Agent, AgentSpec, Cli, Cluster, Database, Project, Ran, Server, until};

const LIMIT: Duration = Duration::from_secs(40);

struct Fleet {
    project: Arc<Project>,
    cluster: Cluster,
    databases: Vec<Database>,
    agent: Agent,
    cli: Cli,
}

impl Fleet {
    /// Three targets an engine: `s/1`, `p/2`, `m/3`…
    async fn start(name: &str) -> Self {
        let project = Arc::new(Project::new(name));
        let mut databases = Vec::new();
        let servers = [
            ("s", Some(Server::sqlite(&project.join("db")))),
            ("p", Server::shared(Engine::Postgres, name)),
            ("m", Server::shared(Engine::Mysql, name)),
        ];
        for (prefix, server) in servers {
            let Some(server) = server else { continue };
            for number in 1..=3 {
                databases.push(server.database(&format!("{prefix}/{number}")).await);
            }
        }
        Self::of(project, databases).await
    }

    async fn of(project: Arc<Project>, databases: Vec<Database>) -> Self {
        let cluster = Cluster::start(&project).await;
        let agent = Agent::start(&project, &cluster, &AgentSpec::new("a1").serve(&databases));
        let ids: Vec<&str> = databases.iter().map(|database| database.id.as_str()).collect();
        Agent::until_observed(&cluster.client(cluster.leader().await), &ids).await;
        let cli = Cli::new(&project, &cluster, "");
        let fleet = Self { project, cluster, databases, agent, cli };
        fleet.write("0001_users.up.sql", "CREATE TABLE users (id int NOT NULL PRIMARY KEY);\n");
        fleet.write("0001_users.down.sql", "DROP TABLE users;\n");
        fleet.write("0002_mail.up.sql", "ALTER TABLE users ADD COLUMN mail varchar(99);\n");
        fleet.write("0002_mail.down.sql", "ALTER TABLE users DROP COLUMN mail;\n");
        fleet
    }

    fn write(&self, name: &str, text: &str) {
        self.project.write(&format!("m/{name}"), text);
    }

    /// The seeding of a row, which no schema tells of, with its probe.
    fn third(&self) {
        self.write("0003_root.up.sql", "INSERT INTO users (id) VALUES (7);\n");
        self.write("0003_root.down.sql", "DELETE FROM users WHERE id = 7;\n");
        self.write("0003_root.probe.sql", "SELECT count(*) = 1 FROM users WHERE id = 7;\n");
    }

    async fn run(&self, line: &str) -> Ran {
        self.cli.run(line).await
    }

    async fn json(&self, line: &str, code: i32) -> Value {
        self.run(&format!("{line} -o json")).await.exits(code).json()
    }

    /// The databases that are called so: `1` is `s/1`, `p/1` and `m/1`.
    fn called<'a>(&'a self, number: &'a str) -> impl Iterator<Item = &'a Database> {
        self.databases.iter().filter(move |it| it.id.ends_with(&format!("/{number}")))
    }

    async fn by_hand(&self, number: &str, sql: &str) {
        for database in self.called(number) {
            database.raw(sql).await.unwrap_or_else(|error| panic!("{}: {error}", database.id));
        }
    }

    async fn stands(&self, number: &str, versions: &[&str]) {
        for database in self.called(number) {
            assert_eq!(database.in_force().await, versions, "{}", database.id);
        }
    }

    /// Whether the one target of a repair is so far.
    async fn is(&self, repair: &str, state: &str) -> bool {
        self.json(&format!("repair show {repair}"), 0).await["targets"][0]["state"] == state
    }

    async fn end(self) {
        drop(self.agent);
        for database in self.databases {
            database.remove().await;
        }
    }
}

/// Each target of a repair has this state, and rests on this.
#[track_caller]
fn rests(repair: &Value, state: &str, evidence: &[&str]) {
    let targets = repair["targets"].as_array().expect("a repair has targets");
    assert!(!targets.is_empty(), "{repair}");
    for target in targets {
        assert_eq!(target["state"], state, "{repair}");
        assert_eq!(target["evidence"], serde_json::json!(evidence), "{repair}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ledgers_are_set_right_on_every_engine() {
    let fleet = Fleet::start("repair-ledgers").await;
    fleet.run("migrate m --on */1 --target version=1").await.exits(0);
    fleet.run("migrate m --on */1").await.exits(0);

    databases_that_were_there_before(&fleet).await;
    an_undo_by_hand(&fleet).await;
    a_row_by_hand(&fleet).await;
    an_edit(&fleet).await;

    let history = fleet.json("history", 0).await.to_string();
    for word in ["compared by hand", "repair_ordered", "target_mended", "edit_accepted"] {
        assert!(history.contains(word), "{word}: {history}");
    }
    let held = fleet.json("status", 0).await;
    assert_eq!(held["held"], serde_json::json!([]), "{held}");
    fleet.run("history verify").await.exits(0);
    fleet.end().await;
}

async fn databases_that_were_there_before(fleet: &Fleet) {
    fleet.by_hand("2", "CREATE TABLE users (id int NOT NULL PRIMARY KEY);").await;
    fleet.by_hand("2", "ALTER TABLE users ADD COLUMN mail varchar(99);").await;
    fleet.by_hand("3", "CREATE TABLE people (id int NOT NULL PRIMARY KEY);").await;

    // By the schema of those that got there by migrations.
    let adopt = "repair adopt 2 --migrations m";
    let shown = fleet.json(&format!("{adopt} --on */2 --dry-run"), 0).await;
    rests(&shown, "planned", &["schema"]);
    fleet.stands("2", &[]).await;
    let unasked = fleet.run(&format!("{adopt} --on */2")).await.exits(2);
    assert!(unasked.stderr.contains("--yes"), "{unasked:?}");
    fleet.run(&adopt.replace("adopt", "applied")).await.exits(2);
    let done = fleet.json(&format!("{adopt} --on */2 --yes"), 0).await;
    rests(&done, "mended", &["schema"]);
    fleet.stands("2", &["1", "2"]).await;
    let again = fleet.json(&format!("{adopt} --on */2 --yes"), 0).await;
    assert_eq!(again["targets"], serde_json::json!([]), "{again}");
    for database in fleet.called("2") {
        assert_eq!(database.observe().await.ledger.len(), 2, "{}", database.id);
    }

    // Another schema proves nothing; somebody's word is recorded.
    fleet.run(&format!("{adopt} --on */3 --dry-run")).await.exits(21);
    let refused = fleet.run(&format!("{adopt} --on */3 --yes")).await.exits(21);
    assert!(refused.stderr.contains("--waive"), "{refused:?}");
    fleet.stands("3", &[]).await;
    let words = [adopt, "--on */3 --yes -o json --waive"].join(" ");
    let words: Vec<&str> = words.split(' ').chain(["compared by hand"]).collect();
    let waived = fleet.cli.run_words(&words).await.exits(0).json();
    rests(&waived, "mended", &["waiver"]);
    fleet.stands("3", &["1", "2"]).await;

    // Who has a ledger is not adopted.
    let refused = fleet.run("repair adopt 1 --migrations m --on */1 --yes").await.exits(21);
    assert!(refused.stderr.contains("has a ledger"), "{refused:?}");

    // So far a word went out for what is not there: it is taken back.
    let words = "repair not-applied 1 2 --migrations m --on */3 --yes --waive wrong";
    fleet.run(words).await.exits(0);
    fleet.stands("3", &[]).await;
    fleet.by_hand("3", "DROP TABLE people;").await;
    fleet.run("migrate m --on */3 --accept-drift").await.exits(0);
}

async fn an_undo_by_hand(fleet: &Fleet) {
    fleet.by_hand("1", "ALTER TABLE users DROP COLUMN mail;").await;
    let line = "--migrations m --on */1 --yes";
    let hole = fleet.run(&format!("repair not-applied 1 {line}")).await.exits(21);
    assert!(hole.stderr.contains("on top of it"), "{hole:?}");
    let done = fleet.json(&format!("repair not-applied 2 {line}"), 0).await;
    rests(&done, "mended", &["schema"]);
    fleet.stands("1", &["1"]).await;
    let again = fleet.json("migrate m", 0).await;
    assert_eq!(again["targets"].as_u64(), Some(fleet.called("1").count() as u64), "{again}");
    fleet.stands("1", &["1", "2"]).await;
}

async fn a_row_by_hand(fleet: &Fleet) {
    fleet.third();
    fleet.by_hand("1", "INSERT INTO users (id) VALUES (7);").await;
    let line = "repair applied 0003 --migrations m --yes";
    let done = fleet.json(&format!("{line} --on */1"), 0).await;
    rests(&done, "mended", &["probe"]);
    fleet.stands("1", &["1", "2", "3"]).await;

    // The probe says that it is not there: nobody's word counts against that.
    let refused = fleet.json(&format!("{line} --on */2 --waive sure"), 21).await;
    rests(&refused, "failed", &[]);
    assert!(refused["targets"][0]["note"].to_string().contains("its probe says"), "{refused}");
    fleet.stands("2", &["1", "2"]).await;
    // In part: the exit code says that somebody has to look.
    fleet.run("repair not-applied 3 --migrations m --on */1 --yes").await.exits(21);
    fleet.by_hand("3", "INSERT INTO users (id) VALUES (7);").await;
    let some = fleet.json(&format!("{line} --on *"), 31).await;
    assert!(some["settled"].as_u64() > Some(0), "{some}");
    fleet.run("migrate m").await.exits(0);
    fleet.stands("2", &["1", "2", "3"]).await;
}

async fn an_edit(fleet: &Fleet) {
    let text = "ALTER TABLE users ADD COLUMN mail varchar(99) NULL;\n";
    fleet.write("0002_mail.up.sql", text);
    fleet.write("0004_name.up.sql", "ALTER TABLE users ADD COLUMN name varchar(9);\n");
    fleet.write("0004_name.down.sql", "ALTER TABLE users DROP COLUMN name;\n");
    let refused = fleet.run("migrate m").await.exits(21);
    assert!(refused.stderr.contains("repair accept-edited 2"), "{refused:?}");
    let accept = "repair accept-edited 2 --migrations m --yes";
    let seen = fleet.json(&format!("{accept} --dry-run"), 0).await;
    assert_eq!(seen["edits"][0]["version"], "2", "{seen}");
    let refused = fleet.run(accept).await.exits(21);
    assert!(refused.stderr.contains("--waive"), "{refused:?}");
    fleet.run(&format!("{accept} --waive same")).await.exits(0);
    let nothing = fleet.json(&format!("{accept} --waive same"), 0).await;
    assert_eq!(nothing["edits"], serde_json::json!([]), "{nothing}");
    fleet.run("migrate m").await.exits(0);
    for number in ["1", "2", "3"] {
        fleet.stands(number, &["1", "2", "3", "4"]).await;
    }
    // The ledgers have the text that ran, and undoing finds it.
    fleet.run("migrate m --direction down --step 3").await.exits(0);
    fleet.stands("1", &["1"]).await;
    fleet.run("migrate m").await.exits(0);
}

/// Killed when it has the lease and before it has the target: started again, it does what was asked, once.
async fn killed_in_the_middle(name: &str, server: Server) {
    let project = Arc::new(Project::new(name));
    let database = server.database("t/1").await;
    let mut fleet = Fleet::of(project, vec![database]).await;
    fleet.by_hand("1", "CREATE TABLE users (id int NOT NULL PRIMARY KEY);").await;
    let location = fleet.databases[0].location();
    let ours = Session::open(&location, &Timeouts::default()).await.expect("the lock is free");
    let line = "repair applied 1 --migrations m --on t/1 --yes --waive seen --detach";
    let ordered = fleet.json(line, 0).await;
    let id = ordered["id"].as_str().expect("a repair has an id").to_owned();
    until("the repair is leased", LIMIT, || fleet.is(&id, "running")).await;
    let refused = fleet.run("plan m --no-observe").await.exits(21);
    assert!(refused.stderr.contains("is being repaired"), "{refused:?}");
    fleet.agent.kill9();
    ours.close().await;
    until("its lease has run out", LIMIT, || fleet.is(&id, "waiting")).await;
    fleet.agent.restart();
    until("the repair is done", LIMIT, || fleet.is(&id, "mended")).await;
    assert_eq!(fleet.databases[0].observe().await.ledger.len(), 1);
    let history = fleet.json("history --target t/1", 0).await.to_string();
    assert!(history.contains("repair_released"), "{history}");
    fleet.run("migrate m").await.exits(0);
    fleet.stands("1", &["1", "2"]).await;
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_is_followed_on_sqlite() {
    let dir = Project::new("repair-kill-db");
    killed_in_the_middle("repair-kill-sqlite", Server::sqlite(dir.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_is_followed_on_postgres() {
    let test = "repair-kill-postgres";
    let Some(server) = Server::shared(Engine::Postgres, test) else { return };
    killed_in_the_middle(test, server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_is_followed_on_mariadb() {
    let test = "repair-kill-mariadb";
    let Some(server) = Server::shared(Engine::Mysql, test) else { return };
    killed_in_the_middle(test, server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_of_a_rollout_are_tried_again_or_left_out() {
    let fleet = Fleet::start("repair-rollout").await;
    // In the way of the first migration.
    fleet.by_hand("1", "CREATE TABLE users (n int);").await;
    fleet.by_hand("2", "CREATE TABLE users (n int);").await;
    fleet.run("targets observe").await.exits(0);
    let plan = "migrate m --accept-drift --on-breach halt --budget 6 --retries 0";
    let halted = fleet.json(plan, 31).await;
    let id = halted["id"].as_str().expect("a rollout has an id").to_owned();
    fleet.stands("3", &["1", "2"]).await;

    fleet.by_hand("1", "DROP TABLE users;").await;
    fleet.run(&format!("repair retry {id}")).await.exits(2);
    let shown = fleet.json(&format!("repair retry {id} --on */1 --dry-run"), 0).await;
    assert_eq!(shown["targets"].as_array().map(Vec::len), Some(fleet.called("1").count()));
    // Those are done, and the others are left over.
    fleet.run(&format!("repair retry {id} --on */1")).await.exits(31);
    fleet.stands("1", &["1", "2"]).await;
    fleet.stands("2", &[]).await;

    let skip = format!("repair skip {id} --on */2 --yes");
    fleet.run(&skip).await.exits(2);
    fleet.run(&format!("{skip} --waive merged")).await.exits(0);
    let completed = fleet.json(&format!("resume {id}"), 0).await;
    assert_eq!(completed["state"], "completed", "{completed}");
    let skipped = completed["skipped"].as_array().expect("what was left out is named");
    assert_eq!(skipped.len(), fleet.called("2").count(), "{completed}");
    assert!(skipped[0]["note"].to_string().contains("merged"), "{completed}");
    fleet.stands("2", &[]).await;
    let shown = fleet.run(&format!("status {id}")).await.exits(0);
    assert!(shown.stdout.contains("left as they are"), "{shown:?}");
    fleet.cluster.settled().await;
    fleet.end().await;
}

/// What the page shows is what happens: its example, line for line.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_page_is_true() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/repair.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let (_, example) = page.split_once("<!-- example -->").expect("the page has an example");
    let lines = example.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines: Vec<String> = lines.flat_map(str::lines).map(str::to_owned).collect();

    let project = Arc::new(Project::new("repair-page"));
    let target = |id: &str| {
        project.write(&format!("{id}.db"), "");
        format!("[[target]]\nid = {id:?}\nurl = \"sqlite:{id}.db\"\n")
    };
    let targets = ["shop-1", "shop-2"].map(target).concat();
    let config = format!("[project]\nformat = \"sqlx\"\nmigrations = \"migrations\"\n{targets}");
    project.write("skein.toml", &config);
    for dir in ["migrations", "later", "unique"] {
        let write = |name: &str, text: &str| drop(project.write(&format!("{dir}/{name}"), text));
        write("0001_users.up.sql", "CREATE TABLE users (id INTEGER PRIMARY KEY);\n");
        write("0001_users.down.sql", "DROP TABLE users;\n");
        write("0002_email.up.sql", "ALTER TABLE users ADD COLUMN email TEXT;\n");
        write("0002_email.down.sql", "ALTER TABLE users DROP COLUMN email;\n");
    }
    for dir in ["later", "unique"] {
        let write = |name: &str, text: &str| drop(project.write(&format!("{dir}/{name}"), text));
        write("0003_root.up.sql", "INSERT INTO users (id, email) VALUES (1, 'root');\n");
        write("0003_root.down.sql", "DELETE FROM users WHERE id = 1;\n");
        write("0003_root.probe.sql", "SELECT count(*) FROM users WHERE id = 1;\n");
    }
    project.write("unique/0004_once.up.sql", "CREATE UNIQUE INDEX once ON users (email);\n");
    project.write("unique/0004_once.down.sql", "DROP INDEX once;\n");

    let cli = Cli::alone(&project);
    let mut said = String::new();
    for line in &lines {
        let (line, code) = line.split_once("# exits with ").unwrap_or((line, "0"));
        if let Some(words) = line.strip_prefix("skein ") {
            let parts = words.split('"').enumerate();
            let parts = parts.map(|(at, part)| if at % 2 == 1 { vec![part] } else { plain(part) });
            let words: Vec<&str> = parts.flatten().collect();
            let code = code.parse().unwrap_or_else(|_| panic!("{line}"));
            said += &cli.run_alone(&words).await.exits(code).stdout;
        } else if let Some(rest) = line.strip_prefix("echo ") {
            let (text, file) = rest.split_once(" > ").unwrap_or_else(|| panic!("{line}"));
            project.write(file, &format!("{}\n", text.trim_matches('"')));
        } else {
            let words: Vec<&str> = line.splitn(3, ' ').collect();
            let [tool, file, sql] = words[..] else { panic!("{line}") };
            assert_eq!(tool, "sqlite3", "{line}");
            let url = format!("sqlite:{}?mode=rwc", project.join(file).display());
            let database = Database::at(Engine::Sqlite, file, &url);
            database.raw(sql.trim_matches('"')).await.expect("it runs");
        }
    }
    for word in ["schema", "probe", "mended", "rep-0002", "rep-0003"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    for id in ["shop-1", "shop-2"] {
        let url = format!("sqlite:{}", project.join(&format!("{id}.db")).display());
        let database = Database::at(Engine::Sqlite, id, &url);
        assert_eq!(database.in_force().await, ["1", "2", "3", "4"], "{id}");
        let rows = database.column("SELECT email FROM users").await.expect("rows");
        assert_eq!(rows, ["root"], "{id}");
    }
}

/// Words without quotes.
fn plain(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}
