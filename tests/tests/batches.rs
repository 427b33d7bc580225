//! Statements in batches over real servers. The statement, the strategy and the commands of the first test are those of
//! `docs/batches.md`.

mod support;

use std::sync::Arc;
use std::time::Duration;

use skein_agent::db::Engine;
use skein_proto::log::v1::event::Body;
use skein_proto::v1::{BatchProgress, Lane, LaneState, RolloutState};
use support::{
    Agent, AgentSpec, Cli, Client, Cluster, Database, Project, Ran, Runbook, Server, blocks, until,
    until_some,
};

const LIMIT: Duration = Duration::from_mins(1);
const PAGE: &str = "batches.md";
const TARGETS: [&str; 3] = ["eu-1", "eu-2", "ap-1"];
const ID: &str = "mig-0001";

/// Three databases with users, and one agent beside them.
struct World {
    project: Arc<Project>,
    cluster: Cluster,
    cli: Cli,
    client: Client,
    databases: Vec<Database>,
    agent: Agent,
    _files: tempfile::TempDir,
}

impl World {
    async fn start(test: &str, users: u32) -> Option<Self> {
        let files = tempfile::tempdir().expect("a directory can be made");
        let (postgres, mariadb) =
            (Server::shared(Engine::Postgres, test)?, Server::shared(Engine::Mysql, test)?);
        let sqlite = Server::sqlite(files.path());
        let mut databases = Vec::new();
        for (id, server) in TARGETS.iter().zip([postgres, mariadb, sqlite]) {
            let database = server.database(id).await;
            let made = "CREATE TABLE users (id int NOT NULL PRIMARY KEY, logins int NOT NULL)";
            database.raw(made).await.expect("a table can be made");
            let rows: Vec<String> = (1..=users).map(|id| format!("({id}, 0)")).collect();
            let sql = format!("INSERT INTO users VALUES {}", rows.join(", "));
            database.raw(&sql).await.expect("rows can be written");
            databases.push(database);
        }
        let project = Arc::new(Project::new(test));
        let cluster = Cluster::start(&project).await;
        let client = cluster.client(cluster.leader().await);
        let spec = AgentSpec::new("a1").serve(&databases);
        let mut agent = Agent::prepare(&project, &cluster, &spec, &[]);
        agent.restart();
        Agent::until_observed(&client, &TARGETS).await;
        let cli = Cli::new(&project, &cluster, "");
        Some(Self { project, cluster, cli, client, databases, agent, _files: files })
    }

    fn migration(&self, up: &str) {
        self.project.write("migrations/0001_logins.up.sql", up);
        let down = up.replace("logins + 1", "logins - 1");
        self.project.write("migrations/0001_logins.down.sql", &down);
    }

    async fn run(&self, page: &mut Runbook, begins: &str) -> String {
        let words = page.next(begins);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.cli.run_words(&words).await.exits(0).stdout
    }

    async fn ran(&self, line: &str) -> Ran {
        self.cli.run(line).await.exits(0)
    }

    async fn lane(&self, target: &str) -> Option<Lane> {
        let status = self.client.rollout(ID).await.ok()?;
        status.lanes.into_iter().find(|lane| lane.target == target)
    }

    /// Waits until a target tells so of its batches.
    async fn until_at(&self, target: &str, what: &str, holds: impl Fn(&BatchProgress) -> bool) {
        let what = format!("{target}: {what}");
        let at = || async { self.lane(target).await?.batches.filter(&holds) };
        until_some(&what, LIMIT, at).await;
    }

    async fn until_lane(&self, target: &str, what: &str, holds: impl Fn(&Lane) -> bool) {
        let what = format!("{target} {what}");
        let at = || async { self.lane(target).await.is_some_and(|it| holds(&it)) };
        until(&what, LIMIT, at).await;
    }

    /// Logins of all users of a database, and how many of them have the least and the most.
    async fn logins(&self, database: &Database) -> (u64, u64, u64) {
        let of = async |what: &str| {
            let sql = format!("SELECT CAST({what} AS CHAR(9)) FROM users");
            let read = database.column(&sql).await.expect("rows can be read");
            read[0].trim().parse::<u64>().expect("a number")
        };
        (of("SUM(logins)").await, of("MIN(logins)").await, of("MAX(logins)").await)
    }

    async fn all_have(&self, logins: (u64, u64, u64)) {
        for database in &self.databases {
            assert_eq!(self.logins(database).await, logins, "{}", database.id);
        }
    }

    async fn end(self) {
        self.cluster.settled().await;
        self.ran("history verify").await;
        drop(self.agent);
        for database in self.databases {
            database.remove().await;
        }
        drop(self.project);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_the_page_is_followed_command_by_command_kill9() {
    let test = "batches_the_page_is_followed_command_by_command_kill9";
    let Some(mut world) = World::start(test, 1_000).await else { return };
    let sql = blocks(PAGE, "batches", "sql");
    let toml = blocks(PAGE, "batches", "toml");
    world.migration(&sql[0]);
    world.project.write("strategy.toml", &toml[0]);
    let mut page = Runbook::on(PAGE, "batches");
    let plan = world.run(&mut page, "skein plan").await;
    assert!(plan.contains("line 2 runs in batches over users by id, 100 at a time"), "{plan}");
    assert!(plan.contains("Batches: 50 keys, 10 min 0 s apart."), "{plan}");
    world.run(&mut page, "skein apply").await;
    for target in TARGETS {
        // The strategy's size, and not the file's.
        let one = |it: &BatchProgress| (it.batches, it.rows, it.percent) == (1, 50, Some(5));
        world.until_at(target, "one batch of 50 is done", one).await;
    }
    let status = world.run(&mut page, "skein status").await;
    assert!(status.contains("users by id: 1 batch, 50 rows, 5 %"), "{status}");
    let why = world.run(&mut page, "skein explain").await;
    let said =
        "it is at statement 1, users by id: 1 batch done, 50 rows, 5 % of the keys, 50 at a time";
    assert!(why.contains(said), "{why}");
    let knobs = world.run(&mut page, "skein get").await;
    assert!(knobs.contains("batch_pause") && knobs.contains("50"), "{knobs}");

    // The leader dies while they rest, and the next one hears how far they are.
    world.client = world.cluster.behead().await;
    for target in TARGETS {
        world.until_at(target, "the new leader knows", |it| it.batches == 1).await;
    }
    world.run(&mut page, "skein pause").await;
    for target in TARGETS {
        world.until_lane(target, "is given back", |it| it.state() == LaneState::Ready).await;
    }
    world.all_have((50, 0, 1)).await;
    let why = world.run(&mut page, "skein explain").await;
    for said in ["the rollout is paused: the shop is slow", "1 batch done, 50 rows"] {
        assert!(why.contains(said), "{said}\n{why}");
    }
    world.run(&mut page, "skein resume").await;
    for target in TARGETS {
        // At the cursor, and not at the beginning.
        world.until_at(target, "it is taken up", |it| (it.batches, it.rows) == (1, 50)).await;
    }
    // One of them by itself: the others keep their legs.
    world.run(&mut page, "skein pause mig-0001 --on eu-2 --after-batch").await;
    world.until_lane("eu-2", "is given back", |it| it.state() == LaneState::Ready).await;
    let why = world.run(&mut page, "skein explain").await;
    for said in ["somebody holds it: its report runs", "a part of it is in force"] {
        assert!(why.contains(said), "{said}\n{why}");
    }
    for target in TARGETS.iter().filter(|target| **target != "eu-2") {
        let lane = world.lane(target).await.expect("it has a lane");
        assert_eq!(lane.state(), LaneState::Leased, "{lane:?}");
    }
    world.run(&mut page, "skein resume mig-0001 --on eu-2").await;
    world.run(&mut page, "skein set").await;
    world.run(&mut page, "skein watch").await;
    let log = world.run(&mut page, "skein history").await;
    for said in ["paused the rollout behind the batches under way", "set batch to 300"] {
        assert!(log.contains(said), "{said}\n{log}");
    }
    page.ends();
    world.all_have((1_000, 1, 1)).await;
    let mut applied = 0;
    for event in world.client.events(0).await.expect("the log can be read") {
        match event.body {
            Some(Body::StepApplied(step)) => {
                applied += 1;
                let told = step.applied.expect("it is told");
                assert_eq!((told.rows, told.resumed), (1_000, true));
            }
            Some(Body::StepFailed(failed)) => panic!("{failed:?}"),
            _ => {}
        }
    }
    assert_eq!(applied, 3);
    // The way back goes in batches as well.
    world.ran("rollback mig-0001 --yes").await;
    world.all_have((0, 0, 0)).await;
    world.end().await;
}

/// Agents die again and again, a throttle holds, statements are killed: each row is changed once.
#[tokio::test(flavor = "multi_thread")]
async fn batches_are_run_once_kill9() {
    let test = "batches_are_run_once_kill9";
    let Some(mut world) = World::start(test, 600).await else { return };
    world.migration(
        "-- skein:batch table=users key=id size=1\n\
         UPDATE users SET logins = logins + 1 WHERE id BETWEEN {from} AND {to};\n",
    );
    let strategy = "[[throttle]]\nname = \"half\"\nquery = \"SELECT sum(logins) FROM users\"\n\
                    limit = 300\ninterval = \"1ms\"\n";
    world.project.write("strategy.toml", strategy);
    world.ran("apply migrations --strategy strategy.toml --yes --detach").await;
    for least in [10, 100, 200] {
        for target in TARGETS {
            world.until_at(target, "it is under way", |it| it.batches >= least).await;
        }
        world.agent.kill9();
        for database in &world.databases {
            let (sum, least, most) = world.logins(database).await;
            assert!(sum < 600 && least == 0 && most == 1, "{}: {sum}", database.id);
        }
        world.agent.restart();
    }
    for target in TARGETS {
        let held = |it: &Lane| it.throttled.contains("`half`: the query answers 3");
        world.until_lane(target, "is throttled", held).await;
        let lane = world.lane(target).await.expect("it has a lane");
        let batches = lane.batches.expect("it tells").batches;
        assert!((300..600).contains(&batches), "{target}: {batches}");
    }
    // In the middle of its batches, where it waits, it can be cancelled, and left.
    world.ran("cancel mig-0001 --on eu-2 --reason enough").await;
    world.until_lane("eu-2", "is given back", |it| it.state() == LaneState::Ready).await;
    let why = world.ran("explain mig-0001 eu-2").await.stdout;
    assert!(why.contains("a part of it is in force"), "{why}");
    world.ran("resume mig-0001 --on eu-2 --detach").await;
    world.ran("pause mig-0001 --after-batch").await;
    for target in TARGETS {
        world.until_lane(target, "is given back", |it| it.state() == LaneState::Ready).await;
    }
    world.ran("set mig-0001 throttle.half=off batch=7").await;
    world.ran("resume mig-0001").await;
    let status = world.client.rollout(ID).await.expect("a status");
    assert_eq!(status.state(), RolloutState::Completed, "{status:?}");
    world.all_have((600, 1, 1)).await;
    world.end().await;
}
