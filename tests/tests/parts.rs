//! Parts of a rollout over real servers: paused so that legs go on to their end or stop after their step, and given
//! up, with targets that come later. The commands are those of `docs/strategy.md`.

mod support;

use std::sync::Arc;
use std::time::Duration;

use skein_agent::db::Engine;
use skein_proto::log::v1::event::Body;
use skein_proto::v1::{Lane, LaneState, RolloutState};
use support::{
    AgentSpec, Cluster, Project, Runbook, Server, World, blocks, databases, once_each, until,
    until_some,
};

const LIMIT: Duration = Duration::from_mins(2);
const PAGE: &str = "strategy.md";
const STEPS: u32 = 8;
const ID: &str = "mig-0001";

/// Steps of half a second. `None`: the server is missing, which was said.
async fn start(test: &str, ids: &[&str]) -> Option<World> {
    let server = Server::shared(Engine::Postgres, test)?;
    let project = Arc::new(Project::new(test));
    for version in 1..=STEPS {
        let up = format!("CREATE TABLE t{version} (id int); SELECT pg_sleep(0.5);\n");
        let name = format!("migrations/{version:04}_table");
        project.migration(&name, &up, &format!("DROP TABLE t{version};\n"));
    }
    let [strategy] = &blocks(PAGE, "parts", "toml")[..] else { panic!("one strategy") };
    project.write("strategy.toml", strategy);
    let cluster = Cluster::start(&project).await;
    let targets: Vec<(&str, &Server)> = ids.iter().map(|id| (*id, &server)).collect();
    Some(World::of(project, cluster, databases(&targets).await).await)
}

/// An agent beside some of the databases comes.
async fn comes(world: &mut World, name: &str, ids: &[&str]) {
    let mut spec = AgentSpec::new(name).serve_regions(&world.databases);
    spec.slots = 8;
    spec.targets.retain(|(id, _, _)| ids.contains(&id.as_str()));
    world.comes(&spec).await;
}

async fn in_force(world: &World, target: &str) -> u32 {
    u32::try_from(world.database(target).in_force().await.len()).expect("few steps")
}

async fn lane(world: &World, target: &str) -> Lane {
    world.lane(ID, target).await.expect("it has a lane")
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_paused_and_given_up_as_the_page_says() {
    let test = "parts_are_paused_and_given_up_as_the_page_says";
    let ids = ["ap-1", "ap-2", "ap-3", "eu-1", "eu-2", "eu-3", "us-1", "us-2"];
    let Some(mut world) = start(test, &ids).await else { return };
    comes(&mut world, "a1", &["ap-1", "ap-2", "eu-1", "eu-2", "us-1", "us-2"]).await;
    let mut page = Runbook::on(PAGE, "parts");

    // One of each region is under way, and one waits for it.
    world.follow(&mut page, "skein apply").await;
    for id in ["ap-1", "eu-1", "us-1"] {
        world.until_lane((ID, id), "has begun", |lane| lane.applied > 0).await;
    }
    world.follow(&mut page, "skein pause mig-0001 --label region=us").await;
    world.follow(&mut page, "skein pause mig-0001 --label region=eu --now").await;
    world.follow(&mut page, "skein abort mig-0001 --label region=ap").await;
    world.behead().await;

    // At once: after the step. Plainly: after the last one. Given up: after the step, and for good.
    let stopped = world.until_is((ID, "eu-1"), LaneState::Ready).await;
    assert!((1..STEPS).contains(&stopped.applied), "{stopped:?}");
    let left = world.until_is((ID, "ap-1"), LaneState::Waived).await;
    assert!((1..STEPS).contains(&left.applied), "{left:?}");
    let done = world.until_is((ID, "us-1"), LaneState::Done).await;
    assert_eq!(done.applied, STEPS, "{done:?}");
    for id in ["ap-2", "eu-2", "us-2"] {
        let lane = lane(&world, id).await;
        assert_eq!(lane.applied, 0, "{lane:?}");
    }

    // Who comes later is of the same part.
    comes(&mut world, "a2", &["ap-3", "eu-3"]).await;
    let held = world.until_lane((ID, "eu-3"), "is held", |lane| !lane.held.is_empty()).await;
    assert_eq!(held.applied, 0, "{held:?}");
    world.until_is((ID, "ap-3"), LaneState::Waived).await;
    let why = world.follow(&mut page, "skein explain mig-0001 eu-1").await.stdout;
    assert!(why.contains("somebody holds it: an incident"), "{why}");
    let why = world.follow(&mut page, "skein explain mig-0001 ap-1").await.stdout;
    assert!(why.contains("goes on without it") && why.contains("test: sold"), "{why}");

    world.follow(&mut page, "skein resume mig-0001 --label region=eu").await;
    world.follow(&mut page, "skein resume mig-0001 --label region=us").await;
    world.follow(&mut page, "skein watch").await;
    page.ends();
    let status = world.client.rollout("mig-0001").await.expect("a status");
    assert_eq!(status.state(), RolloutState::Completed, "{status:?}");
    for id in ["eu-1", "eu-2", "eu-3", "us-1", "us-2"] {
        assert_eq!(in_force(&world, id).await, STEPS, "{id}");
    }
    assert_eq!(in_force(&world, "ap-1").await, left.applied);
    assert_eq!((in_force(&world, "ap-2").await, in_force(&world, "ap-3").await), (0, 0));

    let log = world.cli.run("history --rollout mig-0001 -o jsonl").await.exits(0).stdout;
    for said in [
        "holds 2 targets, such as eu-1 (and who comes later of region=eu): an incident",
        "gave up 2 targets, such as ap-1 (and who comes later of region=ap): sold",
    ] {
        assert!(log.contains(said), "{said}\n{log}");
    }
    let refused = world.cli.run("abort mig-0001 --on eu-1").await.exits(21);
    assert!(refused.stderr.contains("has ended"), "{}", refused.stderr);

    // Nothing is lost on it: a plan begins where it stands.
    let plan = world.cli.run("plan migrations --on ap-1").await.exits(0).stdout;
    let lacking = format!("{} step", STEPS - left.applied);
    assert!(plan.contains(&lacking), "{lacking}\n{plan}");
    end(world).await;
}

/// A plain pause: who is under way goes on to its last step, and nobody else begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_pause_lets_legs_go_on_to_their_last_step() {
    let test = "a_plain_pause_lets_legs_go_on_to_their_last_step";
    let Some(mut world) = start(test, &["eu-1", "eu-2"]).await else { return };
    comes(&mut world, "a1", &["eu-1", "eu-2"]).await;
    world.cli.run("apply migrations --parallelism 1 --yes --detach").await.exits(0);
    world.until_lane((ID, "eu-1"), "has begun", |lane| lane.applied > 0).await;
    world.cli.run("pause mig-0001").await.exits(0);
    let paused = lane(&world, "eu-1").await;
    assert!(paused.applied < STEPS, "{paused:?}");
    world.until_is((ID, "eu-1"), LaneState::Done).await;
    let events = world.client.events(0).await.expect("the log can be read");
    let legs = events.iter().filter(|it| matches!(it.body, Some(Body::LegAssigned(_)))).count();
    let back = events.iter().filter(|it| matches!(it.body, Some(Body::LeaseExpired(_)))).count();
    assert_eq!((legs, back), (1, 0), "one leg, and it was not given back");
    let status = world.client.rollout("mig-0001").await.expect("a status");
    assert_eq!(status.state(), RolloutState::Paused);
    assert_eq!(in_force(&world, "eu-2").await, 0);
    world.cli.run("resume mig-0001").await.exits(0);
    assert_eq!(in_force(&world, "eu-2").await, STEPS);
    end(world).await;
}

/// All of a rollout, and one wave of it: paused, cancelled, given up, and resumed from where it stands.
#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_waves_and_the_whole_are_stopped_as_the_page_says() {
    let test = "parts_that_are_waves_and_the_whole_are_stopped_as_the_page_says";
    let Some(mut world) = start(test, &["eu-1", "eu-2", "eu-3"]).await else { return };
    let [strategy] = &blocks(PAGE, "whole", "toml")[..] else { panic!("one strategy") };
    world.project.write("strategy.toml", strategy);
    comes(&mut world, "a1", &["eu-1", "eu-2", "eu-3"]).await;
    let mut page = Runbook::on(PAGE, "whole");
    let has_begun = |lane: &Lane| lane.applied > 0;
    let state = async |world: &World| {
        let status = world.client.rollout("mig-0001").await.expect("a status");
        (status.state(), status.reason)
    };

    world.follow(&mut page, "skein apply").await;
    world.until_lane((ID, "eu-1"), "has begun", has_begun).await;
    world.follow(&mut page, "skein pause mig-0001 --now").await;
    let stopped = world.until_is((ID, "eu-1"), LaneState::Ready).await;
    assert!((1..STEPS).contains(&stopped.applied), "{stopped:?}");
    let paused = (RolloutState::Paused, "paused: the shop is slow".to_owned());
    assert_eq!(state(&world).await, paused);
    world.follow(&mut page, "skein resume mig-0001 --detach").await;

    // A wave that is not open yet does not begin when it opens, whoever leads.
    world.follow(&mut page, "skein pause mig-0001 --wave 2").await;
    world.behead().await;
    world.until_is((ID, "eu-1"), LaneState::Done).await;
    let why = until_some("it says for whom it waits", LIMIT, || async {
        let reason = world.client.rollout("mig-0001").await.ok()?.reason;
        reason.contains("held by somebody, such as eu-2").then_some(reason)
    });
    let why = why.await;
    let said = world.follow(&mut page, "skein explain mig-0001").await.stdout;
    assert!(said.contains(&why), "{said}");
    for id in ["eu-2", "eu-3"] {
        let lane = lane(&world, id).await;
        assert_eq!((lane.held.as_str(), lane.applied), ("not before noon", 0));
    }
    world.follow(&mut page, "skein resume mig-0001 --wave 2").await;

    // What runs in a wave is killed, and the wave is held.
    for id in ["eu-2", "eu-3"] {
        world.until_lane((ID, id), "has begun", has_begun).await;
    }
    world.follow(&mut page, "skein cancel mig-0001 --wave 2").await;
    let mut applied = 0;
    for id in ["eu-2", "eu-3"] {
        let lane = world.until_is((ID, id), LaneState::Ready).await;
        assert_eq!(lane.held, "it locks the shop");
        assert!((1..STEPS).contains(&lane.applied), "{lane:?}");
        assert_eq!(in_force(&world, id).await, lane.applied);
        applied = lane.applied;
    }
    world.follow(&mut page, "skein resume mig-0001 --wave 2").await;

    // The whole is given up in the midst of it, and stands as it stood.
    world.until_lane((ID, "eu-3"), "goes on", |lane| lane.applied > applied).await;
    world.follow(&mut page, "skein abort mig-0001").await;
    let halted = || async { state(&world).await.0 == RolloutState::Halted };
    until("it is halted", LIMIT, halted).await;
    let status = world.follow(&mut page, "skein status").await.stdout;
    assert!(status.contains("given up: the release is off"), "{status}");
    let left = in_force(&world, "eu-3").await;
    assert!(left > applied && left < STEPS, "{left}");
    assert_eq!(in_force(&world, "eu-1").await, STEPS);
    world.follow(&mut page, "skein resume mig-0001").await;
    page.ends();
    for id in ["eu-1", "eu-2", "eu-3"] {
        assert_eq!(in_force(&world, id).await, STEPS, "{id}");
    }

    // A wave that is given up is left out.
    let word =
        "[[wave]]\nname = \"canary\"\ncount = 1\n\n[[wave]]\nname = \"rest\"\napproval = true\n";
    world.project.write("strategy.toml", word);
    world.project.table(9, "t9 (id int)");
    world.begin().await;
    world.cli.run("abort mig-0002 --wave 2 --reason sold").await.exits(0);
    world.cli.run("approve mig-0002").await.exits(0);
    world.cli.run("watch mig-0002").await.exits(0);
    let status = world.client.rollout("mig-0002").await.expect("a status");
    let waived = status.lanes.iter().filter(|lane| lane.state() == LaneState::Waived).count();
    assert_eq!((status.state(), waived), (RolloutState::Completed, 2), "{status:?}");
    assert_eq!(
        (in_force(&world, "eu-1").await, in_force(&world, "eu-2").await),
        (STEPS + 1, STEPS)
    );
    end(world).await;
}

/// No step had two effects, and every node has the same log.
async fn end(world: World) {
    once_each(world.applied().await.into_iter().map(|(_, target, version)| (target, version)));
    world.end().await;
}
