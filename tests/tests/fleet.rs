//! Targets that tables and commands name, while agents run; and conditions over them.

mod support;
#[expect(dead_code, reason = "each file of tests uses its own part")]
mod verbs_alone;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use skein_agent::db::Engine;
use support::{Agent, AgentSpec, Cli, Client, Cluster, Database, Project, Server, until};
use verbs_alone::Alone;

const LIMIT: Duration = Duration::from_mins(1);

fn ids(targets: &Value) -> Vec<&str> {
    let all = targets["targets"].as_array().expect("a list of targets");
    all.iter().map(|target| target["id"].as_str().unwrap_or_default()).collect()
}

fn of<'a>(targets: &'a Value, id: &str) -> &'a Value {
    let all = targets["targets"].as_array().expect("a list of targets");
    all.iter().find(|target| target["id"] == id).unwrap_or_else(|| panic!("{id}: {targets}"))
}

/// A table of tenants, an agent that reads it, and a user.
struct Tenants {
    table: Database,
    databases: Vec<Database>,
    _cluster: Cluster,
    client: Client,
    agent: Agent,
    cli: Cli,
}

impl Tenants {
    async fn start(name: &str, server: &Server, every: &str) -> Self {
        let project = Arc::new(Project::new(name));
        let cluster = Cluster::start(&project).await;
        let table = server.database("tenants").await;
        let text = if server.engine == Engine::Mysql { "varchar(300)" } else { "text" };
        let made = format!(
            "CREATE TABLE tenants (id {text}, url {text}, region {text}, host {text}, size integer)"
        );
        table.raw(&made).await.expect("a table can be made");
        let mut databases = Vec::new();
        for id in ["acme", "bolt", "corp"] {
            databases.push(server.database(id).await);
        }
        let label = if server.engine == Engine::Mysql { "`group`" } else { "\"group\"" };
        let mut spec = AgentSpec::new("a1");
        spec.more = format!(
            "[[discovery]]\nname = \"tenants\"\ndatabase = {{ env = \"TENANTS\" }}\nquery = \"\"\"\n\
             SELECT id, url, region, size, host AS {label} FROM tenants ORDER BY id\"\"\"\n\
             prefix = \"t/\"\nlabels = {{ tier = \"gold\" }}\nevery = {every:?}\n"
        );
        project.write("m/0001_a.up.sql", "CREATE TABLE a (id integer primary key);\n");
        project.write("m/0001_a.down.sql", "DROP TABLE a;\n");
        let leader = cluster.leader().await;
        let client = cluster.client(leader);
        let cli = Cli::new(&project, &cluster, "");
        let mut it = Self {
            agent: Agent::prepare(&project, &cluster, &spec, &[("TENANTS", &table.url)]),
            table,
            databases,
            _cluster: cluster,
            client,
            cli,
        };
        it.add(0, "eu").await;
        it.add(1, "us").await;
        it.agent.restart();
        Agent::until_observed(&it.client, &["t/acme", "t/bolt"]).await;
        it
    }

    async fn add(&self, number: usize, region: &str) {
        let Database { id, url, .. } = &self.databases[number];
        let row = format!(
            "INSERT INTO tenants VALUES ('{id}', '{url}', '{region}', 'rack-{number}', {number})"
        );
        self.table.raw(&row).await.expect("a row can be added");
    }

    async fn sql(&self, sql: &str) {
        self.table.raw(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn discover(&self, code: i32) -> Value {
        let found = self.cli.run("targets discover -o json").await.exits(code).json();
        found["sources"][0].clone()
    }

    async fn targets(&self) -> Value {
        self.cli.run("targets -o json").await.exits(0).json()
    }

    async fn chosen(&self, condition: &str) -> Value {
        let words = ["targets", "--where", condition, "-o", "json"];
        self.cli.run_words(&words).await.exits(0).json()
    }

    async fn until_sound(&self, id: &str) {
        let sound = || async { of(&self.targets().await, id)["problem"] == "" };
        until("the target is sound", LIMIT, sound).await;
    }
}

async fn a_table_of_tenants(name: &str, server: &Server) {
    let mut it = Tenants::start(name, server, "1h").await;
    let targets = it.targets().await;
    assert_eq!(ids(&targets), ["t/acme", "t/bolt"]);
    let acme = of(&targets, "t/acme");
    assert_eq!(acme["resource_group"], "rack-0", "{acme}");
    assert_eq!(acme["labels"]["region"], "eu", "{acme}");
    assert_eq!(acme["labels"]["size"], "0", "{acme}");
    assert_eq!(acme["labels"]["tier"], "gold", "{acme}");
    assert_ne!(acme["engine_version"], "", "{acme}");
    assert_eq!(acme["class"], of(&targets, "t/bolt")["class"], "{targets}");

    // A new tenant, without a restart of anything.
    it.add(2, "eu").await;
    assert_eq!(it.discover(0).await["targets"], 3);
    Agent::until_observed(&it.client, &["t/corp"]).await;

    // Conditions, in every verb that chooses.
    assert_eq!(ids(&it.chosen("region == 'eu'").await), ["t/acme", "t/corp"]);
    assert_eq!(ids(&it.chosen("size == '1' || group.endsWith('-2')").await), ["t/bolt", "t/corp"]);
    let class = acme["class"].as_str().expect("a class has a name");
    let engine = if server.engine == Engine::Mysql { "mysql" } else { "postgres" };
    let of_class = format!(
        "class == '{class}' && kind == 'database' && engine == '{engine}' && \
         engine_version.at_least('10')"
    );
    assert_eq!(ids(&it.chosen(&of_class).await), ["t/acme", "t/bolt", "t/corp"]);
    let wrong = it.cli.run_words(&["targets", "--where", "regoin == 'eu'"]).await.exits(2);
    assert!(wrong.stderr.contains("  | ^^^^^^") && wrong.stderr.contains("region"), "{wrong:?}");
    let eu = "region == 'eu' && version == ''";
    it.cli.run_words(&["migrate", "m", "--where", eu]).await.exits(0);
    assert_eq!(ids(&it.chosen("version.at_least('1')").await), ["t/acme", "t/corp"]);
    assert_eq!(ids(&it.chosen("!('1' in versions)").await), ["t/bolt"]);
    assert_eq!(ids(&it.chosen(&of_class).await), ["t/bolt"], "the others are of another class now");
    assert_eq!(it.databases[1].in_force().await, Vec::<String>::new());
    let plan = it.cli.run("status -o json").await.exits(0).json();
    let rollout = plan["rollouts"][0]["id"].as_str().expect("a rollout").to_owned();
    let back = ["rollback", &rollout, "--where", "id == 't/corp'", "--yes"];
    it.cli.run_words(&back).await.exits(0);
    assert_eq!(it.databases[2].in_force().await, Vec::<String>::new());
    assert_eq!(it.databases[0].in_force().await, ["1"]);
    let log = it.cli.run("history -o json").await.exits(0).stdout;
    assert!(log.contains("id == 't/corp'"), "the log says what was asked for: {log}");

    // A source that fails, and one that is empty, change nothing and say so.
    it.sql("ALTER TABLE tenants RENAME TO elsewhere").await;
    let failed = it.discover(21).await;
    assert!(failed["problem"].as_str().unwrap_or_default().contains("tenants"), "{failed}");
    assert_eq!(failed["targets"], 3, "{failed}");
    let agents = it.cli.run("agents -o json").await.exits(0).json();
    assert_eq!(agents["agents"][0]["sources"][0]["problem"], failed["problem"]);
    it.sql("CREATE TABLE tenants AS SELECT * FROM elsewhere WHERE 1 = 0").await;
    let empty = it.discover(21).await;
    assert!(empty["problem"].as_str().unwrap_or_default().contains("named 3 before"), "{empty}");
    assert!(ids(&it.targets().await).len() == 3);
    it.cli.run("verify").await.exits(0);

    // One row is wrong, one is there twice: both are named, and stay as they were.
    it.sql("DROP TABLE tenants").await;
    it.sql("ALTER TABLE elsewhere RENAME TO tenants").await;
    it.sql("UPDATE tenants SET url = 'db2://app:hunter2@db/acme' WHERE id = 'acme'").await;
    it.sql("INSERT INTO tenants SELECT * FROM tenants WHERE id = 'bolt'").await;
    let wrong = it.discover(21).await;
    let refused = wrong["refused"].to_string();
    assert!(refused.contains("row 1 (t/acme)") && refused.contains("row 2, row 3"), "{refused}");
    assert_eq!((&wrong["targets"], &wrong["gone_in_all"]), (&3.into(), &0.into()), "{wrong}");

    // Gone is told, held, and not forgotten; it comes back when it is named again.
    it.sql("DELETE FROM tenants WHERE id <> 'corp'").await;
    it.add(0, "eu").await;
    let shrunk = it.discover(0).await;
    assert_eq!(shrunk["gone"], serde_json::json!(["t/bolt"]), "{shrunk}");
    let bolt = of(&it.targets().await, "t/bolt").clone();
    assert!(bolt["problem"].as_str().unwrap_or_default().contains("it is gone"), "{bolt}");
    let plan = it.cli.run("plan m --no-observe").await.exits(0).stdout;
    assert!(plan.contains("nobody could look at") && plan.contains("t/bolt  it is gone"), "{plan}");
    it.cli.run_words(&["plan", "m", "--no-observe", "--where", "!held"]).await.exits(0);
    it.agent.restart();
    Agent::until_observed(&it.client, &["t/acme", "t/corp"]).await;
    assert_ne!(of(&it.targets().await, "t/bolt")["problem"], "", "a restart brings nothing back");
    it.add(1, "us").await;
    assert_eq!(it.discover(0).await["targets"], 3);
    it.until_sound("t/bolt").await;

    // Gone while the agent was away: it says so when it comes.
    it.agent.kill9();
    it.sql("DELETE FROM tenants WHERE id = 'bolt'").await;
    it.agent.restart();
    let gone = || async { of(&it.targets().await, "t/bolt")["agents"] == serde_json::json!([]) };
    until("the agent has said what it serves", LIMIT, gone).await;
    it.cli.run_words(&["targets", "retire", "t/bolt", "--reason", "sold"]).await.exits(0);
    it.discover(0).await;
    assert_eq!(of(&it.targets().await, "t/bolt")["retired"], true);

    let log = it.cli.run("history -o json").await.exits(0).stdout;
    for secret in ["hunter2", it.databases[0].name.as_str()] {
        assert!(!log.contains(secret) && !it.agent.log().contains(secret), "{secret} is told");
    }
    for database in it.databases.into_iter().chain([it.table]) {
        database.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_tenants_on_postgres() {
    let test = "a_table_of_tenants_on_postgres";
    let Some(server) = Server::shared(Engine::Postgres, test) else { return };
    a_table_of_tenants("tenants-pg", &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_tenants_on_mariadb() {
    let test = "a_table_of_tenants_on_mariadb";
    let Some(server) = Server::shared(Engine::Mysql, test) else { return };
    a_table_of_tenants("tenants-maria", &server).await;
}

/// A row that is added, and one that is deleted, are found by the period alone: nobody says `discover`.
async fn a_table_is_read_again_by_itself(name: &str, server: &Server) {
    let it = Tenants::start(name, server, "1s").await;
    it.add(2, "eu").await;
    Agent::until_observed(&it.client, &["t/corp"]).await;
    assert_eq!(of(&it.targets().await, "t/corp")["labels"]["region"], "eu");
    it.sql("DELETE FROM tenants WHERE id = 'bolt'").await;
    let gone = || async {
        let problem = of(&it.targets().await, "t/bolt")["problem"].clone();
        problem.as_str().is_some_and(|problem| problem.contains("it is gone"))
    };
    until("the row that was deleted is missed", LIMIT, gone).await;
    it.add(1, "us").await;
    it.until_sound("t/bolt").await;
    let log = it.cli.run("history -o json").await.exits(0).stdout;
    assert!(!log.contains("discover"), "{log}");
    drop(it.agent);
    for database in it.databases.into_iter().chain([it.table]) {
        database.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_read_again_by_itself_on_postgres() {
    let test = "a_table_is_read_again_by_itself_on_postgres";
    let Some(server) = Server::shared(Engine::Postgres, test) else { return };
    a_table_is_read_again_by_itself("again-pg", &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_read_again_by_itself_on_mariadb() {
    let test = "a_table_is_read_again_by_itself_on_mariadb";
    let Some(server) = Server::shared(Engine::Mysql, test) else { return };
    a_table_is_read_again_by_itself("again-maria", &server).await;
}

/// The page's query of a table of tenants, word for word; the servers that it names are the one that is here.
#[tokio::test(flavor = "multi_thread")]
async fn the_pages_table_of_tenants_is_read() {
    let test = "the_pages_table_of_tenants_is_read";
    let Some(server) = Server::shared(Engine::Postgres, test) else { return };
    let project = Arc::new(Project::new("fleet-table"));
    let cluster = Cluster::start(&project).await;
    let client = cluster.client(cluster.leader().await);
    let cli = Cli::new(&project, &cluster, "");
    let table = server.database("tenants").await;
    let tenants = [server.database("acme").await, server.database("bolt").await];
    let made = "CREATE TABLE tenants (id text, region text, host text, active boolean)";
    table.raw(made).await.expect("a table can be made");
    for (tenant, active) in tenants.iter().zip([true, false]) {
        let name = &tenant.name;
        let row = format!("INSERT INTO tenants VALUES ('{name}', 'eu', 'rack-1', {active})");
        table.raw(&row).await.expect("a row can be added");
    }
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/fleet.md"));
    let text = text.expect("the page is there");
    let mut blocks = text.split("```toml\n").filter_map(|block| block.split("```").next());
    let block = blocks.find(|block| block.contains("query =")).expect("a query is on the page");
    let server = tenants[0].url.replace(&tenants[0].name, "{id}");
    let written = "postgres://skein@{group}.internal/{id}";
    assert!(block.contains(written), "{block}");
    let mut spec = AgentSpec::new("a1");
    spec.more = block.replace(written, &server);
    let mut agent = Agent::prepare(&project, &cluster, &spec, &[("TENANTS_URL", &table.url)]);
    agent.restart();
    let id = format!("eu/{}", tenants[0].name);
    Agent::until_observed(&client, &[&id]).await;
    let targets = cli.run("targets -o json").await.exits(0).json();
    assert_eq!(ids(&targets), [id.as_str()], "one that is not active is no target");
    let target = of(&targets, &id);
    assert_eq!(target["resource_group"], "rack-1", "{target}");
    assert_eq!(
        (&target["labels"]["region"], &target["labels"]["tier"]),
        (&"eu".into(), &"gold".into())
    );
    drop(agent);
    for database in tenants.into_iter().chain([table]) {
        database.remove().await;
    }
}

/// The fenced blocks of a page that are files, by name, and those that are a terminal.
fn page(text: &str) -> (Vec<(String, String)>, Vec<String>) {
    let (mut files, mut terminals) = (Vec::new(), Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let body = format!("{}\n", body.join("\n"));
        match info.split_once(' ') {
            Some((_, name)) => files.push((name.to_owned(), body)),
            None if info == "console" => terminals.push(body),
            None => {}
        }
    }
    (files, terminals)
}

/// A line of words, some in single quotes.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for (number, part) in line.split('\'').enumerate() {
        if number % 2 == 1 {
            words.push(part);
        } else {
            words.extend(part.split_whitespace());
        }
    }
    words
}

/// What the page shows is what the program says.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_fleets_is_true() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/fleet.md"));
    let (files, terminals) = page(&text.expect("the page is there"));
    assert!(files.len() >= 4 && !terminals.is_empty(), "{files:?} {terminals:?}");
    let project = Project::new("fleet-page");
    for (name, body) in &files {
        let path = project.write(name, body);
        if name == "tenants.sh" {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        }
    }
    for tenant in ["acme", "bolt"] {
        let file = project.join(&format!("tenants/{tenant}.db"));
        std::fs::create_dir_all(project.join("tenants")).expect("a directory can be made");
        std::fs::write(file, "").expect("an empty file is an empty database");
    }
    let alone = Alone { project };
    let mut asked = 0;
    for terminal in &terminals {
        let mut said = String::new();
        for line in terminal.lines() {
            if let Some(line) = line.strip_prefix("$ skein ") {
                let ran = alone.run_words(&words(line));
                said = format!("{}{}", ran.stdout, ran.stderr);
                asked += 1;
                continue;
            }
            let plain = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            let shown = plain(line);
            assert!(said.lines().any(|line| plain(line) == shown), "{line:?} is not in\n{said}");
        }
    }
    assert!(asked >= 4, "the page runs something");
}

/// What can go wrong with a command, and what it leaves: nothing changed, and a reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_changes_nothing() {
    let project = Project::new("fleet-command");
    let server = Server::sqlite(&project.join("db"));
    let tenant = server.database("acme").await;
    let head = "[agent]\nid = \"a1\"\n[[discovery]]\nname = \"list\"\ncommand = [\"sh\", \"./list.sh\"]\n\
                timeout = \"2s\"\nlabels = { tier = \"gold\" }\n";
    let row = format!("{{\"id\": \"acme\", \"url\": {:?}, \"labels\": {{\"n\": 1}}}}", tenant.url);
    let print = format!("cat <<'END'\n{row}\nEND\n");
    project.write("list.sh", &print);
    let alone = Alone::within(project, &[], head);
    let found = alone.json("targets discover", 0);
    assert_eq!(found["sources"][0]["targets"], 1, "{found}");
    assert_eq!(ids(&alone.json("targets --where n=='1'", 0)), ["acme"]);
    for (script, why) in [
        (format!("{print}exit 3\n"), "exit status: 3"),
        (format!("{print}printf '{{\"id\": \"hunter2'\n"), "cut off in line 2"),
        (format!("{print}sleep 600 &\nsleep 600\n"), "longer than 2 s"),
        ("true\n".to_owned(), "names no target"),
        ("yes hunter2\n".to_owned(), "says more than"),
        (format!("{print}echo hunter2\n"), "is no JSON at line 2"),
    ] {
        alone.project.write("list.sh", &script);
        let before = alone.history();
        let found = alone.json("targets discover", 21);
        let problem = found["sources"][0]["problem"].as_str().unwrap_or_default().to_owned();
        assert!(problem.contains(why) && !problem.contains("hunter2"), "{script}: {problem}");
        assert_eq!(ids(&alone.json("targets", 0)), ["acme"]);
        let events = alone.events_since(before.0);
        assert!(!events.iter().any(|event| event == "target_gone"), "{script}: {events:?}");
    }
    alone.project.write("list.sh", &print);
    alone.json("targets discover", 0);
    let alive = || async { of(&alone.json("targets observe", 0), "acme")["problem"] == "" };
    until("the target is looked at again", LIMIT, alive).await;
}
