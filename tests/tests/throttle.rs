//! Throttles over real servers: replicas that fall behind, load, a query, a signal. The strategy and the commands of
//! the first test are those of `docs/throttle.md`.

mod support;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use skein_agent::db::Engine;
use skein_proto::v1::{LaneState, RolloutState};
use skein_tests::servers::{Options, mariadb, postgres};
use support::{
    Agent, AgentSpec, Cluster, Database, Project, Runbook, Server, World, blocks, once_each, until,
    web,
};

const LIMIT: Duration = Duration::from_mins(1);
const PAGE: &str = "throttle.md";
/// What only the agent and the servers know.
const PASSWORD: &str = "passw0rd-of-nobody";

/// Says whether to go on.
#[derive(Debug, Default)]
struct Signal(AtomicBool);

impl Signal {
    /// Opens.
    fn open() -> (Arc<Self>, String) {
        let signal = Arc::new(Self::default());
        let served = Arc::clone(&signal);
        let url = web(move |_| {
            let busy = served.0.load(Ordering::Relaxed);
            (if busy { "503 Busy" } else { "200 OK" }, String::new())
        });
        (signal, format!("{url}/?token={PASSWORD}"))
    }

    fn says_wait(&self, wait: bool) {
        self.0.store(wait, Ordering::Relaxed);
    }
}

/// Names, and what each stands for.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Databases with one agent beside them. `more`: what skein.toml says of a target beside its URL.
async fn start(
    test: &str,
    databases: Vec<Database>,
    (more, variables): (Pairs<'_>, Pairs<'_>),
) -> (World, Arc<Signal>) {
    let project = Arc::new(Project::new(test));
    let cluster = Cluster::start(&project).await;
    let (signal, url) = Signal::open();
    let [_, sources, _] = &blocks(PAGE, "throttle", "toml")[..] else {
        panic!("a strategy, what agents may ask, and a target with a replica")
    };
    let mut spec = AgentSpec::new("a1").serve_regions(&databases);
    spec.more.clone_from(sources);
    for (id, _, labels) in &mut spec.targets {
        for (_, more) in more.iter().filter(|(of, _)| of == id) {
            write!(labels, "\n{more}").expect("a string can be written to");
        }
    }
    let variables: Vec<(&str, &str)> =
        variables.iter().copied().chain([("BUSY_URL", &*url)]).collect();
    let mut world = World::of(project, cluster, databases).await;
    world.comes_with(&spec, &variables).await;
    (world, signal)
}

fn table(world: &World, version: u32) {
    world.project.table(version, &format!("t{version} (id int PRIMARY KEY)"));
}

/// Waits until a leg is throttled, and gives the reason with these words in it.
async fn until_throttled(world: &World, rollout: &str, target: &str, words: &str) -> String {
    let what = format!("is throttled: {words}");
    world.until_lane((rollout, target), &what, |it| it.throttled.contains(words)).await.throttled
}

/// Each step of each target had one effect, and no secret of an agent's is in the log or in what it says.
async fn end(world: World, in_force: &[&str]) {
    for event in world.client.events(0).await.expect("the log can be read") {
        assert!(!format!("{event:?}").contains(PASSWORD));
    }
    once_each(world.applied().await);
    assert!(!world.agents[0].log().contains(PASSWORD));
    world.all_at(in_force).await;
    world.end().await;
}

/// A PostgreSQL and a MariaDB, each with a replica that follows it.
struct Servers {
    postgres: postgres::Instance,
    standby: postgres::Instance,
    mariadb: mariadb::Instance,
    replica: mariadb::Instance,
}

impl Servers {
    async fn start() -> Self {
        let options = Options::default();
        let starting = tokio::task::spawn_blocking(move || {
            let postgres = postgres::Instance::start(options).expect("PostgreSQL starts");
            let standby = postgres.replica().expect("its replica starts");
            (postgres, standby)
        });
        let mariadb = tokio::task::spawn_blocking(move || {
            [1, 2]
                .map(|number| mariadb::Instance::start_member(number, options).expect("it starts"))
        });
        let (postgres, standby) = starting.await.expect("nobody panics in it");
        let [mariadb, replica] = mariadb.await.expect("nobody panics in it");
        let servers = Self { postgres, standby, mariadb, replica };
        for sql in [
            format!("CREATE USER replica@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'"),
            "GRANT REPLICATION SLAVE ON *.* TO replica@'127.0.0.1'".to_owned(),
        ] {
            servers.at(Which::Primary).raw(&sql).await.expect("a user can be made");
        }
        let port = servers.mariadb.port().expect("it listens");
        for sql in [
            // What the installation wrote is there already.
            "RESET MASTER".to_owned(),
            format!(
                "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, \
                 MASTER_USER='replica', MASTER_PASSWORD='{PASSWORD}', MASTER_USE_GTID=slave_pos"
            ),
            format!("CREATE USER watcher@localhost IDENTIFIED BY '{PASSWORD}'"),
            "GRANT REPLICA MONITOR ON *.* TO watcher@localhost".to_owned(),
            "START SLAVE".to_owned(),
        ] {
            servers.at(Which::Replica).raw(&sql).await.expect("a replica can be told");
        }
        servers
    }

    fn at(&self, which: Which) -> Database {
        match which {
            Which::Standby => Database::at(Engine::Postgres, "x", &self.standby.url()),
            Which::Primary => Database::at(Engine::Mysql, "x", &self.mariadb.url_of("mysql")),
            Which::Replica => Database::at(Engine::Mysql, "x", &self.replica.url_of("mysql")),
        }
    }

    async fn tell(&self, which: Which, sql: &str) {
        self.at(which).raw(sql).await.expect("the server does as it is told");
    }
}

#[derive(Debug, Clone, Copy)]
enum Which {
    Standby,
    Primary,
    Replica,
}

#[tokio::test(flavor = "multi_thread")]
async fn throttle_the_page_is_followed_command_by_command_kill9() {
    let test = "throttle_the_page_is_followed_command_by_command_kill9";
    for variable in ["SKEIN_TEST_POSTGRES", "SKEIN_TEST_MARIADB"] {
        if std::env::var(variable).is_err() {
            return skein_tests::skip(test, &format!("{variable} is not set: no servers here"));
        }
    }
    let servers = Servers::start().await;
    let files = tempfile::tempdir().expect("a directory can be made");
    let mut databases = Vec::new();
    for (id, server) in [
        ("eu-1", Server::at(Engine::Postgres, &servers.postgres.url())),
        ("eu-2", Server::at(Engine::Mysql, &servers.mariadb.url())),
        ("ap-1", Server::sqlite(files.path())),
    ] {
        let database = server.database(id).await;
        database.raw("CREATE TABLE outbox (id int)").await.expect("a table can be made");
        databases.push(database);
    }
    let [strategy, _, target] = &blocks(PAGE, "throttle", "toml")[..] else {
        panic!("a strategy, what agents may ask, and a target with a replica")
    };
    let replicas = target.lines().find(|line| line.starts_with("replicas")).expect("it has one");
    let url = servers
        .replica
        .url_of("information_schema")
        .replace("root@", &format!("watcher:{PASSWORD}@"));
    let more = (&[("eu-2", replicas)][..], &[("EU_2_REPLICA_URL", &*url)][..]);
    let (mut world, _) = start(test, databases, more).await;
    world.project.write("strategy.toml", strategy);
    table(&world, 1);

    servers.tell(Which::Standby, "SELECT pg_wal_replay_pause()").await;
    servers.tell(Which::Replica, "STOP SLAVE SQL_THREAD").await;
    // Something that the replica has not applied.
    world.databases[0].raw("INSERT INTO outbox VALUES (1)").await.expect("a row can be written");
    let behind = "SELECT 'behind' FROM pg_stat_replication WHERE replay_lsn < pg_current_wal_lsn() \
                  AND greatest(replay_lag, clock_timestamp() - reply_time) > interval '3 s'";
    let behind =
        || async { world.databases[0].column(behind).await.is_ok_and(|it| !it.is_empty()) };
    until("the replica is behind", LIMIT, behind).await;

    let mut page = Runbook::on(PAGE, "throttle");
    let plan = world.follow(&mut page, "skein plan").await.stdout;
    for said in [
        "Throttle: lag (region=eu): steps begin while replica lag < 2.0 s",
        "Throttle: queue (every target): steps begin while SELECT count(*) FROM outbox < 10000",
    ] {
        assert!(plan.contains(said), "{said}\n{plan}");
    }
    world.follow(&mut page, "skein apply").await;
    world.until_is(("mig-0001", "ap-1"), LaneState::Done).await;
    until_throttled(&world, "mig-0001", "eu-1", "s >= 2 s on replica").await;
    let unread = "does not replicate (Slave_SQL_Running: No)";
    until_throttled(&world, "mig-0001", "eu-2", unread).await;
    let status = world.follow(&mut page, "skein status").await.stdout;
    for said in ["2 throttled, such as eu-1 by `lag`: replica lag", unread] {
        assert!(status.contains(said), "{said}\n{status}");
    }
    let why = world.follow(&mut page, "skein explain").await.stdout;
    assert!(why.contains("throttled by `lag`: replica lag") && why.contains(">= 2 s"), "{why}");
    let knobs = world.follow(&mut page, "skein get").await.stdout;
    assert!(knobs.contains("throttle.lag") && knobs.contains("throttle.queue"), "{knobs}");
    for (target, applied) in [("eu-1", 0), ("eu-2", 0), ("ap-1", 1)] {
        let lane = world.lane("mig-0001", target).await.expect("it has a lane");
        assert_eq!(lane.applied, applied, "{lane:?}");
    }

    servers.tell(Which::Standby, "SELECT pg_wal_replay_resume()").await;
    world.until_is(("mig-0001", "eu-1"), LaneState::Done).await;
    let lane = world.lane("mig-0001", "eu-2").await.expect("it has a lane");
    assert_eq!((lane.state(), lane.applied), (LaneState::Leased, 0), "{lane:?}");
    world.follow(&mut page, "skein set").await;
    world.follow(&mut page, "skein watch").await;
    let log = world.follow(&mut page, "skein history").await.stdout;
    assert!(log.contains("set throttle.lag to off"), "{log}");
    page.ends();

    // The next rollout goes by its own plan again, whoever leads.
    table(&world, 2);
    world.begin().await;
    until_throttled(&world, "mig-0002", "eu-2", unread).await;
    world.behead().await;
    until_throttled(&world, "mig-0002", "eu-2", unread).await;

    // It replicates again, and is behind by a time that it knows.
    for sql in ["STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY = 3600", "START SLAVE"] {
        servers.tell(Which::Replica, sql).await;
    }
    world.databases[1].raw("INSERT INTO outbox VALUES (1)").await.expect("a row can be written");
    let why = until_throttled(&world, "mig-0002", "eu-2", "s >= 2 s on replica").await;
    assert!(why.starts_with("`lag`: replica lag "), "{why}");
    let lane = world.lane("mig-0002", "eu-2").await.expect("it has a lane");
    assert_eq!((lane.state(), lane.applied), (LaneState::Leased, 0), "{lane:?}");
    for sql in ["STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY = 0", "START SLAVE"] {
        servers.tell(Which::Replica, sql).await;
    }
    world.until_is(("mig-0002", "eu-2"), LaneState::Done).await;
    world.ran("watch mig-0002").await;

    // Servers that are busy.
    table(&world, 3);
    world.project.write("strategy.toml", &strategy.replace("load = 100", "load = 4"));
    let sleeper = |place: usize, sql: &'static str| {
        let Database { engine, url, .. } = &world.databases[place];
        let database = Database::at(*engine, "x", url);
        tokio::spawn(async move { database.raw(sql).await })
    };
    let busy: Vec<_> = (0..6).map(|_| sleeper(0, "SELECT pg_sleep(120)")).collect();
    let threads: Vec<_> = (0..6).map(|_| sleeper(1, "SELECT SLEEP(120)")).collect();
    let asleep = "SELECT query FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'";
    let asleep = || async { world.databases[0].column(asleep).await.is_ok_and(|it| it.len() == 6) };
    until("the server is busy", LIMIT, asleep).await;
    let of_mariadb = "SELECT CAST(id AS CHAR(9)) FROM information_schema.processlist \
                      WHERE info LIKE 'SELECT SLEEP(120)%' AND command = 'Query'";
    let asleep = async || world.databases[1].column(of_mariadb).await.unwrap_or_default();
    until("MariaDB is busy", LIMIT, async || asleep().await.len() == 6).await;
    world.begin().await;
    until_throttled(&world, "mig-0003", "eu-1", "`load`: active backends 6 >= 4").await;
    let why = until_throttled(&world, "mig-0003", "eu-2", "`load`: running threads").await;
    assert!(why.ends_with(">= 4"), "{why}");
    for target in ["eu-1", "eu-2"] {
        let lane = world.lane("mig-0003", target).await.expect("it has a lane");
        assert_eq!(lane.applied, 0, "{lane:?}");
    }
    for id in asleep().await {
        let kill = format!("KILL {}", id.trim());
        world.databases[1].raw(&kill).await.expect("a sleeper can be ended");
    }
    let wake = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)%' \
               AND pid <> pg_backend_pid()";
    world.databases[0].raw(wake).await.expect("the sleepers can be ended");
    world.ran("watch mig-0003").await;
    for sleeper in busy.into_iter().chain(threads) {
        assert!(sleeper.await.expect("nobody panics in it").is_err());
    }
    end(world, &["1", "2", "3"]).await;
}

/// A signal and a query: who waits for them can be paused, held and cancelled, a new leader tells of it, and what
/// cannot be read holds back.
#[tokio::test(flavor = "multi_thread")]
async fn throttle_legs_that_wait_are_paused_held_and_set() {
    let test = "throttle_legs_that_wait_are_paused_held_and_set";
    let Some(server) = Server::shared(Engine::Postgres, test) else { return };
    let files = tempfile::tempdir().expect("a directory can be made");
    let databases =
        vec![server.database("eu-1").await, Server::sqlite(files.path()).database("ap-1").await];
    for database in &databases {
        database.raw("CREATE TABLE outbox (id int)").await.expect("a table can be made");
    }
    let (mut world, signal) = start(test, databases, (&[], &[])).await;
    table(&world, 1);
    let strategy = "[[throttle]]\nname = \"queue\"\nquery = \"SELECT count(*) FROM outbox\"\nlimit = 3\n\
                    interval = \"100ms\"\n\n\
                    [[throttle]]\nname = \"busy\"\nhttp = \"busy\"\ninterval = \"100ms\"\n";
    world.project.write("strategy.toml", strategy);
    signal.says_wait(true);
    let id = "mig-0001";
    world.begin().await;
    for target in ["eu-1", "ap-1"] {
        until_throttled(&world, id, target, "`busy`: the signal `busy` answers 503").await;
    }

    // Paused at once, it is given back with nothing done; so is one that somebody holds.
    world.ran("pause mig-0001 --now").await;
    for target in ["eu-1", "ap-1"] {
        world.until_is((id, target), LaneState::Ready).await;
    }
    world.ran("resume mig-0001 --detach").await;
    until_throttled(&world, id, "ap-1", "503").await;
    world.ran("pause mig-0001 --on ap-1 --now").await;
    world.until_is((id, "ap-1"), LaneState::Ready).await;
    world.ran("resume mig-0001 --on ap-1 --detach").await;
    until_throttled(&world, id, "ap-1", "503").await;

    // Killed, it is held.
    world.ran("cancel mig-0001 --on ap-1 --reason enough").await;
    world.until_is((id, "ap-1"), LaneState::Ready).await;
    world.ran("resume mig-0001 --on ap-1 --detach").await;

    // Its leader dies: the next one tells the same.
    until_throttled(&world, id, "eu-1", "503").await;
    world.behead().await;
    until_throttled(&world, id, "eu-1", "503").await;
    let why = world.ran("explain mig-0001 eu-1").await.stdout;
    assert!(why.contains("throttled by `busy`: the signal `busy` answers 503"), "{why}");
    for database in &world.databases {
        assert!(database.in_force().await.is_empty());
    }

    // Off, it holds nothing back; the other one does, at another limit.
    let rows = "INSERT INTO outbox VALUES (1), (2), (3), (4)";
    for database in &world.databases {
        database.raw(rows).await.expect("rows can be written");
    }
    world.ran("set mig-0001 throttle.busy=off").await;
    until_throttled(&world, id, "eu-1", "`queue`: the query answers 4 >= 3").await;
    for (knob, said) in [
        ("throttle.busy=5", "has no limit: it is on or off"),
        ("throttle.queue=5s", "measures no time"),
        ("throttle.queue=0", "would hold everything back for ever"),
        ("throttle.quene=5", "has no throttle `quene`: it has queue, busy"),
    ] {
        let refused = world.cli.run(&format!("set mig-0001 {knob}")).await;
        assert!(refused.code != Some(0) && refused.stderr.contains(said), "{refused:?}");
    }
    world.ran("set mig-0001 throttle.queue=4.5").await;
    world.ran("watch mig-0001").await;

    // What cannot be read holds back.
    table(&world, 2);
    for database in &world.databases {
        database.raw("DROP TABLE outbox").await.expect("a table can be dropped");
    }
    world.ran("targets observe").await;
    world.ran("apply migrations --strategy strategy.toml --yes --detach --accept-drift").await;
    for target in ["eu-1", "ap-1"] {
        let why =
            until_throttled(&world, "mig-0002", target, "`queue`: the query cannot be read").await;
        assert!(why.contains("outbox"), "{why}");
    }
    world.ran("set mig-0002 throttle.queue=off throttle.busy=off").await;
    world.ran("watch mig-0002").await;
    let status = world.client.rollout("mig-0002").await.expect("it is there");
    assert_eq!(status.state(), RolloutState::Completed);

    // What could never be measured is refused before anything waits for it.
    table(&world, 3);
    world.project.write("strategy.toml", "[[throttle]]\nname = \"lag\"\nreplica_lag = \"2s\"\n");
    let refused = world.cli.run("plan migrations --strategy strategy.toml").await;
    assert!(refused.stderr.contains("ap-1 is an SQLite file, which has none"), "{refused:?}");
    end(world, &["1", "2"]).await;
}

/// What a user may not see is not measured, and holds back until it may be seen, or somebody says that it does not
/// count.
#[tokio::test(flavor = "multi_thread")]
async fn throttle_what_a_user_may_not_see_holds_back() {
    let test = "throttle_what_a_user_may_not_see_holds_back";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let Some(mariadb) = Server::shared(Engine::Mysql, test) else { return };
    let user = format!("skein_blind_{}", std::process::id());
    let mut databases = [postgres.database("eu-1").await, mariadb.database("eu-2").await];
    let [of_postgres, of_mariadb] =
        [0, 1].map(|place| Database::at(databases[place].engine, "x", &databases[place].url));
    let place = &databases[0].name;
    for sql in
        [format!("CREATE ROLE {user} LOGIN"), format!("ALTER DATABASE {place} OWNER TO {user}")]
    {
        of_postgres.raw(&sql).await.expect("a user can be made");
    }
    let make = format!("CREATE USER {user}@localhost IDENTIFIED BY '{PASSWORD}'");
    of_mariadb.raw(&make).await.expect("a user can be made");
    databases[0].url =
        databases[0].url.replace("postgres://postgres@", &format!("postgres://{user}@"));
    let replica = databases[1].url.replace(&databases[1].name, "information_schema");
    let replica = replica.replace("root@", &format!("{user}:{PASSWORD}@"));
    let more = (
        &[("eu-2", "replicas = [{ env = \"EU_2_REPLICA_URL\" }]")][..],
        &[("EU_2_REPLICA_URL", &*replica)][..],
    );
    // Somebody else is at work on the server.
    let url = of_postgres.url.clone();
    let other = Database::at(Engine::Postgres, "x", &url);
    let other = tokio::spawn(async move { other.raw("SELECT pg_sleep(120)").await });
    let (world, _) = start(test, databases.into(), more).await;
    table(&world, 1);
    let strategy = "[[throttle]]\nname = \"load\"\ntargets = [\"eu-1\"]\nload = 100\ninterval = \"100ms\"\n\n\
                    [[throttle]]\nname = \"lag\"\ntargets = [\"eu-2\"]\nreplica_lag = \"2s\"\ninterval = \"100ms\"\n";
    world.project.write("strategy.toml", strategy);
    world.begin().await;
    let hidden = "sessions of others are hidden from this user; GRANT pg_monitor TO it";
    until_throttled(&world, "mig-0001", "eu-1", hidden).await;
    let why = until_throttled(&world, "mig-0001", "eu-2", "replica lag cannot be read").await;
    assert!(why.contains("denied"), "{why}");
    let grant = format!("GRANT pg_monitor TO {user}");
    of_postgres.raw(&grant).await.expect("it may be seen");
    world.until_is(("mig-0001", "eu-1"), LaneState::Done).await;
    // What may be asked now is no replica.
    let grant = format!("GRANT REPLICA MONITOR ON *.* TO {user}@localhost");
    of_mariadb.raw(&grant).await.expect("it may be seen");
    let denied = || async {
        let lane = world.lane("mig-0001", "eu-2").await;
        lane.is_some_and(|it| !it.throttled.is_empty() && !it.throttled.contains("denied"))
    };
    until("it may be asked", LIMIT, denied).await;
    let lane = world.lane("mig-0001", "eu-2").await.expect("it has a lane");
    assert_eq!((lane.state(), lane.applied), (LaneState::Leased, 0), "{lane:?}");
    world.ran("set mig-0001 throttle.lag=off").await;
    world.ran("watch mig-0001").await;
    let wake = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)%' \
               AND datname = current_database() AND pid <> pg_backend_pid()";
    of_postgres.raw(wake).await.expect("the sleeper can be ended");
    assert!(other.await.expect("nobody panics in it").is_err());
    end(world, &["1"]).await;
    let admin = |variable: &str| std::env::var(variable).expect("it is set");
    let server = Database::at(Engine::Postgres, "x", &admin("SKEIN_TEST_POSTGRES"));
    server.raw(&format!("DROP ROLE {user}")).await.expect("it owns nothing");
    let server = Database::at(Engine::Mysql, "x", &admin("SKEIN_TEST_MARIADB"));
    server.raw(&format!("DROP USER {user}@localhost")).await.expect("a user can be dropped");
}

/// A file that runs statement by statement waits between them, with what stands written down; killed there, or left by
/// an agent that dies, it is taken up at that very statement.
#[tokio::test(flavor = "multi_thread")]
async fn throttle_between_statements_kill9() {
    let test = "throttle_between_statements_kill9";
    let Some(server) = Server::shared(Engine::Mysql, test) else { return };
    let databases = vec![server.database("eu-2").await];
    databases[0].raw("CREATE TABLE outbox (id int)").await.expect("a table can be made");
    let (mut world, _) = start(test, databases, (&[], &[])).await;
    // The rows take longer than a good measuring holds.
    let up = "CREATE TABLE t1 (id int);\nINSERT INTO outbox SELECT SLEEP(0.05) FROM seq_1_to_3;\n\
              INSERT INTO t1 VALUES (7);\nCREATE TABLE t2 (id int);\n";
    world.project.migration("migrations/0001_two", up, "DROP TABLE t2;\nDROP TABLE t1;\n");
    let strategy = "[[throttle]]\nname = \"queue\"\nquery = \"SELECT count(*) FROM outbox\"\nlimit = 3\n\
                    interval = \"1ms\"\n";
    world.project.write("strategy.toml", strategy);
    let (id, target) = ("mig-0001", "eu-2");
    world.begin().await;
    until_throttled(&world, id, target, "`queue`: the query answers 3 >= 3").await;
    let rows = async |world: &World| {
        world.databases[0].column("SELECT CAST(count(*) AS CHAR) FROM t1").await.expect("rows")
    };
    assert_eq!(rows(&world).await, ["0"]);

    // Its agent dies: who has the leg next reads where it was, and waits there.
    world.agents[0].restart();
    let waits = |agent: &Agent| agent.log().matches("a leg is throttled").count();
    let again = || async { waits(&world.agents[0]) > 1 };
    until("the leg waits again", LIMIT, again).await;
    until_throttled(&world, id, target, "3 >= 3").await;
    assert_eq!(rows(&world).await, ["0"]);

    // A pause waits for the step, as it does for one that works; who wants it ended kills it.
    world.ran("pause mig-0001 --now").await;
    let why = world.ran("explain mig-0001 eu-2").await.stdout;
    assert!(why.contains("is asked to stop after its step") && why.contains("3 >= 3"), "{why}");
    world.ran("resume mig-0001 --detach").await;
    until_throttled(&world, id, target, "3 >= 3").await;
    world.ran("cancel mig-0001 --on eu-2 --reason enough").await;
    world.until_is((id, target), LaneState::Ready).await;
    let why = world.ran("explain mig-0001 eu-2").await.stdout;
    assert!(why.contains("a part of it is in force"), "{why}");
    assert_eq!(rows(&world).await, ["0"]);
    world.ran("resume mig-0001 --on eu-2 --detach").await;
    until_throttled(&world, id, target, "3 >= 3").await;

    // An agent that is shut down leaves it there; the next one goes on.
    let code = world.agents[0].process().expect("it runs").terminate();
    assert_eq!(code, Some(0));
    world.agents[0].restart();
    until_throttled(&world, id, target, "3 >= 3").await;
    world.databases[0].raw("DELETE FROM outbox").await.expect("rows can be deleted");
    world.ran("watch mig-0001").await;
    assert_eq!(rows(&world).await, ["1"]);
    end(world, &["1"]).await;
}

/// Nothing is applied as far as anybody was told, and somebody wants it back: the leg that waits in the middle of
/// its file ends that without waiting, and then it is undone.
#[tokio::test(flavor = "multi_thread")]
async fn throttle_in_a_file_is_taken_back() {
    let test = "throttle_in_a_file_is_taken_back";
    let Some(server) = Server::shared(Engine::Mysql, test) else { return };
    let databases = vec![server.database("eu-2").await];
    databases[0].raw("CREATE TABLE outbox (id int)").await.expect("a table can be made");
    let (world, _) = start(test, databases, (&[], &[])).await;
    let up = "CREATE TABLE t1 (id int);\nINSERT INTO outbox SELECT SLEEP(0.05) FROM seq_1_to_3;\n\
              INSERT INTO t1 VALUES (7);\nCREATE TABLE t2 (id int);\n";
    world.project.migration("migrations/0001_two", up, "DROP TABLE t2;\nDROP TABLE t1;\n");
    let strategy = "[[throttle]]\nname = \"queue\"\nquery = \"SELECT count(*) FROM outbox\"\nlimit = 3\n\
                    interval = \"1ms\"\n";
    world.project.write("strategy.toml", strategy);
    world.begin().await;
    until_throttled(&world, "mig-0001", "eu-2", "`queue`: the query answers 3 >= 3").await;

    let said = world.ran("rollback mig-0001 --dry-run").await.stdout;
    assert!(said.contains("Nothing of mig-0001 is applied yet. It turns back"), "{said}");
    world.ran("rollback mig-0001 --yes").await;
    let status = world.client.rollout("mig-0001").await.expect("a status");
    assert_eq!(status.state(), RolloutState::RolledBack, "{status:?}");
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND \
                  table_name IN ('t1', 't2')";
    let left = world.databases[0].column(tables).await.expect("tables can be read");
    assert_eq!(left, Vec::<String>::new());
    let log = world.ran("history --rollout mig-0001").await.stdout;
    assert!(log.contains("rolled the rollout back"), "{log}");
    end(world, &[]).await;
}
