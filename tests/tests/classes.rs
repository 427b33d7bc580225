//! Targets that stand apart, over real servers: shown in blocks with what is different, refused, or taken as they
//! are. The commands are those of `docs/classes.md`.

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use skein_proto::log::v1::event::Body;
use support::{AgentSpec, Project, Ran, Runbook, Server, World, until};

const LIMIT: Duration = Duration::from_mins(2);
const PAGE: &str = "classes.md";
/// What stands in schemas and is nobody's business.
const SECRET: &str = "hunter2";
const INDEX: &str = "CREATE INDEX by_total ON orders (total)";

/// So many databases of each engine, and one agent beside them. `None`: a server is missing, which was said. What
/// `by_hand` says is done in a database before anybody looks.
async fn start(test: &str, each: usize, by_hand: fn(&str) -> Vec<&str>) -> Option<World> {
    let project = Arc::new(Project::new(test));
    let servers = Server::three(&project, test)?;
    let mut databases = Vec::new();
    for (letter, server) in ["a", "b", "c"].into_iter().zip(&servers) {
        for number in 1..=each {
            let database = server.database(&format!("{letter}-{number}")).await;
            for sql in by_hand(&database.id) {
                database.raw(sql).await.expect("it is made by hand");
            }
            databases.push(database);
        }
    }
    project.table(1, "orders (id int PRIMARY KEY, total int)");
    let spec = AgentSpec::new("a1").serve(&databases);
    Some(World::start(project, databases, &spec).await)
}

async fn raw(world: &World, id: &str, sql: &str) {
    world.database(id).raw(sql).await.expect("it can be changed by hand");
}

async fn follow(world: &World, page: &mut Runbook, begins: &str, code: i32) -> Ran {
    let ran = world.cli.follow(page, begins).await.exits(code);
    assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "{ran:?}");
    ran
}

/// A plan that is refused, as JSON.
async fn blocks(world: &World) -> Vec<Value> {
    let ran = world.cli.run("plan migrations -o json").await.exits(41);
    let told = ran.json();
    assert_eq!((&told["type"], &told["accepted"]), (&"blocks".into(), &false.into()));
    told["blocks"].as_array().expect("a list").clone()
}

async fn end(world: World, versions: &[&str]) {
    world.all_at(versions).await;
    let events = world.client.events(0).await.expect("the log can be read");
    for event in events {
        assert!(!format!("{event:?}").contains(SECRET), "{event:?}");
    }
    assert!(!world.agents[0].log().contains(SECRET));
    world.end().await;
}

/// The block of a target.
fn of<'a>(blocks: &'a [Value], target: &str) -> &'a Value {
    let named = |block: &&Value| {
        block["targets"].as_array().expect("a list").iter().any(|named| named == target)
    };
    blocks.iter().find(named).unwrap_or_else(|| panic!("{target} is in none of {blocks:#?}"))
}

/// The objects that are different, in short, and all their lines.
fn objects(diff: &Value) -> (Vec<String>, String) {
    let objects = diff["objects"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let short = |it: &Value| format!("{} {}", text(&it["change"]), text(&it["kind"]));
    let lines = objects.iter().flat_map(|it| it["lines"].as_array().expect("lines")).map(text);
    (objects.iter().map(short).collect(), lines.collect::<Vec<_>>().join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_that_stand_apart_are_shown_refused_and_taken() {
    let test = "classes_that_stand_apart_are_shown_refused_and_taken";
    let Some(mut world) = start(test, 3, |_| Vec::new()).await else { return };
    world.cli.run("migrate migrations").await.exits(0);
    world.project.table(2, "carts (id int PRIMARY KEY)");
    let view = "CREATE VIEW big AS SELECT * FROM orders WHERE total > 100";
    raw(&world, "a-2", view).await;
    raw(&world, "a-3", view).await;
    raw(&world, "b-2", "CREATE INDEX by_total ON orders (total)").await;
    let column = format!(
        "ALTER TABLE orders ADD COLUMN note varchar(20) NOT NULL DEFAULT '{SECRET}' COMMENT '{SECRET}'"
    );
    raw(&world, "c-2", &column).await;

    let mut page = Runbook::on(PAGE, "held");
    let refused = follow(&world, &mut page, "skein plan", 41).await;
    for said in [
        "2 targets stand apart: SQLite at 1",
        "targets  a-2 a-3",
        "its schema is not what it was after the last step: changed by hand",
        "nearest  1 target at 1",
        "the same migrations in force",
        "+ view big is there",
        "1 target stands apart: PostgreSQL at 1",
        "by_total on public.orders is there",
        "~ table orders is different",
    ] {
        assert!(refused.stdout.contains(said), "{said}\n{}", refused.stdout);
    }
    assert!(refused.stderr.contains("4 targets stand apart, in 3 blocks"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--accept-drift"), "{}", refused.stderr);
    // The same for machines.
    let blocks = blocks(&world).await;
    assert_eq!(blocks.len(), 3);
    let mariadb = of(&blocks, "c-2");
    assert_eq!(mariadb["nearest"]["targets"], 2);
    let (changed, lines) = objects(&mariadb["diff"]);
    assert_eq!(changed, ["different table"]);
    assert!(lines.contains("`note` varchar(20) NOT NULL DEFAULT '#"), "{lines}");
    // Nothing was recorded.
    assert!(world.client.rollout("mig-0002").await.is_err());

    let told = follow(&world, &mut page, "skein targets diff", 41).await.stdout;
    assert!(told.contains("b-2, seen from b-1"), "{told}");
    assert!(told.contains("CREATE INDEX by_total ON public.orders USING btree (total)"), "{told}");
    world.cli.run("targets diff b-1 b-3").await.exits(0);
    world.cli.run("targets diff b-1 nowhere").await.exits(2);
    // Of two engines everything is different; that is told too.
    world.cli.run("targets diff a-1 b-1").await.exits(41);

    let plan = follow(&world, &mut page, "skein plan", 0).await.stdout;
    for said in ["2 targets stand apart, taken as they are: SQLite at 1", "+ view big is there"] {
        assert!(plan.contains(said), "{said}\n{plan}");
    }
    // What was accepted stands in the plan: whoever leads, that is what runs.
    world.behead().await;
    follow(&world, &mut page, "skein apply", 0).await;
    page.ends();
    let events = world.client.events(0).await.expect("the log can be read");
    let planned = events.into_iter().rev().find_map(|event| match event.body {
        Some(Body::RolloutPlanned(planned) | Body::RolloutPlannedInStages(planned)) => planned.plan,
        _ => None,
    });
    let accepted = planned.expect("it was planned").accepted;
    assert_eq!(accepted.len(), 3, "{accepted:?}");
    // What was left there is what they are held against now.
    world.project.table(3, "notes (id int PRIMARY KEY)");
    world.cli.run("migrate migrations").await.exits(0);
    end(world, &["1", "2", "3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_of_adopted_databases_are_compared_with_each_other() {
    let test = "classes_of_adopted_databases_are_compared_with_each_other";
    let by_hand = |id: &str| {
        let table = "CREATE TABLE orders (id int PRIMARY KEY, total int)";
        let lacks = ["a-3", "b-2", "c-1"].contains(&id);
        if lacks { vec![table] } else { vec![table, INDEX] }
    };
    let Some(world) = start(test, 3, by_hand).await else { return };
    world.project.table(2, "carts (id int PRIMARY KEY)");
    let mut page = Runbook::on(PAGE, "adopted");
    follow(&world, &mut page, "skein repair adopt", 0).await;
    let refused = follow(&world, &mut page, "skein plan", 41).await;
    let why = "no rollout worked on it yet, and 2 other targets with the same migrations in force have \
               another schema";
    assert!(refused.stdout.contains(why), "{}", refused.stdout);
    let blocks = blocks(&world).await;
    assert_eq!(blocks.len(), 3, "{blocks:#?}");
    for (target, expect) in
        [("a-3", "missing index"), ("b-2", "missing index"), ("c-1", "different table")]
    {
        let block = of(&blocks, target);
        assert_eq!(block["targets"].as_array().map(Vec::len), Some(1), "{block:#?}");
        let (changed, lines) = objects(&block["diff"]);
        assert_eq!(changed, [expect], "{block:#?}");
        assert!(lines.contains("by_total"), "{block:#?}");
        raw(&world, target, INDEX).await;
    }
    follow(&world, &mut page, "skein targets observe", 0).await;
    follow(&world, &mut page, "skein targets diff", 0).await;
    let plan = world.cli.run("plan migrations --accept-drift").await.exits(0).stdout;
    assert!(plan.contains("the schemas are the same"), "{plan}");
    follow(&world, &mut page, "skein apply", 0).await;
    page.ends();
    end(world, &["1", "2"]).await;
}

/// Whoever cannot be asked does not keep the rest from being told.
#[tokio::test(flavor = "multi_thread")]
async fn classes_are_told_where_no_agent_can_be_asked() {
    let test = "classes_are_told_where_no_agent_can_be_asked";
    let Some(mut world) = start(test, 2, |_| Vec::new()).await else { return };
    world.cli.run("migrate migrations").await.exits(0);
    world.project.table(2, "carts (id int PRIMARY KEY)");
    raw(&world, "b-2", "CREATE INDEX by_total ON orders (total)").await;
    world.cli.run("plan migrations").await.exits(41);
    world.agents[0].kill9();
    let told = async || world.cli.run("plan migrations --no-observe").await;
    until("its agent is known to be gone", LIMIT, || async {
        told().await.stdout.contains("not compared: b-1: no agent that serves it is connected")
    })
    .await;
    let ran = told().await.exits(41);
    assert!(ran.stdout.contains("1 target stands apart: PostgreSQL at 1"), "{}", ran.stdout);
    let ran = world.cli.run("targets diff b-1 b-2").await.exits(50);
    assert!(ran.stderr.contains("no agent that serves it is connected"), "{}", ran.stderr);
    world.agents[0].restart();
    let back = || async { world.cli.run("targets diff a-1 a-2").await.code == Some(0) };
    until("the agent is back", LIMIT, back).await;
    world.cli.run("apply migrations --accept-drift --yes").await.exits(0);
    end(world, &["1", "2"]).await;
}
