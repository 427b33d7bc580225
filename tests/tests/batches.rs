//! Statements in batches over real servers. The statement, the strategy and the commands of the first test are those of
//! `docs/batches.md`.

mod support;

use std::sync::Arc;

use skein_proto::log::v1::event::Body;
use skein_proto::v1::{BatchProgress, Lane, LaneState, RolloutState};
use support::{AgentSpec, Database, Project, Runbook, Server, World, blocks, databases};

const PAGE: &str = "batches.md";
const TARGETS: [&str; 3] = ["eu-1", "eu-2", "ap-1"];
const ID: &str = "mig-0001";

/// Three databases with users, and one agent beside them. `None`: a server is missing, which was said.
async fn start(test: &str, users: u32) -> Option<World> {
    let project = Arc::new(Project::new(test));
    let [sqlite, postgres, mariadb] = Server::three(&project, test)?;
    let targets = [("eu-1", &postgres), ("eu-2", &mariadb), ("ap-1", &sqlite)];
    let databases = databases(&targets).await;
    for database in &databases {
        let made = "CREATE TABLE users (id int NOT NULL PRIMARY KEY, logins int NOT NULL)";
        database.raw(made).await.expect("a table can be made");
        let rows: Vec<String> = (1..=users).map(|id| format!("({id}, 0)")).collect();
        let sql = format!("INSERT INTO users VALUES {}", rows.join(", "));
        database.raw(&sql).await.expect("rows can be written");
    }
    let spec = AgentSpec::new("a1").serve(&databases);
    Some(World::start(project, databases, &spec).await)
}

fn migration(project: &Project, up: &str) {
    project.migration("migrations/0001_logins", up, &up.replace("logins + 1", "logins - 1"));
}

async fn follow(world: &World, page: &mut Runbook, begins: &str) -> String {
    world.follow(page, begins).await.stdout
}

/// Waits until a target tells so of its batches.
async fn until_at(world: &World, target: &str, what: &str, holds: impl Fn(&BatchProgress) -> bool) {
    let at = |lane: &Lane| lane.batches.as_ref().is_some_and(&holds);
    world.until_lane((ID, target), what, at).await;
}

/// Logins of all users of a database, and how many of them have the least and the most.
async fn logins(database: &Database) -> (u64, u64, u64) {
    let of = async |what: &str| {
        let sql = format!("SELECT CAST({what} AS CHAR(9)) FROM users");
        let read = database.column(&sql).await.expect("rows can be read");
        read[0].trim().parse::<u64>().expect("a number")
    };
    (of("SUM(logins)").await, of("MIN(logins)").await, of("MAX(logins)").await)
}

async fn all_have(world: &World, had: (u64, u64, u64)) {
    for database in &world.databases {
        assert_eq!(logins(database).await, had, "{}", database.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_the_page_is_followed_command_by_command_kill9() {
    let test = "batches_the_page_is_followed_command_by_command_kill9";
    let Some(mut world) = start(test, 1_000).await else { return };
    let sql = blocks(PAGE, "batches", "sql");
    let toml = blocks(PAGE, "batches", "toml");
    migration(&world.project, &sql[0]);
    world.project.write("strategy.toml", &toml[0]);
    let mut page = Runbook::on(PAGE, "batches");
    let plan = follow(&world, &mut page, "skein plan").await;
    assert!(plan.contains("line 2 runs in batches over users by id, 100 at a time"), "{plan}");
    assert!(plan.contains("Batches: 50 keys, 10 min 0 s apart."), "{plan}");
    follow(&world, &mut page, "skein apply").await;
    for target in TARGETS {
        // The strategy's size, and not the file's.
        let one = |it: &BatchProgress| (it.batches, it.rows, it.percent) == (1, 50, Some(5));
        until_at(&world, target, "one batch of 50 is done", one).await;
    }
    let status = follow(&world, &mut page, "skein status").await;
    assert!(status.contains("users by id: 1 batch, 50 rows, 5 %"), "{status}");
    let why = follow(&world, &mut page, "skein explain").await;
    let said =
        "it is at statement 1, users by id: 1 batch done, 50 rows, 5 % of the keys, 50 at a time";
    assert!(why.contains(said), "{why}");
    let knobs = follow(&world, &mut page, "skein get").await;
    assert!(knobs.contains("batch_pause") && knobs.contains("50"), "{knobs}");

    // The leader dies while they rest, and the next one hears how far they are.
    world.behead().await;
    for target in TARGETS {
        until_at(&world, target, "the new leader knows", |it| it.batches == 1).await;
    }
    follow(&world, &mut page, "skein pause").await;
    for target in TARGETS {
        world.until_is((ID, target), LaneState::Ready).await;
    }
    all_have(&world, (50, 0, 1)).await;
    let why = follow(&world, &mut page, "skein explain").await;
    for said in ["the rollout is paused: the shop is slow", "1 batch done, 50 rows"] {
        assert!(why.contains(said), "{said}\n{why}");
    }
    follow(&world, &mut page, "skein resume").await;
    for target in TARGETS {
        // At the cursor, and not at the beginning.
        until_at(&world, target, "it is taken up", |it| (it.batches, it.rows) == (1, 50)).await;
    }
    // One of them by itself: the others keep their legs.
    follow(&world, &mut page, "skein pause mig-0001 --on eu-2 --after-batch").await;
    world.until_is((ID, "eu-2"), LaneState::Ready).await;
    let why = follow(&world, &mut page, "skein explain").await;
    for said in ["somebody holds it: its report runs", "a part of it is in force"] {
        assert!(why.contains(said), "{said}\n{why}");
    }
    for target in TARGETS.iter().filter(|target| **target != "eu-2") {
        let lane = world.lane(ID, target).await.expect("it has a lane");
        assert_eq!(lane.state(), LaneState::Leased, "{lane:?}");
    }
    follow(&world, &mut page, "skein resume mig-0001 --on eu-2").await;
    follow(&world, &mut page, "skein set").await;
    follow(&world, &mut page, "skein watch").await;
    let log = follow(&world, &mut page, "skein history").await;
    for said in ["paused the rollout behind the batches under way", "set batch to 300"] {
        assert!(log.contains(said), "{said}\n{log}");
    }
    page.ends();
    all_have(&world, (1_000, 1, 1)).await;
    let mut applied = 0;
    for event in world.client.events(0).await.expect("the log can be read") {
        match event.body {
            Some(Body::StepApplied(step)) => {
                applied += 1;
                let told = step.applied.expect("it is told");
                assert_eq!((told.rows, told.resumed), (1_000, true));
            }
            Some(Body::StepFailed(failed)) => panic!("{failed:?}"),
            _ => {}
        }
    }
    assert_eq!(applied, 3);
    // The way back goes in batches as well.
    world.ran("rollback mig-0001 --yes").await;
    all_have(&world, (0, 0, 0)).await;
    world.end().await;
}

/// Agents die again and again, a throttle holds, statements are killed: each row is changed once.
#[tokio::test(flavor = "multi_thread")]
async fn batches_are_run_once_kill9() {
    let test = "batches_are_run_once_kill9";
    let Some(mut world) = start(test, 600).await else { return };
    migration(
        &world.project,
        "-- skein:batch table=users key=id size=1\n\
         UPDATE users SET logins = logins + 1 WHERE id BETWEEN {from} AND {to};\n",
    );
    let strategy = "[[throttle]]\nname = \"half\"\nquery = \"SELECT sum(logins) FROM users\"\n\
                    limit = 300\ninterval = \"1ms\"\n";
    world.project.write("strategy.toml", strategy);
    world.begin().await;
    for least in [10, 100, 200] {
        for target in TARGETS {
            until_at(&world, target, "it is under way", |it| it.batches >= least).await;
        }
        world.agents[0].kill9();
        for database in &world.databases {
            let (sum, least, most) = logins(database).await;
            assert!(sum < 600 && least == 0 && most == 1, "{}: {sum}", database.id);
        }
        world.agents[0].restart();
    }
    for target in TARGETS {
        let held = |it: &Lane| it.throttled.contains("`half`: the query answers 3");
        world.until_lane((ID, target), "is throttled", held).await;
        let lane = world.lane(ID, target).await.expect("it has a lane");
        let batches = lane.batches.expect("it tells").batches;
        assert!((300..600).contains(&batches), "{target}: {batches}");
    }
    // In the middle of its batches, where it waits, it can be cancelled, and left.
    world.ran("cancel mig-0001 --on eu-2 --reason enough").await;
    world.until_is((ID, "eu-2"), LaneState::Ready).await;
    let why = world.ran("explain mig-0001 eu-2").await.stdout;
    assert!(why.contains("a part of it is in force"), "{why}");
    world.ran("resume mig-0001 --on eu-2 --detach").await;
    world.ran("pause mig-0001 --after-batch").await;
    for target in TARGETS {
        world.until_is((ID, target), LaneState::Ready).await;
    }
    world.ran("set mig-0001 throttle.half=off batch=7").await;
    world.ran("resume mig-0001").await;
    let status = world.client.rollout(ID).await.expect("a status");
    assert_eq!(status.state(), RolloutState::Completed, "{status:?}");
    all_have(&world, (600, 1, 1)).await;
    world.end().await;
}
