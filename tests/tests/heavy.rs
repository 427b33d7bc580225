//! Heavy steps over real servers: a host bears one of them at a time, whoever runs them, and light ones beside it. The
//! commands are those of `docs/strategy.md`.

mod support;

use std::sync::Arc;
use std::time::Duration;

use skein_agent::db::{Engine, Session, Timeouts};
use support::{AgentSpec, Project, Runbook, Server, World, blocks, until};

const LIMIT: Duration = Duration::from_mins(2);
const PAGE: &str = "strategy.md";

#[tokio::test(flavor = "multi_thread")]
async fn heavy_steps_take_the_places_of_their_host_and_light_ones_do_not() {
    let test = "heavy_steps_take_the_places_of_their_host_and_light_ones_do_not";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let Some(mariadb) = Server::shared(Engine::Mysql, test) else { return };
    let project = Arc::new(Project::new(test));
    for version in 1..=3 {
        project.table(version, &format!("t{version} (id int PRIMARY KEY)"));
    }
    let [strategy] = &blocks(PAGE, "heavy", "toml")[..] else { panic!("a strategy") };
    project.write("strategy.toml", strategy);
    let mut spec = AgentSpec::new("a1");
    spec.slots = 8;
    let mut databases = Vec::new();
    for (id, host) in [("b-1", "host-1"), ("b-2", "host-1"), ("b-3", "host-1"), ("c-1", "host-2")] {
        let server = if id == "c-1" { &mariadb } else { &postgres };
        let database = server.database(id).await;
        let group = format!("{{}}\ngroup = {host:?}");
        spec.targets.push((database.id.clone(), database.url.clone(), group));
        databases.push(database);
    }
    let mut world = World::start(project, databases, &spec).await;
    let in_force = async |world: &World, at: usize| world.databases[at].in_force().await;

    // One has the heavy step behind it: what is left for it is light.
    world.cli.run("migrate migrations --version 2 --on b-3").await.exits(0);
    let held = Session::open(&world.databases[0].location(), &Timeouts::default()).await;
    let held = held.expect("the target's lock is free");
    let mut page = Runbook::on(PAGE, "heavy");
    let plan = world.follow(&mut page, "skein plan").await.stdout;
    let said = "1 with heavy steps (2) for each resource group, over all rollouts";
    assert!(plan.contains(said), "{plan}");
    world.follow(&mut page, "skein apply").await;
    // Light on the same host, and heavy on another one.
    until("the others are done", LIMIT, || async {
        in_force(&world, 2).await.len() == 3 && in_force(&world, 3).await.len() == 3
    })
    .await;
    let why = world.follow(&mut page, "skein explain").await.stdout;
    let said =
        "1 target of resource group host-1 is worked on with heavy steps, and no more may be";
    assert!(why.contains(said), "{why}");
    assert!(in_force(&world, 1).await.is_empty(), "it began beside the other one");
    // Whoever leads next counts the same.
    world.behead().await;
    let why = world.cli.run("explain mig-0002 b-2").await.exits(0).stdout;
    assert!(why.contains(said), "{why}");
    world.follow(&mut page, "skein set").await;
    until("the second one is done", LIMIT, || async { in_force(&world, 1).await.len() == 3 }).await;
    assert!(in_force(&world, 0).await.is_empty(), "it was at work without its lock");
    held.close().await;
    world.follow(&mut page, "skein watch").await;
    page.ends();
    assert_eq!(in_force(&world, 0).await, ["1", "2", "3"]);
    let got = world.cli.run("get mig-0002").await.exits(0).stdout;
    assert!(got.contains("heavy.per_group"), "{got}");
    // By a flag, and refused where it says nothing.
    let refused = world.cli.run("plan migrations --on b-3 --heavy 9=1").await.exits(2).stderr;
    assert!(refused.contains("version 9 is named as heavy"), "{refused}");
    world.end().await;
}
