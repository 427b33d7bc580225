//! How long steps take, over real servers: what small targets measured is forecast for a large one, which then
//! takes longer; the leader is killed in the midst of it. The commands are those of `docs/forecast.md`.

mod support;

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use skein_agent::db::Engine;
use skein_proto::log::v1::StepOverran;
use skein_proto::log::v1::event::Body;
use skein_proto::v1::{Lane, LaneState, RolloutState};
use support::{AgentSpec, Cli, Project, Runbook, Server, World, blocks, until, until_some};

const LIMIT: Duration = Duration::from_mins(3);
const PAGE: &str = "forecast.md";
/// Small targets of each engine: as many as an alarm needs.
const SMALL: usize = 5;
/// Rows of a small target, and of the large one, each of which costs the step a twentieth of a second or more.
const ROWS: [u32; 2] = [2, 240];

/// A table, filled so far; a step that takes its time for each row of it.
fn work(engine: Engine, rows: u32) -> [String; 2] {
    let (fill, work) = match engine {
        Engine::Postgres => (
            format!(
                "INSERT INTO orders SELECT n, repeat('x', 2000) FROM generate_series(1, {rows}) n;"
            ),
            "INSERT INTO done SELECT id FROM orders WHERE pg_sleep(0.05) IS NOT NULL;",
        ),
        Engine::Mysql => (
            format!("INSERT INTO orders SELECT seq, repeat('x', 2000) FROM seq_1_to_{rows};"),
            "INSERT INTO done SELECT id + SLEEP(0.05) FROM orders;",
        ),
        Engine::Sqlite => (
            format!(
                "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {rows}) \
                 INSERT INTO orders SELECT n, hex(zeroblob(1000)) FROM n;"
            ),
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < \
             (SELECT 150000 * count(*) FROM orders)) INSERT INTO done SELECT max(x) FROM c;",
        ),
    };
    let table = "CREATE TABLE orders (id int, body text);";
    [format!("{table}\n{fill}"), format!("CREATE TABLE done (id bigint);\n{work}\n")]
}

/// Small targets and a large one on each engine, with one agent beside them. `None`: a server is missing, which was
/// said. `more` is for skein.toml.
async fn start(test: &str, engines: &[(&str, Engine)], more: &str) -> Option<World> {
    let project = Arc::new(Project::new(test));
    let mut spec = AgentSpec::new("a1");
    spec.slots = 8;
    let mut databases = Vec::new();
    for (prefix, engine) in engines {
        let server = Server::of(*engine, &project, test)?;
        for number in (1..=SMALL).chain([9]) {
            let database = server.database(&format!("{prefix}-{number}")).await;
            let [small, large] = ROWS;
            let (size, rows) = if number == 9 { ("large", large) } else { ("small", small) };
            let [table, step] = work(*engine, rows);
            database.raw(&table).await.expect("a table can be made");
            let labels = format!("{{ size = {size:?}, region = {prefix:?} }}");
            spec.targets.push((database.id.clone(), database.url.clone(), labels));
            project.migration(&format!("{prefix}/0001_work"), &step, "DROP TABLE done;\n");
            databases.push(database);
        }
    }
    let [strategy] = &blocks(PAGE, "forecast", "toml")[..] else { panic!("one block") };
    project.write("strategy.toml", strategy);
    let mut world = World::start(project, databases, &spec).await;
    world.cli = Cli::new(&world.project, &world.cluster, more);
    Some(world)
}

/// The large target's step is under way.
async fn until_at_work(world: &World, rollout: &str, target: &str) {
    let at_work =
        |lane: &Lane| lane.state() == LaneState::Leased && lane.backed_up && lane.applied == 0;
    world.until_lane((rollout, target), "is at work", at_work).await;
}

/// What was said of steps that took longer.
async fn overruns(world: &World) -> Vec<StepOverran> {
    let events = world.client.events(0).await.expect("the log can be read").into_iter();
    let bodies = events.filter_map(|event| event.body);
    bodies
        .filter_map(|body| if let Body::StepOverran(it) = body { Some(it) } else { None })
        .collect()
}

/// Each step that was run says what its engine wrote for it.
async fn told_what_was_written(world: &World) {
    let events = world.client.events(0).await.expect("the log can be read").into_iter();
    let applied = events.filter_map(|event| match event.body {
        Some(Body::StepApplied(it)) => Some((it.target, it.applied.unwrap_or_default())),
        _ => None,
    });
    let ran: Vec<_> = applied.filter(|(_, applied)| !applied.already).collect();
    assert_eq!(ran.len(), world.databases.len(), "{ran:?}");
    for (target, applied) in &ran {
        // A table and a row at least; a database of the test's size at most, and what others write.
        let written = applied.written_bytes.unwrap_or_default();
        assert!((1_000..1 << 30).contains(&written), "{target}: {applied:?}");
    }
}

async fn end(world: World, in_force: &[&str]) {
    world.all_at(in_force).await;
    world.end().await;
}

/// What a wall clock shows so many hours from now.
fn clock(hours: i64) -> String {
    let moment = Timestamp::now() + SignedDuration::from_hours(hours);
    TimeZone::UTC.to_datetime(moment).strftime("%H:%M").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forecast_page_is_followed_command_by_command() {
    let test = "the_forecast_page_is_followed_command_by_command";
    // Open now, for some hours.
    let (from, to) = (clock(-2), clock(3));
    let window =
        format!("[[window]]\nname = \"now\"\nfrom = {from:?}\nto = {to:?}\nzone = \"UTC\"\n");
    let Some(world) = start(test, &[("eu", Engine::Postgres)], &window).await else {
        return;
    };
    let mut page = Runbook::on(PAGE, "forecast");
    page.place("migrations", "eu");

    let plan = world.follow(&mut page, "skein plan").await.stdout;
    assert!(plan.contains("How long: not known, nothing of it was ever measured."), "{plan}");
    world.follow(&mut page, "skein apply").await;
    until_at_work(&world, "mig-0001", "eu-9").await;
    until("it is said that the step takes longer", LIMIT, || async {
        overruns(&world).await.len() == 1
    })
    .await;

    let status = world.follow(&mut page, "skein status").await.stdout;
    assert!(
        status.contains("1 on eu-9 has taken") && status.contains("longer than was"),
        "{status}"
    );
    let why = world.follow(&mut page, "skein explain").await.stdout;
    assert!(why.contains("longer than was forecast for it"), "{why}");
    let log = world.follow(&mut page, "skein history").await.stdout;
    assert!(log.contains("was forecast from 5 measurements"), "{log}");
    assert!(log.contains("iB written"), "{log}");
    world.follow(&mut page, "skein watch").await;

    // Taken back and planned anew, now that all of it was measured.
    world.follow(&mut page, "skein rollback").await;
    let again = world.follow(&mut page, "skein plan").await.stdout;
    page.ends();
    for said in
        ["How long: ", "One wave after the other", "backup before: ", "5 of 5 targets", ", writes "]
    {
        assert!(again.contains(said), "{said}\n{again}");
    }
    assert!(!again.contains("never measured"), "{again}");
    end(world, &[]).await;
}

/// On each engine, with one leader that dies between the beginning of the large step and the word that it takes long:
/// the next one says it, once, and all ends as it would have.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_target_overruns_what_small_ones_measured() {
    let test = "a_large_target_overruns_what_small_ones_measured";
    let engines = [("pg", Engine::Postgres), ("my", Engine::Mysql), ("lite", Engine::Sqlite)];
    let Some(mut world) = start(test, &engines, "").await else { return };
    let rollouts = ["mig-0001", "mig-0002", "mig-0003"];
    for (prefix, _) in engines {
        let apply =
            format!("apply {prefix} --on {prefix}-* --strategy strategy.toml --yes --detach");
        world.cli.run(&apply).await.exits(0);
    }
    for (rollout, (prefix, _)) in rollouts.iter().zip(engines) {
        until_at_work(&world, rollout, &format!("{prefix}-9")).await;
    }

    world.behead().await;

    for rollout in rollouts {
        let done = until_some("a rollout ends", LIMIT, || async {
            let status = world.client.rollout(rollout).await.ok()?;
            (status.state() == RolloutState::Completed).then_some(status)
        });
        assert_eq!(done.await.overran_count, 0, "nothing is under way any more");
    }
    let overran = overruns(&world).await;
    let mut late: Vec<&str> = overran.iter().map(|it| it.target.as_str()).collect();
    late.sort_unstable();
    assert_eq!(late, ["lite-9", "my-9", "pg-9"], "{overran:?}");
    for it in &overran {
        let forecast = it.forecast.expect("it says what was forecast");
        assert_eq!(forecast.samples, SMALL as u64);
        assert!(it.ms > forecast.p95_ms && forecast.p50_ms <= forecast.p95_ms, "{it:?}");
    }
    told_what_was_written(&world).await;
    end(world, &["1"]).await;
}
