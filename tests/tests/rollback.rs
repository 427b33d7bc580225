//! A part of a rollout taken back: a region, a wave, to a version, to a time, over real servers and with nothing
//! but what is in the log. The commands are those of `docs/rollback.md`.

mod support;

use std::sync::Arc;
use std::time::Duration;

use skein_agent::db::Engine;
use skein_cli::render::look::rfc3339;
use skein_proto::log::v1::event::Body;
use skein_proto::v1::RolloutState;
use support::{Agent, AgentSpec, Project, Runbook, Server, World, databases, until};

const LIMIT: Duration = Duration::from_mins(2);
const STRATEGY: &str =
    "parallelism = 1\ncover_classes = false\n\n[[wave]]\nname = \"canary\"\ncount = 2\n";

/// Databases with one agent beside them, in waves by region.
async fn start(name: &str, targets: &[(&str, &Server)], migrations: &[(String, String)]) -> World {
    let project = Arc::new(Project::new(name));
    for ((up, down), version) in migrations.iter().zip(1..) {
        project.migration(&format!("migrations/{version:04}_table"), up, down);
    }
    project.write("strategy.toml", STRATEGY);
    let databases = databases(targets).await;
    let spec = AgentSpec::new("a1").serve_regions(&databases);
    World::start(project, databases, &spec).await
}

async fn follow(world: &World, page: &mut Runbook, begins: &str) -> String {
    world.follow(page, begins).await.stdout
}

/// So many versions are in force in each target.
async fn are(world: &World, wanted: &[(&str, usize)]) {
    let found: Vec<usize> = world.in_force().await.iter().map(Vec::len).collect();
    let ids = world.databases.iter().map(|database| database.id.as_str());
    assert_eq!(ids.zip(found).collect::<Vec<_>>(), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_rollbacks_is_followed() {
    let test = "the_page_about_rollbacks_is_followed";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let Some(mariadb) = Server::shared(Engine::Mysql, test) else { return };
    let place = Project::new("rollback-files");
    let sqlite = Server::sqlite(&place.join("db"));
    let migrations: Vec<(String, String)> = (1..=3)
        .map(|version| {
            let table =
                format!("CREATE TABLE t{version} (id int PRIMARY KEY, note varchar(40));\n");
            (table, format!("DROP TABLE t{version};\n"))
        })
        .collect();
    let targets = [("ap-1", &sqlite), ("eu-1", &postgres), ("eu-2", &mariadb), ("us-1", &postgres)];
    let mut world = start("rollback-page", &targets, &migrations).await;
    let mut page = Runbook::on("rollback.md", "rollback");
    follow(&world, &mut page, "skein apply").await;

    // Nothing but the log: no directory, and an agent that has forgotten every bundle.
    world.agents[0].kill9();
    for folder in ["migrations", "a1-cache"] {
        std::fs::remove_dir_all(world.project.join(folder)).expect("it was there");
    }
    world.agents[0].restart();
    let ids: Vec<&str> = targets.iter().map(|(id, _)| *id).collect();
    Agent::until_observed(&world.client, &ids).await;

    let plan = follow(&world, &mut page, "skein rollback mig-0001 --plan").await;
    assert!(plan.contains("3 2 1") && plan.contains("12 steps on 4 targets"), "{plan}");
    assert!(plan.contains("Undoing destroys what was written since on 4 targets"), "{plan}");
    // The last wave is undone first.
    let place = |id: &str| plan.find(id).unwrap_or_else(|| panic!("{id}: {plan}"));
    assert!(place("us-1") < place("ap-1") && place("eu-2") < place("eu-1"), "{plan}");
    let plan = follow(&world, &mut page, "skein rollback mig-0001 --to 1 --plan").await;
    assert!(plan.contains("8 steps on 4 targets"), "{plan}");
    are(&world, &[("ap-1", 3), ("eu-1", 3), ("eu-2", 3), ("us-1", 3)]).await;

    follow(&world, &mut page, "skein rollback mig-0001 --label").await;
    are(&world, &[("ap-1", 3), ("eu-1", 3), ("eu-2", 3), ("us-1", 2)]).await;
    follow(&world, &mut page, "skein rollback mig-0001 --wave").await;
    are(&world, &[("ap-1", 3), ("eu-1", 3), ("eu-2", 1), ("us-1", 1)]).await;
    follow(&world, &mut page, "skein targets").await;

    for (words, said) in [
        (
            &["rollback", "mig-0001", "--to", "7", "--plan"][..],
            "7 was not the newest version in force",
        ),
        (&["rollback", "mig-0001", "--wave", "9", "--plan"], "has no wave 9"),
        (&["rollback", "mig-0001", "--to-time", "2999-01-01", "--plan"], "a time that has passed"),
    ] {
        let ran = world.cli.run_words(words).await;
        assert!(ran.code != Some(0) && ran.stderr.contains(said), "{words:?}: {ran:?}");
    }
    let ran = world.cli.run_words(&["rollback", "mig-0001", "--to", "1", "--step", "1"]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");

    // To when the first target had its second step, and no other had begun: one after the other they went.
    let events = world.client.events(0).await.expect("the log can be read");
    let at = events.iter().find_map(|event| match &event.body {
        Some(Body::StepVerified(step)) if step.target == "ap-1" && step.version == "2" => {
            Some(event.at_ms)
        }
        _ => None,
    });
    let at = at.expect("it was verified");
    let then = |id: &str| {
        let applied = events.iter().filter(|event| {
            matches!(&event.body, Some(Body::StepApplied(step)) if step.target == id)
                && event.at_ms <= at
        });
        applied.count()
    };
    let then: Vec<(&str, usize)> = ids.iter().map(|id| (*id, then(id))).collect();
    assert!(then[1].1 == 0 && then[0].1 >= 2, "{then:?}");
    page.place("2026-11-27T03:00:00Z", rfc3339(at));
    follow(&world, &mut page, "skein rollback mig-0001 --to-time").await;
    are(&world, &[("ap-1", 3), ("eu-1", 3), ("eu-2", 1), ("us-1", 1)]).await;
    follow(&world, &mut page, "skein rollback mig-0001 --to-time").await;
    are(&world, &then).await;
    let status = follow(&world, &mut page, "skein status").await;
    assert!(status.contains("rolled back"), "{status}");
    page.ends();
    world.end().await;
}

/// The leader is killed while a wave is taken back: what comes of it is what comes of it without.
#[tokio::test(flavor = "multi_thread")]
async fn a_followed_rollback_of_a_wave_ends_alike_whoever_leads() {
    let test = "a_followed_rollback_of_a_wave_ends_alike_whoever_leads";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let migrations: Vec<(String, String)> = (1..=5)
        .map(|version| {
            let down = format!("DROP TABLE t{version}; SELECT pg_sleep(0.3);\n");
            (format!("CREATE TABLE t{version} (id int PRIMARY KEY);\n"), down)
        })
        .collect();
    let targets = ["eu-1", "eu-2", "us-1"].map(|id| (id, &postgres));
    let mut world = start("rollback-killed", &targets, &migrations).await;
    let before = world.databases[2].schema().await;
    world.cli.run("apply migrations --strategy strategy.toml --yes").await.exits(0);
    let wave = ["rollback", "mig-0001", "--wave", "2", "--yes", "--detach"];
    world.cli.run_words(&wave).await.exits(0);
    world.until_it("mig-0001", "it is being undone", |it| (1..5).contains(&it.steps_undone)).await;
    world.behead().await;
    world
        .until_it("mig-0001", "it is rolled back", |it| it.state() == RolloutState::RolledBack)
        .await;
    are(&world, &[("eu-1", 5), ("eu-2", 5), ("us-1", 0)]).await;
    assert_eq!(world.databases[2].schema().await, before);
    let undone: Vec<String> = world
        .client
        .events(0)
        .await
        .expect("the log can be read")
        .into_iter()
        .filter_map(|event| match event.body {
            Some(Body::StepRolledBack(step)) => Some(step.version),
            _ => None,
        })
        .collect();
    assert_eq!(undone, ["5", "4", "3", "2", "1"]);
    world.end().await;
}

/// Leader and agent are killed while half of a down script stands, on the engine that takes back statement by
/// statement: it is completed from there, once, and the others follow.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_killed_in_half_a_script_on_mariadb_ends_alike() {
    let test = "a_rollback_killed_in_half_a_script_on_mariadb_ends_alike";
    let Some(mariadb) = Server::shared(Engine::Mysql, test) else { return };
    let migrations: Vec<(String, String)> = (1..=3)
        .map(|version| {
            let up = format!(
                "CREATE TABLE t{version} (id int PRIMARY KEY);\nCREATE TABLE u{version} (id int);\n"
            );
            let down = format!(
                "DROP TABLE t{version};\nINSERT INTO u{version} SELECT SLEEP(1.5);\nDROP TABLE u{version};\n"
            );
            (up, down)
        })
        .collect();
    let mut world = start("rollback-half", &[("eu-1", &mariadb)], &migrations).await;
    let database = &world.databases[0];
    let before = database.schema().await;
    world.cli.run("apply migrations --yes").await.exits(0);
    world.cli.run("rollback mig-0001 --yes --detach").await.exits(0);
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND \
                  table_name IN ('t2', 'u2')";
    let half = || async { database.column(tables).await.is_ok_and(|left| left == ["u2"]) };
    until("half of a script has run", LIMIT, half).await;
    world.agents[0].kill9();
    world.behead().await;
    assert_eq!(world.databases[0].in_force().await.len(), 2, "no row says that it is undone");
    world.agents[0].restart();
    world
        .until_it("mig-0001", "it is rolled back", |it| it.state() == RolloutState::RolledBack)
        .await;
    are(&world, &[("eu-1", 0)]).await;
    assert_eq!(world.databases[0].schema().await, before);
    let mut undone = Vec::new();
    for event in world.client.events(0).await.expect("the log can be read") {
        if let Some(Body::StepRolledBack(step)) = event.body {
            undone.push(step.version);
        }
    }
    assert_eq!(undone, ["3", "2", "1"]);
    world.end().await;
}
