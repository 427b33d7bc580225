//! Gates that hold how quickly queries are answered against what it was, over real servers. The strategy and the
//! commands are those of `docs/gates.md`.

mod support;

use std::sync::Arc;

use skein_agent::db::Engine;
use skein_proto::log::v1::event::Body;
use skein_proto::log::v1::{BaselineTaken, Event};
use skein_proto::v1::{RolloutState, RolloutStatus};
use support::{AgentSpec, Cluster, Project, Runbook, Server, World, blocks, databases};

const PAGE: &str = "gates.md";
/// Enough that to look at all of them takes many times as long as to find four.
const ROWS: u32 = 500_000;

/// A shop of each engine at version 1, with its orders, and agents beside them. `None`: a server is missing, which
/// was said.
async fn start(test: &str, agents: u32) -> Option<World> {
    let project = Arc::new(Project::new(test));
    let [sqlite, postgres, mariadb] = Server::three(&project, test)?;
    let databases = databases(&[("a-1", &sqlite), ("b-1", &postgres), ("c-1", &mariadb)]).await;
    project.migration(
        "migrations/0001_orders",
        "CREATE TABLE orders (id int PRIMARY KEY, customer int);\n\
         CREATE INDEX by_customer ON orders (customer);\n",
        "DROP TABLE orders;\n",
    );
    let cluster = Cluster::start(&project).await;
    let mut world = World::of(project, cluster, databases).await;
    for number in 1..=agents {
        world.comes(&AgentSpec::new(&format!("a{number}")).serve(&world.databases)).await;
    }
    world.ran("migrate migrations").await;
    for database in &world.databases {
        database.raw(&orders(database.engine)).await.expect("rows");
    }
    Some(world)
}

async fn baselines(world: &World) -> Vec<BaselineTaken> {
    let taken = |event: Event| match event.body {
        Some(Body::BaselineTaken(taken)) => Some(taken),
        _ => None,
    };
    world.events().await.into_iter().filter_map(taken).collect()
}

/// A step that no index survives.
fn forgets_the_index(project: &Project) {
    project.migration(
        "migrations/0002_copy",
        "ALTER TABLE orders RENAME TO orders_old;\nCREATE TABLE orders AS SELECT * FROM orders_old;\n",
        "DROP TABLE orders;\nALTER TABLE orders_old RENAME TO orders;\n",
    );
}

fn harmless(project: &Project) {
    project.table(2, "carts (id int PRIMARY KEY)");
}

fn is_soaking(status: &RolloutStatus) -> bool {
    status.waves.first().is_some_and(|wave| wave.soak_until_ms > 0)
}

/// Rows, four of each customer.
fn orders(engine: Engine) -> String {
    let customers = ROWS / 4;
    match engine {
        Engine::Postgres => format!(
            "INSERT INTO orders SELECT n, n % {customers} FROM generate_series(1, {ROWS}) n; ANALYZE orders"
        ),
        Engine::Mysql => {
            format!("INSERT INTO orders SELECT seq, seq % {customers} FROM seq_1_to_{ROWS}")
        }
        Engine::Sqlite => format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) \
             INSERT INTO orders SELECT i, i % {customers} FROM n"
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn latency_the_page_is_followed_command_by_command() {
    let test = "latency_the_page_is_followed_command_by_command";
    let Some(world) = start(test, 1).await else { return };
    let [strategy, ..] = &blocks(PAGE, "latency", "toml")[..] else { panic!("a strategy") };
    world.project.write("latency.toml", strategy);
    forgets_the_index(&world.project);
    let mut page = Runbook::on(PAGE, "latency");
    let run = async |page: &mut Runbook, begins: &str, code| {
        world.cli.follow(page, begins).await.exits(code)
    };
    let plan = run(&mut page, "skein plan", 0).await.stdout;
    for said in
        ["latency: SELECT count(*) FROM orders WHERE customer = 4711, 40 runs each", "p50 <= 8x"]
    {
        assert!(plan.contains(said), "{said}\n{plan}");
    }
    run(&mut page, "skein apply", 30).await;
    let told = run(&mut page, "skein history", 0).await.stdout;
    for said in [
        "gate orders are found quickly measured",
        "before its first step:",
        "gate orders are found quickly did not pass in",
        "at the most (expected p50 <= 8x, p95 <= 30.0 s)",
    ] {
        assert!(told.contains(said), "{said}\n{told}");
    }
    page.ends();
    assert_eq!(world.in_force().await, vec![vec!["1".to_owned()]; 3]);

    // Each engine by itself.
    for target in ["a-1", "b-1", "c-1"] {
        let apply = ["apply", "migrations", "--strategy", "latency.toml", "--yes", "--on", target];
        world.cli.run_words(&apply).await.exits(30);
        let judged = world.judged().await;
        let (passed, last) = judged.last().expect("it was asked");
        assert!(!passed && !last.inconclusive && last.target == target, "{last:?}");
        let baselines = baselines(&world).await;
        let taken = baselines.last().expect("it was measured");
        assert_eq!((taken.target.as_str(), taken.queries.len()), (target, 1));
        assert!(taken.queries[0].p50_us > 0, "{taken:?}");
    }
    assert_eq!(world.in_force().await, vec![vec!["1".to_owned()]; 3]);

    // A step that leaves the index where it is passes.
    harmless(&world.project);
    std::fs::remove_file(world.project.join("migrations/0002_copy.up.sql")).expect("it was there");
    std::fs::remove_file(world.project.join("migrations/0002_copy.down.sql"))
        .expect("it was there");
    // A busy machine may make it slower by itself, and not by so much.
    world.project.write("latency.toml", &strategy.replace("8x", "1000x"));
    world.cli.run("apply migrations --strategy latency.toml --yes").await.exits(0);
    let judged = world.judged().await;
    assert!(judged.iter().rev().take(3).all(|(passed, _)| *passed), "{judged:?}");
    world.end().await;
}

/// What was before is measured once, whoever leads and whoever asks; in a soak it is held against it again and
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn latency_is_held_against_the_same_baseline_whatever_the_leader_was_killed_in() {
    let test = "latency_is_held_against_the_same_baseline_whatever_the_leader_was_killed_in";
    let Some(mut world) = start(test, 2).await else { return };
    harmless(&world.project);
    let gate = |name: &str, when: &str| {
        format!(
            "[[gate]]\nname = \"{name}\"\nwhen = \"{when}\"\nexpect = \"p50 <= 60x\"\ninterval = \"300ms\"\n\
             timeout = \"60s\"\n\
             latency = {{ queries = [\"SELECT count(*) FROM orders WHERE customer = 4711\"], runs = 20 }}\n"
        )
    };
    let strategy = format!(
        "soak = \"8s\"\non_breach = \"halt\"\n{}{}",
        gate("after", "after_wave"),
        gate("soak", "soak")
    );
    world.project.write("strategy.toml", &strategy);
    world.begin().await;
    let taken = |baselines: &[BaselineTaken]| {
        let mut taken: Vec<(String, String)> =
            baselines.iter().map(|it| (it.gate.clone(), it.target.clone())).collect();
        taken.sort_unstable();
        taken
    };
    let all: Vec<(String, String)> = ["after", "soak"]
        .iter()
        .flat_map(|gate| ["a-1", "b-1", "c-1"].map(|id| ((*gate).to_owned(), id.to_owned())))
        .collect();
    world.until_it("mig-0002", "it is watched", is_soaking).await;
    assert_eq!(taken(&baselines(&world).await), all);
    world.behead().await;
    // Whoever asks next asks anew, and finds in the log what was.
    world.agents[0].kill9();
    world.cli.run("watch mig-0002").await.exits(0);
    assert_eq!(taken(&baselines(&world).await), all);
    let judged = world.judged().await;
    assert!(judged.iter().all(|(passed, _)| *passed), "{judged:?}");
    assert_eq!(judged.len(), 6, "{judged:?}");
    assert!(judged.iter().all(|(_, it)| it.measured.contains(", was ")), "{judged:?}");

    // Somebody drops the index while the next wave is watched: a breach at once.
    world.project.table(3, "notes (id int PRIMARY KEY)");
    // Three times in a row it is no chance.
    let gate = gate("soak", "soak").replace("60x", "8x\"\nsamples = 3\nneed = 1 #");
    let strategy = format!("soak = \"10m\"\non_breach = \"halt\"\n{gate}");
    world.project.write("strategy.toml", &strategy);
    world.begin().await;
    world.until_it("mig-0003", "it is watched", is_soaking).await;
    world.databases[1].raw("DROP INDEX by_customer").await.expect("it can be dropped");
    world.until_it("mig-0003", "it halts", |it| it.state() == RolloutState::Halted).await;
    let judged = world.judged().await;
    let (passed, last) = judged.last().expect("it was asked");
    assert!(!passed && last.target == "b-1" && last.measured.contains("p50"), "{last:?}");
    world.end().await;
}

/// What cannot be measured is no success, and what is measured changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn latency_that_cannot_be_measured_is_no_success() {
    let test = "latency_that_cannot_be_measured_is_no_success";
    let Some(world) = start(test, 1).await else { return };
    harmless(&world.project);
    let strategy = |query: &str, expect: &str, runs: u32, when: &str| {
        let text = format!(
            "on_breach = \"halt\"\nretries = 0\n[[gate]]\nname = \"quick\"\nwhen = {when:?}\n\
             expect = {expect:?}\ntimeout = \"60s\"\nlatency = {{ queries = [{query:?}], runs = {runs} }}\n"
        );
        world.project.write("strategy.toml", &text);
    };
    let apply = async |target: &str, code| {
        let words = ["apply", "migrations", "--strategy", "strategy.toml", "--yes", "--on", target];
        world.cli.run_words(&words).await.exits(code)
    };
    // So few runs cannot tell it.
    strategy("SELECT 1", "p99 <= 2x", 20, "after_step");
    let refused = world.cli.run("plan migrations --strategy strategy.toml").await.exits(2);
    assert!(refused.stderr.contains("p99 from 20 runs"), "{}", refused.stderr);
    strategy("SELECT 1", "p90 <= 2x", 20, "after_step");
    let refused = world.cli.run("plan migrations --strategy strategy.toml").await.exits(2);
    assert!(refused.stderr.contains("write it like"), "{}", refused.stderr);

    // Nothing to compare with: nothing is run.
    strategy("SELECT nothing FROM nowhere", "p50 <= 2x", 20, "after_wave");
    apply("b-1", 31).await;
    let status = world.client.rollout("mig-0002").await.expect("it is there");
    let note = &status.lanes[0].note;
    assert!(note.contains("compares with how quickly the target answers now"), "{note}");
    assert!(note.contains("query 1 fails"), "{note}");
    assert_eq!(world.databases[1].in_force().await, ["1"]);
    assert_eq!(baselines(&world).await, []);
    world.cli.run("rollback mig-0002 --yes").await.exits(0);

    // It may not write, on any engine.
    for (target, id) in [("a-1", "mig-0003"), ("b-1", "mig-0004"), ("c-1", "mig-0005")] {
        strategy("INSERT INTO orders VALUES (-1, -1)", "p50 <= 2x", 20, "after_step");
        apply(target, 31).await;
        let database = world.database(target);
        let rows = database.column("SELECT 'x' FROM orders WHERE id = -1").await.expect("rows");
        assert_eq!(rows, [""; 0], "{target}");
        assert_eq!(database.in_force().await, ["1"], "{target}");
        world.cli.run(&format!("rollback {id} --yes")).await.exits(0);
    }

    // A bound of its own needs nothing before.
    strategy("SELECT count(*) FROM orders WHERE customer = 4711", "p95 <= 30s", 20, "after_wave");
    apply("*", 0).await;
    assert_eq!(baselines(&world).await, []);
    let judged = world.judged().await;
    assert!(judged.iter().rev().take(3).all(|(passed, _)| *passed), "{judged:?}");
    world.end().await;
}
