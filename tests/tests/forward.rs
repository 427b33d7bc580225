//! A wave that a breach took back goes forward again, in the same rollout, once its cause is mended: over real
//! servers, and whoever leads. The commands are those of `docs/rollback.md`.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_agent::db::Engine;
use skein_proto::log::v1::event::Body;
use skein_proto::v1::{RolloutState, RolloutStatus};
use support::{AgentSpec, Project, Runbook, Server, World, databases};

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

/// What is in a target, as far as it can change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rows {
    in_force: Vec<String>,
    schema: String,
    customers: Vec<String>,
}

/// Databases with customers in them, and one agent beside them.
async fn start(
    name: &str,
    targets: &[(&str, &Server)],
    migrations: &[(&str, &str, &str)],
) -> World {
    let project = Arc::new(Project::new(name));
    for (name, up, down) in migrations {
        project.migration(&format!("migrations/{name}"), up, down);
    }
    project.write("strategy.toml", STRATEGY);
    let databases = databases(targets).await;
    for database in &databases {
        database.raw(CUSTOMERS).await.expect("customers can be put in");
    }
    let spec = AgentSpec::new("a1").serve_regions(&databases);
    World::start(project, databases, &spec).await
}

async fn sql(world: &World, id: &str, sql: &str) {
    world.database(id).raw(sql).await.unwrap_or_else(|error| panic!("{id}: {sql}: {error}"));
}

async fn all_rows(world: &World) -> BTreeMap<String, Rows> {
    let mut all = BTreeMap::new();
    let text = "concat(id, ' ', email, ' ', visits)";
    for database in &world.databases {
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

async fn follow(world: &World, page: &mut Runbook, begins: &str, code: i32) -> String {
    let ran = world.cli.follow(page, begins).await.exits(code);
    format!("{}{}", ran.stdout, ran.stderr)
}

/// Of each target: how often each version was applied and taken back, and the archives that were taken.
async fn all_told(world: &World) -> BTreeMap<String, Told> {
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    for event in world.client.events(0).await.expect("the log can be read") {
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
    let world = start("forward-page", &targets, &MIGRATIONS).await;
    let mut page = Runbook::on("rollback.md", "forward");
    sql(&world, "eu-2", "UPDATE customers SET email = 'a@x' WHERE id = 3").await;
    let before = all_rows(&world).await;

    follow(&world, &mut page, "skein apply", 30).await;
    let status = follow(&world, &mut page, "skein status", 0).await;
    assert!(
        status.contains("rolled back") && status.contains("takes 3 targets forward"),
        "{status}"
    );
    let after = all_rows(&world).await;
    assert_eq!(after["ap-1"].in_force, ["1", "2", "3"]);
    for id in ["eu-1", "eu-2", "us-1"] {
        assert_eq!(after[id], before[id], "{id} is where it was");
    }

    sql(&world, "eu-2", "UPDATE customers SET email = 'c@x' WHERE id = 3").await;
    let events = world.client.events(0).await.expect("the log can be read").len();
    let plan = follow(&world, &mut page, "skein resume mig-0001 --plan", 0).await;
    assert!(plan.contains("forward again from wave 2: 3 targets"), "{plan}");
    assert!(plan.contains("eu-1 eu-2 us-1"), "{plan}");
    let same = world.client.events(0).await.expect("the log can be read").len();
    assert_eq!(events, same, "a plan changes nothing");

    let said = follow(&world, &mut page, "skein resume mig-0001", 0).await;
    assert!(said.contains("forward again from wave 2: 3 targets"), "{said}");
    let explained = follow(&world, &mut page, "skein explain", 0).await;
    assert!(explained.contains("completed") || explained.contains("done"), "{explained}");
    let done = all_rows(&world).await;
    for (id, rows) in &done {
        assert_eq!(rows.in_force, ["1", "2", "3"], "{id}");
        // Each step had its effect once.
        assert_eq!(rows.customers, ["1 a@x 4", "2 b@x 6", "3 c@x 9"], "{id}");
    }
    let told = all_told(&world).await;
    assert_eq!(told["ap-1"].counts(), [("1", (1, 0)), ("2", (1, 0)), ("3", (1, 0))]);
    assert_eq!(told["eu-2"].counts(), [("1", (2, 1)), ("2", (2, 1)), ("3", (1, 0))]);
    told["ap-1"].has_archives(1);
    told["eu-2"].has_archives(2);
    for (id, told) in &told {
        told.stands_once(id);
    }

    follow(&world, &mut page, "skein rollback mig-0001 --on us-1", 0).await;
    let refused = follow(&world, &mut page, "skein resume mig-0001", 21).await;
    assert!(refused.contains("us-1") && refused.contains("--rolled-back"), "{refused}");
    assert_eq!(all_rows(&world).await["us-1"].in_force, Vec::<String>::new());
    follow(&world, &mut page, "skein resume mig-0001 --rolled-back", 0).await;
    assert_eq!(all_rows(&world).await, done);
    let again = all_told(&world).await;
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
    let mut world = start("forward-killed", &targets, &migrations).await;
    sql(&world, "us-2", "UPDATE customers SET email = 'a@x' WHERE id = 3").await;
    world.cli.run("apply migrations --strategy strategy.toml --yes").await.exits(30);
    sql(&world, "us-2", "UPDATE customers SET email = 'c@x' WHERE id = 3").await;
    world.cli.run("resume mig-0001 --detach").await.exits(0);
    // The canary has three of them.
    let midst = |it: &RolloutStatus| (4..12).contains(&it.steps_verified) && it.wave == 1;
    world.until_it("mig-0001", "the wave goes forward again", midst).await;
    world.behead().await;
    world.until_it("mig-0001", "it is completed", |it| it.state() == RolloutState::Completed).await;
    for (id, rows) in all_rows(&world).await {
        assert_eq!(rows.in_force, ["1", "2", "3"], "{id}");
        assert_eq!(rows.customers, ["1 a@x 4", "2 b@x 6", "3 c@x 9"], "{id}");
    }
    for (id, told) in all_told(&world).await {
        told.stands_once(&id);
        told.has_archives(if id == "ap-1" { 1 } else { told.archives.len() });
    }
    world.end().await;
}
