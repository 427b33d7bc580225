//! A wave that a breach took back goes forward again, in the same rollout, once its cause is mended: over real
//! servers, and whoever leads. The commands are those of `docs/rollback.md`.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use skein_agent::db::Engine;
use skein_proto::log::v1::event::Body;
use skein_proto::v1::{RolloutState, RolloutStatus};
use support::{Agent, AgentSpec, Cli, Client, Cluster, Database, Project, Runbook, Server, until};

const LIMIT: Duration = Duration::from_mins(2);
const STRATEGY: &str = "parallelism = 2\ncover_classes = false\non_breach = \"rollback_wave\"\nretries = 0\n\n\
                        [budget]\nfailed = 0\n\n[[wave]]\nname = \"canary\"\ncount = 1\nsoak = \"100ms\"\n\n\
                        [[gate]]\nname = \"customers\"\nwhen = \"after_wave\"\nsql = \"SELECT count(*) FROM \
                        customers\"\nexpect = 3\n";
const MIGRATIONS: [(&str, &str, &str); 3] = [
    (
        "0001_emails",
        "CREATE TABLE emails (email varchar(80) NOT NULL PRIMARY KEY);",
        "DROP TABLE emails;",
    ),
    (
        "0002_visits",
        "UPDATE customers SET visits = visits + 1;",
        "UPDATE customers SET visits = visits - 1;",
    ),
    ("0003_fill", "INSERT INTO emails SELECT email FROM customers;", "DELETE FROM emails;"),
];
const CUSTOMERS: &str = "CREATE TABLE customers (id int PRIMARY KEY, email varchar(80), visits int NOT NULL); \
                         INSERT INTO customers VALUES (1, 'a@x', 3), (2, 'b@x', 5), (3, 'c@x', 8)";

struct World {
    cluster: Cluster,
    cli: Cli,
    client: Client,
    databases: Vec<Database>,
    agent: Agent,
}

/// What is in a target, as far as it can change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rows {
    in_force: Vec<String>,
    schema: String,
    customers: Vec<String>,
}

impl World {
    async fn start(
        name: &str,
        databases: &[(&str, &Server)],
        migrations: &[(&str, &str, &str)],
    ) -> Self {
        let project = Arc::new(Project::new(name));
        for (name, up, down) in migrations {
            project.write(&format!("migrations/{name}.up.sql"), up);
            project.write(&format!("migrations/{name}.down.sql"), down);
        }
        project.write("strategy.toml", STRATEGY);
        let cluster = Cluster::start(&project).await;
        let client = cluster.client(cluster.leader().await);
        let cli = Cli::new(&project, &cluster, "");
        let mut spec = AgentSpec::new("a1");
        let mut made = Vec::new();
        for (id, server) in databases {
            let database = server.database(id).await;
            database.raw(CUSTOMERS).await.expect("customers can be put in");
            let (region, _) = id.split_once('-').expect("a region stands first");
            let labels = format!("{{ region = {region:?} }}");
            spec.targets.push(((*id).to_owned(), database.url.clone(), labels));
            made.push(database);
        }
        let agent = Agent::start(&project, &cluster, &spec);
        let ids: Vec<&str> = databases.iter().map(|(id, _)| *id).collect();
        Agent::until_observed(&client, &ids).await;
        Self { cluster, cli, client, databases: made, agent }
    }

    fn database(&self, id: &str) -> &Database {
        self.databases.iter().find(|one| one.id == id).unwrap_or_else(|| panic!("no target {id}"))
    }

    async fn sql(&self, id: &str, sql: &str) {
        self.database(id).raw(sql).await.unwrap_or_else(|error| panic!("{id}: {sql}: {error}"));
    }

    async fn rows(&self) -> BTreeMap<String, Rows> {
        let mut all = BTreeMap::new();
        let text = "concat(id, ' ', email, ' ', visits)";
        for database in &self.databases {
            let customers = format!("SELECT {text} FROM customers ORDER BY id");
            let rows = Rows {
                in_force: database.in_force().await,
                schema: database.schema().await,
                customers: database.column(&customers).await.expect("they can be read"),
            };
            all.insert(database.id.clone(), rows);
        }
        all
    }

    async fn run(&self, runbook: &mut Runbook, begins: &str, code: i32) -> String {
        let words = runbook.next(begins);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = self.cli.run_words(&words).await.exits(code);
        format!("{}{}", ran.stdout, ran.stderr)
    }

    async fn until_it(&self, what: &str, holds: impl Fn(&RolloutStatus) -> bool) {
        let holds = || async { self.client.rollout("mig-0001").await.is_ok_and(|it| holds(&it)) };
        until(what, LIMIT, holds).await;
    }

    /// Of each target: how often each version was applied and taken back, and the archives that were taken.
    async fn told(&self) -> BTreeMap<String, Told> {
        let mut told: BTreeMap<String, Told> = BTreeMap::new();
        for event in self.client.events(0).await.expect("the log can be read") {
            match event.body {
                Some(Body::StepApplied(step)) => {
                    let of = told.entry(step.target).or_default();
                    of.steps.entry(step.version).or_default().0 += 1;
                }
                Some(Body::StepRolledBack(step)) => {
                    let of = told.entry(step.target).or_default();
                    of.steps.entry(step.version).or_default().1 += 1;
                }
                Some(Body::StepBackedUp(step)) => {
                    let name = step.backup.map(|archive| archive.archive).unwrap_or_default();
                    told.entry(step.target).or_default().archives.push(name);
                }
                _ => {}
            }
        }
        told
    }

    async fn end(self) {
        self.cluster.settled().await;
        self.cli.run("history verify").await.exits(0);
        drop(self.agent);
        for database in self.databases {
            database.remove().await;
        }
    }
}

#[derive(Debug, Default)]
struct Told {
    steps: BTreeMap<String, (u32, u32)>,
    archives: Vec<String>,
}

impl Told {
    fn counts(&self) -> Vec<(&str, (u32, u32))> {
        self.steps.iter().map(|(version, count)| (version.as_str(), *count)).collect()
    }

    /// Every effect that was not taken back was had once.
    fn stands_once(&self, id: &str) {
        let net = self.steps.values().map(|(applied, undone)| applied - undone);
        assert!(net.eq([1, 1, 1]), "{id}: {self:?}");
    }

    /// As many archives, none of them the same.
    fn has_archives(&self, count: usize) {
        let mut names = self.archives.clone();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), self.archives.len()), (count, count), "{:?}", self.archives);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_going_forward_again_is_followed() {
    let test = "the_page_about_going_forward_again_is_followed";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let Some(mariadb) = Server::shared(Engine::Mysql, test) else { return };
    let place = Project::new("forward-files");
    let sqlite = Server::sqlite(&place.join("db"));
    let targets = [("ap-1", &sqlite), ("eu-1", &postgres), ("eu-2", &mariadb), ("us-1", &postgres)];
    let world = World::start("forward-page", &targets, &MIGRATIONS).await;
    let mut page = Runbook::on("rollback.md", "forward");
    world.sql("eu-2", "UPDATE customers SET email = 'a@x' WHERE id = 3").await;
    let before = world.rows().await;

    world.run(&mut page, "skein apply", 30).await;
    let status = world.run(&mut page, "skein status", 0).await;
    assert!(
        status.contains("rolled back") && status.contains("takes 3 targets forward"),
        "{status}"
    );
    let after = world.rows().await;
    assert_eq!(after["ap-1"].in_force, ["1", "2", "3"]);
    for id in ["eu-1", "eu-2", "us-1"] {
        assert_eq!(after[id], before[id], "{id} is where it was");
    }

    world.sql("eu-2", "UPDATE customers SET email = 'c@x' WHERE id = 3").await;
    let events = world.client.events(0).await.expect("the log can be read").len();
    let plan = world.run(&mut page, "skein resume mig-0001 --plan", 0).await;
    assert!(plan.contains("forward again from wave 2: 3 targets"), "{plan}");
    assert!(plan.contains("eu-1 eu-2 us-1"), "{plan}");
    let same = world.client.events(0).await.expect("the log can be read").len();
    assert_eq!(events, same, "a plan changes nothing");

    let said = world.run(&mut page, "skein resume mig-0001", 0).await;
    assert!(said.contains("forward again from wave 2: 3 targets"), "{said}");
    let explained = world.run(&mut page, "skein explain", 0).await;
    assert!(explained.contains("completed") || explained.contains("done"), "{explained}");
    let done = world.rows().await;
    for (id, rows) in &done {
        assert_eq!(rows.in_force, ["1", "2", "3"], "{id}");
        // Each step had its effect once.
        assert_eq!(rows.customers, ["1 a@x 4", "2 b@x 6", "3 c@x 9"], "{id}");
    }
    let told = world.told().await;
    assert_eq!(told["ap-1"].counts(), [("1", (1, 0)), ("2", (1, 0)), ("3", (1, 0))]);
    assert_eq!(told["eu-2"].counts(), [("1", (2, 1)), ("2", (2, 1)), ("3", (1, 0))]);
    told["ap-1"].has_archives(1);
    told["eu-2"].has_archives(2);
    for (id, told) in &told {
        told.stands_once(id);
    }

    world.run(&mut page, "skein rollback mig-0001 --on us-1", 0).await;
    let refused = world.run(&mut page, "skein resume mig-0001", 21).await;
    assert!(refused.contains("us-1") && refused.contains("--rolled-back"), "{refused}");
    assert_eq!(world.rows().await["us-1"].in_force, Vec::<String>::new());
    world.run(&mut page, "skein resume mig-0001 --rolled-back", 0).await;
    assert_eq!(world.rows().await, done);
    let again = world.told().await;
    again["us-1"].has_archives(told["us-1"].archives.len() + 1);
    again["us-1"].stands_once("us-1");
    assert_eq!(again["ap-1"].counts(), [("1", (1, 0)), ("2", (1, 0)), ("3", (1, 0))]);
    page.ends();
    world.end().await;
}

/// The leader is killed in the middle of the wave that goes forward again: what comes of it is what comes of it
/// without.
#[tokio::test(flavor = "multi_thread")]
async fn a_wave_goes_forward_again_whoever_leads() {
    let test = "a_wave_goes_forward_again_whoever_leads";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let mut migrations = MIGRATIONS.to_vec();
    migrations[1].1 = "UPDATE customers SET visits = visits + 1; SELECT pg_sleep(0.4);";
    let targets = ["ap-1", "eu-1", "eu-2", "us-1", "us-2"].map(|id| (id, &postgres));
    let mut world = World::start("forward-killed", &targets, &migrations).await;
    world.sql("us-2", "UPDATE customers SET email = 'a@x' WHERE id = 3").await;
    world.cli.run("apply migrations --strategy strategy.toml --yes").await.exits(30);
    world.sql("us-2", "UPDATE customers SET email = 'c@x' WHERE id = 3").await;
    world.cli.run("resume mig-0001 --detach").await.exits(0);
    // The canary has three of them.
    let midst = |it: &RolloutStatus| (4..12).contains(&it.steps_verified) && it.wave == 1;
    world.until_it("the wave goes forward again", midst).await;
    let leader = world.cluster.leader().await;
    world.cluster.kill9(leader);
    let next = world.cluster.leader().await;
    world.client = world.cluster.client(next);
    world.cluster.start_node(leader);
    world.until_it("it is completed", |it| it.state() == RolloutState::Completed).await;
    for (id, rows) in world.rows().await {
        assert_eq!(rows.in_force, ["1", "2", "3"], "{id}");
        assert_eq!(rows.customers, ["1 a@x 4", "2 b@x 6", "3 c@x 9"], "{id}");
    }
    for (id, told) in world.told().await {
        told.stands_once(&id);
        told.has_archives(if id == "ap-1" { 1 } else { told.archives.len() });
    }
    world.end().await;
}
