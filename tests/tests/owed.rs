//! Targets that come while a rollout is under way, that are not there, and that come after its end, over real
//! servers. The commands and the strategy are those of `docs/owed.md`.

mod support;

use std::sync::Arc;
use std::time::Duration;

use skein_agent::db::{Engine, Session, Timeouts};
use skein_cli::render::look::rfc3339;
use skein_proto::log::v1::event::Body;
use skein_proto::v1::{RolloutState, RolloutStatus};
use support::{
    Agent, AgentSpec, Client, Cluster, Database, Project, Runbook, Server, World, blocks,
    once_each, until, until_some,
};

const LIMIT: Duration = Duration::from_mins(2);
const PAGE: &str = "owed.md";

fn table(version: u32) -> String {
    format!("CREATE TABLE t{version} (id int PRIMARY KEY, note varchar(40));\n")
}

/// A cluster, and nobody beside it yet.
async fn start(test: &str) -> World {
    let project = Arc::new(Project::new(test));
    let cluster = Cluster::start(&project).await;
    World::of(project, cluster, Vec::new()).await
}

fn migration(world: &World, version: u32, up: &str) {
    let name = format!("migrations/{version:04}_table");
    world.project.migration(&name, up, &format!("DROP TABLE t{version};\n"));
}

/// One that comes, and need not have looked yet.
fn agent(world: &World, id: &str, databases: &[&Database]) -> Agent {
    let mut spec = AgentSpec::new(id);
    spec.slots = 8;
    for database in databases {
        spec.targets.push((database.id.clone(), database.url.clone(), String::new()));
    }
    Agent::start(&world.project, &world.cluster, &spec)
}

/// No step took effect twice, and every node has the same log.
async fn end(world: &World) {
    once_each(world.applied().await.into_iter().map(|(_, target, version)| (target, version)));
    world.agrees().await;
}

fn has(status: &RolloutStatus, target: &str) -> bool {
    status.lanes.iter().any(|lane| lane.target == target)
}

/// Whether the log says what becomes of a target that came late.
async fn settled(client: &Client, target: &str) -> bool {
    let events = client.events(0).await.expect("the log can be read");
    events.into_iter().any(|event| {
        let Some(Body::ArrivalsSettled(it)) = event.body else { return false };
        it.joined.iter().any(|it| it.target == target)
            || it.awaited.iter().any(|it| it.target == target)
            || it.settled.iter().any(|id| id == target)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_what_is_owed_is_followed() {
    let test = "the_page_about_what_is_owed_is_followed";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let Some(mariadb) = Server::shared(Engine::Mysql, test) else { return };
    let world = start("owed-page").await;
    let sqlite = Server::sqlite(&world.project.join("db"));
    let first = [
        sqlite.database("ap-1").await,
        postgres.database("eu-1").await,
        mariadb.database("eu-2").await,
    ];
    let gone = world.project.join("gone.db");
    let down = Database::at(Engine::Sqlite, "eu-3", &format!("sqlite:{}", gone.display()));
    let late = [postgres.database("eu-4").await, postgres.database("eu-5").await];
    for version in 1..=2 {
        migration(&world, version, &table(version));
        late[1].raw(&table(version)).await.expect("a dump can be loaded");
    }
    let [strategy] = &blocks(PAGE, "owed", "toml")[..] else { panic!("one strategy") };
    world.project.write("strategy.toml", strategy);
    let _first = agent(&world, "a1", &first.iter().collect::<Vec<_>>());
    Agent::until_observed(&world.client, &["ap-1", "eu-1", "eu-2"]).await;
    world.cli.run("apply migrations --yes").await.exits(0);
    migration(&world, 3, &table(3));
    let _down = agent(&world, "a3", &[&down]);
    let unreachable = || async {
        let targets = world.client.targets().await.unwrap_or_default();
        targets.iter().any(|it| it.problem.contains("cannot look at it"))
    };
    until("somebody has tried to look at eu-3", LIMIT, unreachable).await;

    let mut page = Runbook::on(PAGE, "owed");
    let plan = world.follow(&mut page, "skein plan").await.stdout;
    assert!(plan.contains("1 target nobody could look at") && plan.contains("  eu-3  "), "{plan}");
    world.follow(&mut page, "skein apply").await;
    let why = world.follow(&mut page, "skein explain").await.stdout;
    assert!(why.contains("the rollout waits for it: its agent cannot look at it"), "{why}");

    let _late = agent(&world, "a2", &[&late[0], &late[1]]);
    world.until_it("mig-0002", "both have come", |it| has(it, "eu-4") && has(it, "eu-5")).await;
    let status = world.follow(&mut page, "skein status").await.stdout;
    assert!(
        status.contains("waits for approval") && status.contains("1 target waited for"),
        "{status}"
    );
    let lanes = world.client.rollout("mig-0002").await.expect("a status").lanes;
    let steps =
        |id: &str| lanes.iter().find(|lane| lane.target == id).map(|lane| (lane.wave, lane.steps));
    assert_eq!((steps("eu-4"), steps("eu-5")), (Some((1, 3)), Some((1, 1))), "{lanes:?}");
    world.follow(&mut page, "skein approve").await;
    world.until_it("mig-0002", "eu-3 is waited for", |it| it.waits_for_absent).await;
    let status = world.follow(&mut page, "skein status").await.stdout;
    assert!(
        status.contains("everything else is done; it waits for 1 target, such as eu-3"),
        "{status}"
    );
    world.follow(&mut page, "skein repair skip").await;
    world.follow(&mut page, "skein watch").await;
    std::fs::write(&gone, "").expect("an empty file is an empty database");
    world.cli.run("targets observe").await.exits(0);
    let targets = world.follow(&mut page, "skein targets").await.stdout;
    assert!(targets.contains("owes 1 2 3 of mig-0002; left out by"), "{targets}");

    let last = sqlite.database("eu-6").await;
    let _last = agent(&world, "a4", &[&last]);
    Agent::until_observed(&world.client, &["eu-6"]).await;
    let targets = world.follow(&mut page, "skein targets --on eu-6").await.stdout;
    assert!(targets.contains("owes 1 2 3 of mig-0002"), "{targets}");
    assert!(targets.contains("next: skein apply --on eu-6"), "{targets}");
    world.follow(&mut page, "skein apply").await;
    let targets = world.cli.run("targets --on eu-6").await.exits(0).stdout;
    assert!(!targets.contains("owes"), "{targets}");
    world.follow(&mut page, "skein targets retire").await;
    let targets = world.follow(&mut page, "skein targets --on eu-3").await.stdout;
    assert!(targets.contains("retired") && !targets.contains("owes"), "{targets}");
    page.ends();

    for database in first.iter().chain(&late).chain([&last]) {
        assert_eq!(database.in_force().await, ["1", "2", "3"], "{}", database.id);
    }
    assert_eq!(down.in_force().await, [""; 0]);
    let log = world.cli.run("history --rollout mig-0002 -o jsonl").await.exits(0).stdout;
    for said in [
        "takes in eu-4",
        "waits for eu-5: it has no ledger",
        "goes on without eu-3 until 2099-01-01",
    ] {
        assert!(log.contains(said), "{said}\n{log}");
    }
    end(&world).await;
    for database in first.into_iter().chain(late) {
        database.remove().await;
    }
}

/// The leader is killed right after a target was added, and while what another one owes is replayed: what comes
/// of it is what comes of it without.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_ends_alike_whatever_the_leader_was_killed_in() {
    let test = "what_is_owed_ends_alike_whatever_the_leader_was_killed_in";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let mut world = start("owed-killed").await;
    let first = postgres.database("eu-1").await;
    let late = [postgres.database("eu-2").await, postgres.database("eu-3").await];
    for version in 1..=6 {
        let slow = format!("{} SELECT pg_sleep(0.3);\n", table(version));
        migration(&world, version, &slow);
    }
    let _first = agent(&world, "a1", &[&first]);
    Agent::until_observed(&world.client, &["eu-1"]).await;
    world.cli.run("apply migrations --yes --detach").await.exits(0);
    let begun = |it: &RolloutStatus| it.steps_applied > 0;
    world.until_it("mig-0001", "a step is applied", begun).await;

    // It is registered and looked at, and nothing is settled about it, when the leader goes: a rollout that is
    // paused settles nothing.
    world.cli.run("pause mig-0001").await.exits(0);
    let _second = agent(&world, "a2", &[&late[0]]);
    Agent::until_observed(&world.client, &["eu-2"]).await;
    assert!(!settled(&world.client, "eu-2").await, "the leader would be killed too late");
    world.behead().await;
    assert!(!settled(&world.client, "eu-2").await, "the next one has nothing to go by");
    world.cli.run("resume mig-0001 --detach").await.exits(0);
    world.until_it("mig-0001", "eu-2 has come", |it| has(it, "eu-2")).await;
    assert!(settled(&world.client, "eu-2").await);

    let _third = agent(&world, "a3", &[&late[1]]);
    let replaying = |it: &RolloutStatus| {
        it.lanes.iter().any(|lane| lane.target == "eu-3" && (1..6).contains(&lane.applied))
    };
    world.until_it("mig-0001", "what eu-3 owes is replayed", replaying).await;
    world.behead().await;
    let ended = until_some("the rollout ends", LIMIT, || async {
        let status = world.client.rollout("mig-0001").await.ok()?;
        (status.state() != RolloutState::Running).then_some(status)
    })
    .await;
    assert_eq!(ended.state(), RolloutState::Completed, "{ended:?}");
    assert_eq!(ended.targets, 3, "{ended:?}");
    for database in [&first, &late[0], &late[1]] {
        assert_eq!(database.in_force().await, ["1", "2", "3", "4", "5", "6"], "{}", database.id);
    }
    end(&world).await;
    for database in [first].into_iter().chain(late) {
        database.remove().await;
    }
}

/// A target that comes back is taken in by itself; one that a condition does not mean is not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_by_who_comes_back_and_not_by_who_is_not_meant() {
    let world = start("owed-back").await;
    let sqlite = Server::sqlite(&world.project.join("db"));
    let first = sqlite.database("eu-1").await;
    let gone = world.project.join("gone.db");
    let down = Database::at(Engine::Sqlite, "eu-2", &format!("sqlite:{}", gone.display()));
    let other = sqlite.database("us-1").await;
    migration(&world, 1, &table(1));
    let beside = agent(&world, "a1", &[&first, &down]);
    Agent::until_observed(&world.client, &["eu-1"]).await;
    let words = ["apply", "migrations", "--where", "id.startsWith(\"eu-\")", "--yes", "--detach"];
    let ran = world.cli.run_words(&words).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    world.until_it("mig-0001", "eu-2 is waited for", |it| it.waits_for_absent).await;
    let waits = world.cli.run("watch mig-0001 --timeout 1s").await.exits(12);
    assert!(waits.stderr.contains("it waits for targets that are not there"), "{waits:?}");
    let _other = agent(&world, "a2", &[&other]);
    Agent::until_observed(&world.client, &["us-1"]).await;
    std::fs::write(&gone, "").expect("an empty file is an empty database");
    // Nobody asks for a look at it.
    world.cli.run("watch mig-0001").await.exits(0);
    let status = world.client.rollout("mig-0001").await.expect("a status");
    assert!(has(&status, "eu-2") && !has(&status, "us-1"), "{status:?}");
    assert_eq!(down.in_force().await, ["1"]);
    assert_eq!(other.in_force().await, [""; 0]);
    end(&world).await;
    drop(beside);
}

/// How often something was said of a target in the log.
async fn said(client: &Client, fits: impl Fn(&Body) -> bool) -> usize {
    let log = client.events(0).await.expect("the log can be read");
    log.iter().filter(|event| event.body.as_ref().is_some_and(&fits)).count()
}

/// A dump has the schema of targets at a version, and no schema tells whether rows were changed: it is waited for,
/// with the reason, and nothing is tried over and over. Where the author's probe says no, it is tried once.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_by_a_dump_that_nothing_proves_waits_for_a_word() {
    let test = "what_is_owed_by_a_dump_that_nothing_proves_waits_for_a_word";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let mut world = start("owed-dump").await;
    let first = postgres.database("eu-1").await;
    let dumps = [postgres.database("eu-2").await, postgres.database("eu-3").await];
    let gone = world.project.join("gone.db");
    let down = Database::at(Engine::Sqlite, "eu-9", &format!("sqlite:{}", gone.display()));
    migration(&world, 1, &table(1));
    let (insert, delete) = ("INSERT INTO t1 VALUES (1, 'a');\n", "DELETE FROM t1 WHERE id = 1;\n");
    world.project.migration("migrations/0002_rows", insert, delete);
    for dump in &dumps {
        dump.raw(&table(1)).await.expect("a dump can be loaded");
    }
    let _first = agent(&world, "a1", &[&first]);
    Agent::until_observed(&world.client, &["eu-1"]).await;
    world.cli.run("apply migrations --yes").await.exits(0);

    // Somebody who is absent keeps the next one open.
    let _down = agent(&world, "a9", &[&down]);
    let unreachable = || async {
        let targets = world.client.targets().await.unwrap_or_default();
        targets.iter().any(|it| it.problem.contains("cannot look at it"))
    };
    until("somebody has tried to look at eu-9", LIMIT, unreachable).await;
    migration(&world, 3, &table(3));
    world.cli.run("apply migrations --yes --detach").await.exits(0);
    world.until_it("mig-0002", "eu-9 is waited for", |it| it.waits_for_absent).await;
    let _second = agent(&world, "a2", &[&dumps[0]]);
    Agent::until_observed(&world.client, &["eu-2"]).await;
    let why = until_some("eu-2 is waited for", LIMIT, || async {
        let why = world.cli.run("explain mig-0002 eu-2").await.stdout;
        why.contains("but nothing proves that 2 is in force on eu-2").then_some(why)
    })
    .await;
    assert!(why.contains("skein repair adopt 2 --on eu-2 --waive WHY"), "{why}");
    let dry = world.cli.run("repair adopt 2 --on eu-2 --dry-run").await;
    let told = format!("{}{}", dry.stdout, dry.stderr);
    assert!(!told.contains("schema") || told.contains("nothing"), "{told}");
    let ordered = |body: &Body| matches!(body, Body::RepairOrdered(_));
    assert_eq!(said(&world.client, ordered).await, 0);
    let words = ["repair", "adopt", "2", "--on", "eu-2", "--waive", "its rows are there", "--yes"];
    world.cli.run_words(&words).await.exits(0);
    world.until_it("mig-0002", "eu-2 has come", |it| has(it, "eu-2")).await;
    std::fs::write(&gone, "").expect("an empty file is an empty database");
    world.cli.run("targets observe --on eu-9").await.exits(0);
    world.cli.run("watch mig-0002").await.exits(0);
    assert_eq!(dumps[0].in_force().await, ["1", "2", "3"]);

    // The author has written a probe, and it says that the rows of the next one are not there.
    let probe = "SELECT count(*) = 1 FROM t1 WHERE id = 1;\n";
    world.project.write("migrations/0002_rows.probe.sql", probe);
    let (insert, delete) = ("INSERT INTO t1 VALUES (2, 'b');\n", "DELETE FROM t1 WHERE id = 2;\n");
    world.project.migration("migrations/0004_rows", insert, delete);
    world.project.write(
        "strategy.toml",
        "[[wave]]\nname = \"one\"\ncount = 1\n\n[[wave]]\nname = \"rest\"\napproval = true\n",
    );
    world.cli.run("apply migrations --strategy strategy.toml --yes --detach").await.exits(0);
    let _third = agent(&world, "a3", &[&dumps[1]]);
    Agent::until_observed(&world.client, &["eu-3"]).await;
    let why = until_some("eu-3 is waited for", LIMIT, || async {
        let why = world.cli.run("explain mig-0003 eu-3").await.stdout;
        why.contains("but rep-0002 came to nothing").then_some(why)
    })
    .await;
    assert!(why.contains("its probe says"), "{why}");
    // Time goes by, its agent comes back and looks again, the leader is another one: nothing is tried anew.
    world.behead().await;
    Agent::until_observed(&world.client, &["eu-3"]).await;
    world.cli.run("targets observe --on eu-3").await.exits(0);
    assert_eq!(said(&world.client, ordered).await, 2);
    let failed = |body: &Body| matches!(body, Body::RepairFailed(_));
    assert_eq!(said(&world.client, failed).await, 1);
    let status = world.cli.run("status mig-0003").await.exits(0).stdout;
    assert!(status.contains("1 target waited for"), "{status}");
    let words = ["repair", "skip", "mig-0003", "--on", "eu-3", "--waive", "a copy", "--yes"];
    world.cli.run_words(&words).await.exits(0);
    world.cli.run("approve mig-0003").await.exits(0);
    world.cli.run("watch mig-0003").await.exits(0);
    assert_eq!(dumps[1].in_force().await, [""; 0]);
    end(&world).await;
    for database in [first].into_iter().chain(dumps) {
        database.remove().await;
    }
}

/// Canary and a word before the rest: time to come late.
const A_WORD: &str = "cover_classes = false\n\n[[wave]]\nname = \"canary\"\ncount = 1\n\n\
                      [[wave]]\nname = \"rest\"\napproval = true\n";

/// The leader is killed with a target in hand that comes, and that it cannot commit: whoever leads then hears of it from
/// the agent, and whatever became of the first time, the target is added once and gets what it owes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_by_a_target_that_the_leader_was_killed_in_adding() {
    let test = "what_is_owed_by_a_target_that_the_leader_was_killed_in_adding";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let Some(mariadb) = Server::shared(Engine::Mysql, test) else { return };
    let mut world = start("owed-added").await;
    let sqlite = Server::sqlite(&world.project.join("db"));
    let first = [postgres.database("eu-1").await, postgres.database("eu-2").await];
    let late = [
        ("a2", postgres.database("eu-3").await),
        ("a3", mariadb.database("eu-4").await),
        ("a4", sqlite.database("eu-5").await),
    ];
    for version in 1..=2 {
        migration(&world, version, &table(version));
    }
    world.project.write("strategy.toml", A_WORD);
    let _first = agent(&world, "a1", &first.iter().collect::<Vec<_>>());
    Agent::until_observed(&world.client, &["eu-1", "eu-2"]).await;
    world.cli.run("apply migrations --strategy strategy.toml --yes --detach").await.exits(0);
    let waits = |it: &RolloutStatus| it.reason.contains("waits for somebody's word");
    world.until_it("mig-0001", "the second wave waits for a word", waits).await;

    let mut agents = Vec::new();
    for (round, (name, database)) in late.iter().enumerate() {
        let leader = killed_with_it_in_hand(&mut world, (name, database)).await;
        // What it had in hand is there again in two rounds of three, before somebody leads.
        if round > 0 {
            world.cluster.start_node(leader);
        }
        world.client = world.cluster.client(world.cluster.leader().await);
        agents.push(agent(&world, name, &[database]));
        let id = database.id.as_str();
        world.until_it("mig-0001", "it has come", |it| has(it, id)).await;
        if round == 0 {
            world.cluster.start_node(leader);
        }
        world.client = world.cluster.client(world.cluster.leader().await);
    }
    world.cli.run("approve mig-0001").await.exits(0);
    world.cli.run("watch mig-0001").await.exits(0);
    for database in first.iter().chain(late.iter().map(|(_, database)| database)) {
        assert_eq!(database.in_force().await, ["1", "2"], "{}", database.id);
    }
    let log = world.client.events(0).await.expect("the log can be read");
    for (_, database) in &late {
        let added = log.iter().filter(|event| match &event.body {
            Some(Body::TargetRegistered(it)) => {
                it.target.as_ref().is_some_and(|target| target.id == database.id)
            }
            _ => false,
        });
        assert_eq!(added.count(), 1, "{}", database.id);
    }
    end(&world).await;
    drop(agents);
    for database in first.into_iter().chain(late.into_iter().map(|(_, database)| database)) {
        database.remove().await;
    }
}

/// Kills the leader while a target that an agent tells of stands in its log and in no other; which node it was. A
/// leader that hears of nobody steps down, and where it did so before the agent came another one is tried.
async fn killed_with_it_in_hand(world: &mut World, (name, database): (&str, &Database)) -> u64 {
    const TRIES: u32 = 6;
    for _ in 0..TRIES {
        // It serves, and has nothing else to write.
        let leader = world.cluster.leader().await;
        let served = world.cluster.client(leader);
        until("the leader serves", LIMIT, || async { served.rollout("mig-0001").await.is_ok() })
            .await;
        world.cluster.settled().await;
        world.cluster.stop_others(leader);
        let before = world.cluster.written(leader);
        let mut spec = AgentSpec::new(name).serve(std::slice::from_ref(database));
        spec.addresses = vec![format!("http://{}", world.cluster.address(leader))];
        let agent = Agent::start(&world.project, &world.cluster, &spec);
        let has_it = async || world.cluster.written(leader) != before;
        let in_hand = until("the leader has it in hand", LIMIT, has_it);
        let in_hand = tokio::time::timeout(Duration::from_secs(8), in_hand).await.is_ok();
        if in_hand {
            world.cluster.kill9(leader);
        }
        drop(agent);
        world.cluster.cont();
        if in_hand {
            return leader;
        }
    }
    panic!("in {TRIES} rounds no leader had {} in hand", database.id);
}

/// A target that was left out until a time is part of the rollout again from then on, whoever leads; before, it is
/// not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_by_who_was_left_out_until_a_time_is_given_then() {
    let mut world = start("owed-until").await;
    let sqlite = Server::sqlite(&world.project.join("db"));
    let first = [sqlite.database("eu-1").await, sqlite.database("eu-3").await];
    let gone = world.project.join("gone.db");
    let down = Database::at(Engine::Sqlite, "eu-2", &format!("sqlite:{}", gone.display()));
    migration(&world, 1, &table(1));
    world.project.write("strategy.toml", A_WORD);
    let [one, other] = &first;
    let _agent = agent(&world, "a1", &[one, other, &down]);
    Agent::until_observed(&world.client, &["eu-1", "eu-3"]).await;
    world.cli.run("apply migrations --strategy strategy.toml --yes --detach").await.exits(0);
    let waits = |it: &RolloutStatus| it.reason.contains("waits for somebody's word");
    world.until_it("mig-0001", "the second wave waits for a word", waits).await;

    let until_ms = now_ms() + 8_000;
    let time = rfc3339(until_ms);
    let words =
        ["repair", "skip", "mig-0001", "--on", "eu-2", "--waive", "moved", "--until", &time];
    let words: Vec<&str> = words.into_iter().chain(["--yes"]).collect();
    world.cli.run_words(&words).await.exits(0);
    let why = world.cli.run("explain mig-0001 eu-2").await.exits(0).stdout;
    let said = ["goes on without it until", "moved, by test"];
    assert!(said.iter().all(|said| why.contains(said)), "{why}");
    std::fs::write(&gone, "").expect("an empty file is an empty database");
    world.cli.run("targets observe").await.exits(0);
    Agent::until_observed(&world.client, &["eu-2"]).await;
    world.behead().await;
    let status = world.client.rollout("mig-0001").await.expect("a status");
    let had = has(&status, "eu-2");
    assert!(!had || now_ms() >= until_ms, "{status:?}");
    until("its time has come", LIMIT, async || now_ms() >= until_ms).await;
    world.cli.run("approve mig-0001").await.exits(0);
    world.cli.run("watch mig-0001").await.exits(0);
    for database in first.iter().chain([&down]) {
        assert_eq!(database.in_force().await, ["1"], "{}", database.id);
    }
    let status = world.client.rollout("mig-0001").await.expect("a status");
    assert!(has(&status, "eu-2") && status.state() == RolloutState::Completed, "{status:?}");
    end(&world).await;
}

fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).expect("after 1970")
}

/// The scheduler's own repair of a dump is withdrawn while nobody works on it: it is not ordered again, by nobody and
/// whatever happens, and the rollout says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_by_a_dump_whose_repair_was_withdrawn_waits_for_a_word() {
    let test = "what_is_owed_by_a_dump_whose_repair_was_withdrawn_waits_for_a_word";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let mut world = start("owed-withdrawn").await;
    let first = [postgres.database("eu-1").await, postgres.database("eu-2").await];
    let dump = postgres.database("eu-3").await;
    migration(&world, 1, &table(1));
    dump.raw(&table(1)).await.expect("a dump can be loaded");
    world.project.write("strategy.toml", A_WORD);
    let _first = agent(&world, "a1", &first.iter().collect::<Vec<_>>());
    Agent::until_observed(&world.client, &["eu-1", "eu-2"]).await;
    world.cli.run("apply migrations --yes").await.exits(0);
    migration(&world, 2, &table(2));
    world.cli.run("apply migrations --strategy strategy.toml --yes --detach").await.exits(0);

    // Its agent has the repair and not the target, and dies.
    let ours = Session::open(&dump.location(), &Timeouts::default()).await.expect("it is free");
    let mut beside = agent(&world, "a2", &[&dump]);
    let is = async |world: &World, state: &str| {
        let shown = world.cli.run("repair show rep-0001 -o json").await;
        shown.code == Some(0) && shown.json()["targets"][0]["state"] == state
    };
    until("the repair is leased", LIMIT, async || is(&world, "running").await).await;
    let refused = world.cli.run("repair withdraw rep-0001 --reason x").await.exits(21);
    assert!(refused.stderr.contains("agents are at work on the rest"), "{refused:?}");
    beside.kill9();
    until("its lease has run out", LIMIT, async || is(&world, "waiting").await).await;
    let words = ["repair", "withdraw", "rep-0001", "--reason", "it is a copy"];
    world.cli.run_words(&words).await.exits(0);
    ours.close().await;
    beside.restart();
    Agent::until_observed(&world.client, &["eu-3"]).await;
    let why = until_some("it is waited for", LIMIT, || async {
        let why = world.cli.run("explain mig-0002 eu-3").await.stdout;
        why.contains("but rep-0001 came to nothing").then_some(why)
    })
    .await;
    assert!(why.contains("it is a copy"), "{why}");
    world.behead().await;
    world.cli.run("targets observe --on eu-3").await.exits(0);
    let ordered = |body: &Body| matches!(body, Body::RepairOrdered(_));
    assert_eq!(said(&world.client, ordered).await, 1);

    let words = ["repair", "skip", "mig-0002", "--on", "eu-3", "--waive", "a copy", "--yes"];
    world.cli.run_words(&words).await.exits(0);
    world.cli.run("approve mig-0002").await.exits(0);
    world.cli.run("watch mig-0002").await.exits(0);
    assert_eq!(said(&world.client, ordered).await, 1);
    for database in &first {
        assert_eq!(database.in_force().await, ["1", "2"], "{}", database.id);
    }
    assert_eq!(dump.in_force().await, [""; 0]);
    end(&world).await;
    drop(beside);
    for database in first.into_iter().chain([dump]) {
        database.remove().await;
    }
}
