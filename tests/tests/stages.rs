//! Stages: what one brings is in force on every target before the next begins anywhere, over real servers. The
//! commands are those of `docs/stages.md`.

mod support;

use std::sync::Arc;

use skein_agent::db::Engine;
use skein_proto::log::v1::event::Body;
use skein_proto::v1::{RolloutState, RolloutStatus};
use support::{AgentSpec, Project, Runbook, Server, World, blocks, databases};

const PAGE: &str = "stages.md";

/// Three migrations: a column, its contents, and the old one dropped. `extra` runs in the last one.
fn migrations(project: &Project, extra: &str) {
    let all = [
        (
            "ALTER TABLE people ADD COLUMN email varchar(80);\n",
            "ALTER TABLE people DROP COLUMN email;\n",
        ),
        (
            "INSERT INTO done VALUES (1);\nUPDATE people SET email = concat(name, '@example.org');\n",
            "DELETE FROM done WHERE id = 1;\n",
        ),
        ("CREATE TABLE contracted (id int);\n", "DROP TABLE contracted;\n"),
    ];
    for ((up, down), version) in all.iter().zip(1..) {
        let more = if version == 3 { extra } else { "" };
        project.migration(&format!("migrations/{version:04}_step"), &format!("{up}{more}"), down);
    }
}

/// Databases with people in them, and one agent beside them.
async fn start(name: &str, targets: &[(&str, &Server)], extra: &str) -> World {
    let project = Arc::new(Project::new(name));
    migrations(&project, extra);
    let strategy =
        blocks(PAGE, "stages", "toml").into_iter().next().expect("the page has a strategy");
    project.write("strategy.toml", &strategy);
    let databases = databases(targets).await;
    for database in &databases {
        for sql in [
            "CREATE TABLE people (id int PRIMARY KEY, name varchar(40))",
            "INSERT INTO people VALUES (1, 'ann'), (2, 'bob')",
            "CREATE TABLE done (id int PRIMARY KEY)",
        ] {
            database.raw(sql).await.expect("it runs");
        }
    }
    let spec = AgentSpec::new("a1").serve(&databases);
    World::start(project, databases, &spec).await
}

/// In each database, so many versions.
async fn in_force(world: &World) -> Vec<usize> {
    world.in_force().await.iter().map(Vec::len).collect()
}

/// Every step of the log, in its order: what was verified where, and which waves opened.
async fn all_told(world: &World) -> Vec<String> {
    let events = world.client.events(0).await.expect("the log can be read");
    let told = |body: Body| match body {
        Body::StepVerified(step) => Some(step.version),
        Body::WaveStarted(it) => Some(format!("wave {}", it.wave)),
        _ => None,
    };
    events.into_iter().filter_map(|event| told(event.body?)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_stages_is_followed() {
    let test = "the_page_about_stages_is_followed";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let Some(mariadb) = Server::shared(Engine::Mysql, test) else { return };
    let targets = [("eu-1", &postgres), ("eu-2", &mariadb), ("us-1", &postgres)];
    let world = start("stages-page", &targets, "").await;
    // In the way of one target.
    world.databases[1].raw("INSERT INTO done VALUES (1)").await.expect("it runs");
    let mut page = Runbook::on(PAGE, "stages");

    let plan = world.cli.follow(&mut page, "skein plan").await.exits(0).stdout;
    assert!(plan.contains("expand: canary") && plan.contains("contract: rest"), "{plan}");
    let ran = world.cli.follow(&mut page, "skein apply").await;
    assert_eq!(ran.code, Some(31), "{ran:?}");
    assert_eq!(in_force(&world).await, [2, 1, 2]);

    for begins in ["skein status", "skein explain"] {
        let said = world.cli.follow(&mut page, begins).await.stdout;
        assert!(said.contains("stage `expand` is not in force on 1 target (eu-2)"), "{said}");
    }

    world.databases[1].raw("DELETE FROM done").await.expect("it runs");
    world.cli.follow(&mut page, "skein resume").await.exits(0);
    assert_eq!(in_force(&world).await, [3, 3, 3]);
    let told = all_told(&world).await;
    let contract = told.iter().position(|it| it == "wave 2").expect("a wave of the second stage");
    assert_eq!(told[..contract].iter().filter(|it| *it == "2").count(), 3, "{told:?}");
    assert!(told[..contract].iter().all(|it| it != "3"), "{told:?}");
    for version in ["1", "2", "3"] {
        assert_eq!(told.iter().filter(|it| *it == version).count(), 3, "each once: {told:?}");
    }
    world.cli.follow(&mut page, "skein targets").await.exits(0);
    page.ends();
    world.end().await;
}

/// The leader is killed while a stage ends, and while a later one is taken back: the end is the same as without.
#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_breaks_is_taken_back_and_the_one_before_it_stays_whoever_leads() {
    let test = "a_stage_that_breaks_is_taken_back_and_the_one_before_it_stays_whoever_leads";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let targets =
        [("eu-1", &postgres), ("eu-2", &postgres), ("us-1", &postgres), ("us-2", &postgres)];
    // Slow, and it fails where somebody says so.
    let slow = "SELECT pg_sleep(0.4);\nINSERT INTO done VALUES (3);\n";
    let mut world = start("stages-killed", &targets, slow).await;
    for place in [2, 3] {
        world.databases[place].raw("INSERT INTO done VALUES (3)").await.expect("it runs");
    }
    let before: Vec<String> = {
        let mut schemas = Vec::new();
        for database in &world.databases {
            schemas.push(database.schema().await);
        }
        schemas
    };
    let apply =
        "apply migrations --strategy strategy.toml --yes --detach --retries 0 --parallelism 1";
    world.cli.run(apply).await.exits(0);
    world.until_it("mig-0001", "the second stage has begun", |it| it.wave >= 2).await;
    world.behead().await;
    world
        .until_it("mig-0001", "its wave is taken back", |it| it.state() == RolloutState::Unwinding)
        .await;
    world.behead().await;
    let ended =
        |it: &RolloutStatus| matches!(it.state(), RolloutState::RolledBack | RolloutState::Halted);
    world.until_it("mig-0001", "it has ended", ended).await;
    // The canary's contract stays: the breach was of the second wave. All others have what the first stage brought.
    assert_eq!(in_force(&world).await, [3, 2, 2, 2]);
    let told = all_told(&world).await;
    for version in ["1", "2"] {
        assert_eq!(told.iter().filter(|it| *it == version).count(), 4, "each once: {told:?}");
    }
    // All of it goes back, to what was there before.
    world.cli.run("rollback mig-0001 --yes").await.exits(0);
    assert_eq!(in_force(&world).await, [0, 0, 0, 0]);
    for (database, before) in world.databases.iter().zip(before) {
        assert_eq!(database.schema().await, before, "{}", database.id);
    }
    world.end().await;
}

/// Who is held while it is done with its stage does not begin the next one, and a wave of a later stage is held before it
/// opens, whoever leads.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_before_its_next_stage_waits_there_whoever_leads() {
    let test = "what_is_held_before_its_next_stage_waits_there_whoever_leads";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let targets = ["eu-1", "eu-2", "us-1"].map(|id| (id, &postgres));
    let mut world = start("stages-held", &targets, "").await;
    let strategy = "[[stage]]\nname = \"expand\"\nto = \"2\"\n\n[[wave]]\nname = \"canary\"\ncount = 1\n\n\
                    [[wave]]\nname = \"rest\"\napproval = true\n";
    world.project.write("strategy.toml", strategy);
    let apply = "apply migrations --strategy strategy.toml --yes --detach";
    world.cli.run(apply).await.exits(0);
    let waits = async |world: &World, what: &str| {
        world.until_it("mig-0001", what, |it| it.reason.contains(what)).await;
    };
    waits(&world, "waits for somebody's word").await;
    for words in [
        &["pause", "mig-0001", "--on", "eu-1", "--reason", "a fair"][..],
        &["pause", "mig-0001", "--wave", "4", "--reason", "not before noon"],
        &["approve", "mig-0001"],
    ] {
        world.cli.run_words(words).await.exits(0);
    }
    world.behead().await;
    waits(&world, "held by somebody, such as eu-1").await;
    assert_eq!(in_force(&world).await, [2, 2, 2]);
    let why = world.cli.run("explain mig-0001 eu-1").await.exits(0).stdout;
    assert!(why.contains("somebody holds it: a fair"), "{why}");
    world.cli.run("resume mig-0001 --on eu-1 --detach").await.exits(0);
    waits(&world, "waits for somebody's word").await;
    assert_eq!(in_force(&world).await, [3, 2, 2]);
    world.cli.run("approve mig-0001").await.exits(0);
    waits(&world, "held by somebody, such as eu-2").await;
    world.behead().await;
    waits(&world, "held by somebody, such as eu-2").await;
    assert_eq!(in_force(&world).await, [3, 2, 2]);
    let why = world.cli.run("explain mig-0001 us-1").await.exits(0).stdout;
    assert!(why.contains("somebody holds it: not before noon"), "{why}");
    world.cli.run("resume mig-0001 --wave 4").await.exits(0);
    assert_eq!(in_force(&world).await, [3, 3, 3]);
    let told = all_told(&world).await;
    for version in ["1", "2", "3"] {
        assert_eq!(told.iter().filter(|it| *it == version).count(), 3, "each once: {told:?}");
    }
    world.end().await;
}
