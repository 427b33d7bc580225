//! How long steps take by the rows of the tables that they touch, over real servers: databases of one size, of which the
//! table that a step names is small or large; the leader is killed in the midst of it. The commands are those of
//! `docs/forecast.md`.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use skein_agent::db::Engine;
use skein_proto::log::v1::event::Body;
use support::{AgentSpec, Project, Runbook, Server, World, blocks};

const PAGE: &str = "forecast.md";
/// Rows of the table that the step names, in the targets that are measured first: as many as a line needs.
const MEASURED: [u32; 10] = [2, 4, 6, 8, 10, 12, 14, 16, 18, 20];
/// And in the two that come after them, of which the one with few rows is the larger database.
const LATER: [(&str, u32, u32); 2] = [("few", 1, 6_000), ("many", 40, 3_000)];
/// Rows of a table that no step names.
const ARCHIVE: u32 = 3_000;

/// Two tables, filled; a step that takes its time for each row of one of them, and writes much for it.
fn work(engine: Engine, orders: u32, archive: u32) -> (String, &'static str) {
    let fill = |table: &str, rows: u32| match engine {
        Engine::Postgres => format!(
            "INSERT INTO {table} SELECT n, repeat('x', 1500) FROM generate_series(1, {rows}) n;"
        ),
        Engine::Mysql => {
            format!("INSERT INTO {table} SELECT seq, repeat('x', 1500) FROM seq_1_to_{rows};")
        }
        Engine::Sqlite => format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {rows}) \
             INSERT INTO {table} SELECT n, hex(zeroblob(750)) FROM n;"
        ),
    };
    let step = match engine {
        Engine::Postgres => {
            "INSERT INTO done SELECT n, body FROM Orders, generate_series(1, 100) n \
             WHERE n > 1 OR pg_sleep(0.05 + 0 * Orders.id) IS NOT NULL;"
        }
        Engine::Mysql => {
            "INSERT INTO done SELECT seq, IF(seq > 1 OR SLEEP(0.05) = 0, body, '') \
             FROM `orders`, seq_1_to_100;"
        }
        Engine::Sqlite => {
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100) \
             INSERT INTO done SELECT n, body FROM \"ORDERS\", n;\n\
             WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < \
             (SELECT 100000 * count(*) FROM orders)) INSERT INTO done SELECT max(x), '' FROM c;"
        }
    };
    let make = "CREATE TABLE orders (id int, body text); CREATE TABLE archive (id int, body text);";
    (format!("{make}\n{}\n{}", fill("orders", orders), fill("archive", archive)), step)
}

/// Targets of each engine, with one agent beside them. `None`: a server is missing, which was said.
async fn start(test: &str, engines: &[(&str, Engine)]) -> Option<World> {
    let project = Arc::new(Project::new(test));
    let mut spec = AgentSpec::new("a1");
    spec.slots = 8;
    let mut databases = Vec::new();
    let measured = MEASURED.iter().zip(1..);
    let measured: Vec<_> = measured.map(|(rows, n)| (format!("{n}"), *rows, ARCHIVE)).collect();
    let later = LATER.map(|(name, orders, archive)| (name.to_owned(), orders, archive));
    for (prefix, engine) in engines {
        let server = Server::of(*engine, &project, test)?;
        for (name, orders, archive) in measured.iter().chain(&later) {
            let database = server.database(&format!("{prefix}-{name}")).await;
            let (tables, step) = work(*engine, *orders, *archive);
            database.raw(&tables).await.expect("tables can be made");
            let first = name.parse::<u32>().is_ok();
            let labels = format!("{{ first = \"{first}\" }}");
            spec.targets.push((database.id.clone(), database.url.clone(), labels));
            let up = format!("CREATE TABLE done (id bigint, body text);\n{step} -- archive\n");
            project.migration(&format!("{prefix}/0001_work"), &up, "DROP TABLE done;\n");
            databases.push(database);
        }
    }
    Some(World::start(project, databases, &spec).await)
}

/// Of each target whose step ran, by the names that forecasts have for it: what it took and what its engine
/// wrote, and rows of the table that it named.
async fn told(world: &World) -> BTreeMap<String, BTreeMap<&'static str, u64>> {
    let events = world.client.events(0).await.expect("the log can be read").into_iter();
    let applied = events.filter_map(|event| match event.body {
        Some(Body::StepApplied(it)) => Some((it.target, it.applied?)),
        _ => None,
    });
    let told = applied.map(|(target, it)| {
        let rows = it.touched_rows.expect("its agent tells what it touched");
        let written = it.written_bytes.expect("its engine tells what it wrote");
        (target, [("p50_ms", it.ms), ("p50_bytes", written), ("touched_rows", rows)].into())
    });
    told.collect()
}

async fn planned(world: &World, prefix: &str, target: &str) -> Value {
    let plan = world.ran(&format!("plan {prefix} --on {prefix}-{target} -o json")).await;
    plan.json()["classes"][0]["steps"][0]["forecast"].clone()
}

async fn end(world: World) {
    world.all_at(&["1"]).await;
    world.end().await;
}

fn number(forecast: &Value, name: &str) -> u64 {
    forecast[name].as_u64().unwrap_or_else(|| panic!("no {name} in {forecast}"))
}

/// What an agent measures by and what the core forecasts by is one rule, said in two places that may not import each
/// other: which tables count, in which order, and when those that do not are small for certain.
#[test]
fn what_a_step_touches_is_the_same_to_agents_and_to_the_core() {
    let (little, odd) = (1 << 13, u64::MAX);
    let mut seen = BTreeMap::new();
    for tables in [0, 1, 15, 16, 17, 40] {
        for least in [0, 1, little - 1, little, little + 1, odd - 1] {
            for odds in [0, 1, 16] {
                let rows =
                    |n: u64| if n < odds { odd } else { least.saturating_add(n).min(odd - 1) };
                let told = (0..tables).map(|n| (format!("t{n}"), rows(n)));
                let agent = skein_agent::db::Tables::new(Engine::Sqlite, told);
                let core = skein_core::state::tables::Tables::new(agent.iter());
                let case = format!("{tables} tables of {least} rows and more, {odds} odd");
                assert_eq!(agent.is_complete(), core.is_complete(), "{case}");
                // The core has lost nothing, and what the agent says of each is what it counts with.
                let by_name: BTreeMap<u32, u64> = agent.iter().collect();
                assert_eq!(core.iter().collect::<BTreeMap<_, _>>(), by_name, "{case}");
                for n in 0..tables {
                    let touched = agent.touched(Engine::Sqlite, &format!("DELETE FROM t{n}"));
                    let name = skein_bundle::sql::names::number(
                        Engine::Sqlite.dialect(),
                        &format!("t{n}"),
                    );
                    let listed = by_name.get(&name).copied();
                    let known = listed.or(core.is_complete().then_some(0));
                    assert_eq!(touched, known.filter(|rows| *rows != odd), "{case}: t{n}");
                }
                *seen.entry(core.is_complete()).or_insert(0) += 1;
            }
        }
    }
    assert!(seen.len() == 2 && seen.values().all(|cases| *cases > 10), "{seen:?}");
}

/// What was forecast of the later two comes nearer to the truth than what all of the first ones wrote, though the
/// one with the smaller table is the larger database.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_step_touches_says_more_than_the_size_of_its_database() {
    let test = "what_a_step_touches_says_more_than_the_size_of_its_database";
    let engines = [("pg", Engine::Postgres), ("my", Engine::Mysql), ("lite", Engine::Sqlite)];
    let Some(mut world) = start(test, &engines).await else { return };
    for (prefix, _) in engines {
        // One after the other: what a server writes is written for all.
        let apply =
            format!("apply {prefix} --on {prefix}-* --label first=true --parallelism 1 --yes");
        world.cli.run(&apply).await.exits(0);
    }
    let first = told(&world).await;
    assert_eq!(first.len(), engines.len() * MEASURED.len(), "{first:?}");
    for (prefix, _) in engines {
        for (rows, n) in MEASURED.iter().zip(1..) {
            let touched = first[&format!("{prefix}-{n}")]["touched_rows"];
            assert_eq!(touched, u64::from(*rows), "{prefix}-{n} of {first:?}");
        }
    }

    let mut before = BTreeMap::new();
    for (prefix, _) in engines {
        for (name, rows, _) in LATER {
            let forecast = planned(&world, prefix, name).await;
            assert_eq!(number(&forecast, "touched_rows"), u64::from(rows), "{prefix}-{name}");
            assert_eq!(number(&forecast, "samples"), MEASURED.len() as u64);
            assert_eq!(forecast["by_rows"], true, "{prefix}-{name}: {forecast}");
            before.insert((prefix, name), forecast);
        }
        let of = |name, figure| number(&before[&(prefix, name)], figure);
        assert!(of("few", "p95_ms") < of("many", "p50_ms"), "{before:?}");
        assert!(of("few", "p50_bytes") < of("many", "p50_bytes"), "{before:?}");
        assert_eq!(of("many", "beyond_rows"), 20);
    }

    // The next leader has read the same log.
    world.behead().await;
    for ((prefix, name), forecast) in &before {
        assert_eq!(&planned(&world, prefix, name).await, forecast, "{prefix}-{name}");
    }

    for (prefix, _) in engines {
        world
            .cli
            .run(&format!("apply {prefix} --on {prefix}-* --parallelism 1 --yes"))
            .await
            .exits(0);
    }
    let all = told(&world).await;
    for ((prefix, name), forecast) in &before {
        // A row takes its time on the servers, which others may use as well; a file is its own, and so is the time
        // of this machine.
        let what = if *prefix == "lite" { "p50_bytes" } else { "p50_ms" };
        let of_engine = first.iter().filter(|(target, _)| target.starts_with(prefix));
        let mut measured: Vec<u64> = of_engine.map(|(_, told)| told[what]).collect();
        measured.sort_unstable();
        let median = measured[measured.len() / 2];
        let truth = all[&format!("{prefix}-{name}")][what];
        let by_rows = number(forecast, what);
        assert!(
            by_rows.abs_diff(truth) < median.abs_diff(truth),
            "{prefix}-{name} had {what} {truth}: {by_rows} by rows, {median} whatever the size, of {measured:?}"
        );
    }
    end(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_touched_tables_is_followed_command_by_command() {
    let test = "the_page_on_touched_tables_is_followed_command_by_command";
    let Some(world) = start(test, &[("eu", Engine::Postgres)]).await else { return };
    let mut page = Runbook::on(PAGE, "tables");
    page.place("migrations", "eu");
    let said = blocks(PAGE, "tables", "text");
    let [said] = said.as_slice() else { panic!("one block") };

    let mut told = Vec::new();
    for begins in ["skein apply", "skein plan", "skein plan", "skein apply", "skein history"] {
        told.push(world.follow(&mut page, begins).await.stdout);
    }
    page.ends();
    let [_, few, many, _, history] = told.as_slice() else { panic!("five commands") };
    for line in said.lines() {
        for plan in [few, many] {
            assert!(plan.contains(line.trim()), "{line}\n{plan}");
        }
    }
    assert!(many.contains("(measured up to 20 rows, the most here is more)"), "{many}");
    assert!(!few.contains("measured up to 20 rows"), "{few}");
    assert!(history.contains("applied 1 to eu-many"), "{history}");
    end(world).await;
}
