//! Windows, blackouts, freezes and statements that are killed, over real servers. The commands and the windows are
//! those of `docs/pace.md`; the times of the windows are put around the present, so that they are open or closed
//! by construction.

mod support;

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use skein_agent::db::Engine;
use skein_proto::log::v1::event::Body;
use skein_proto::v1::{LaneState, RolloutState};
use support::{
    Agent, AgentSpec, Cli, Database, Project, Runbook, Server, World, blocks, until, until_some,
};

const LIMIT: Duration = Duration::from_mins(2);
const PAGE: &str = "pace.md";

/// What a wall clock shows so many hours from now.
fn clock(zone: &str, hours: i64) -> String {
    let moment = Timestamp::now() + SignedDuration::from_hours(hours);
    let zone = TimeZone::get(zone).expect("it is known");
    zone.to_datetime(moment).strftime("%H:%M").to_string()
}

/// The page's windows, with those of Europe closed for three hours and those of the US open, on every day.
fn windows() -> String {
    let [text] = &blocks(PAGE, "pace", "toml")[..] else { panic!("one block") };
    let mut text = text.clone();
    for (written, here) in [
        ("from = \"22:00\"", format!("from = \"{}\"", clock("Europe/Berlin", 3))),
        ("to = \"05:00\"", format!("to = \"{}\"", clock("Europe/Berlin", 5))),
        ("from = \"21:00\"", format!("from = \"{}\"", clock("America/New_York", -2))),
        ("to = \"04:00\"", format!("to = \"{}\"", clock("America/New_York", 3))),
        ("days = [\"mon\", \"tue\", \"wed\", \"thu\"]", "days = []".to_owned()),
    ] {
        assert!(text.contains(written), "{written} does not stand on the page");
        text = text.replace(written, &here);
    }
    text
}

/// What is in the databases before anybody comes.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    /// A table that an endless statement goes by.
    Gate,
}

/// Databases with one agent beside them. `None`: a server is missing, which was said. `more` is for skein.toml.
async fn start(
    test: &str,
    ids: &[(&str, Engine)],
    (before, more): (Before, &str),
) -> Option<World> {
    let project = Arc::new(Project::new(test));
    let mut databases = Vec::new();
    for (id, engine) in ids {
        let database = Server::of(*engine, &project, test)?.database(id).await;
        // Before anybody looks: a table that comes later would be drift.
        if let Before::Gate = before {
            let [gate, _, _] = endless(database.engine);
            database.raw(gate).await.expect("a table can be made");
        }
        databases.push(database);
    }
    let mut spec = AgentSpec::new("a1").serve_regions(&databases);
    spec.slots = 8;
    let mut world = World::start(project, databases, &spec).await;
    world.cli = Cli::new(&world.project, &world.cluster, more);
    Some(world)
}

fn tables(project: &Project, count: u32) {
    for version in 1..=count {
        project.table(version, &format!("t{version} (id int PRIMARY KEY)"));
    }
}

async fn explained(world: &World, rollout: &str, target: &str) -> String {
    world.cli.run_words(&["explain", rollout, target]).await.exits(0).stdout
}

/// The leader dies, and the next one knows the agent.
async fn behead(world: &mut World) {
    world.behead().await;
    let ids: Vec<&str> = world.databases.iter().map(|database| database.id.as_str()).collect();
    Agent::until_observed(&world.client, &ids).await;
}

async fn end(world: World, in_force: &[&str]) {
    world.all_at(in_force).await;
    world.end().await;
}

const THREE: [(&str, Engine); 4] = [
    ("eu-1", Engine::Postgres),
    ("eu-2", Engine::Mysql),
    ("us-1", Engine::Postgres),
    ("ap-1", Engine::Sqlite),
];

/// What the page asks of a moment of the past: right after the first wave opened.
async fn page_of_the_past(world: &World, page: &mut Runbook) -> String {
    let events = world.client.events(0).await.expect("the log can be read");
    let opened = events.iter().find(|it| matches!(it.body, Some(Body::WaveStarted(_))));
    page.place("41", opened.expect("a wave is open").seq.to_string());
    world.follow(page, "skein explain mig-0001 eu-1 --at").await.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pace_page_is_followed_command_by_command() {
    let test = "the_pace_page_is_followed_command_by_command";
    let Some(world) = start(test, &THREE, (Before::Nothing, &windows())).await else {
        return;
    };
    tables(&world.project, 2);
    let mut page = Runbook::on(PAGE, "pace");

    let plan = world.follow(&mut page, "skein plan").await.stdout;
    let opens = clock("Europe/Berlin", 3);
    for said in [
        &format!("window nights in Europe (region=eu): {opens} to"),
        "blackout the fair (every target): 2029-05-14 00:00 to 2029-05-19 00:00 Europe/Berlin",
    ] {
        assert!(plan.contains(said), "{said}\n{plan}");
    }
    world.follow(&mut page, "skein freeze").await;
    world.follow(&mut page, "skein apply").await;
    world.until_is(("mig-0001", "ap-1"), LaneState::Done).await;
    let status = world.follow(&mut page, "skein status mig-0001").await.stdout;
    assert!(status.contains("outside its window until"), "{status}");
    let why = world.follow(&mut page, "skein explain mig-0001 eu-1").await.stdout;
    let hours = ["(in 3 h", "(in 2 h"].iter().any(|left| why.contains(left));
    assert!(
        why.contains("outside its window until") && why.contains("Europe/Berlin") && hours,
        "{why}"
    );
    let then = page_of_the_past(&world, &mut page).await;
    assert!(then.contains("outside its window until") && then.contains("Europe/Berlin"), "{then}");
    let why = world.follow(&mut page, "skein explain mig-0001 us-1").await.stdout;
    assert!(why.contains("frozen by test (an audit of the US shards) until"), "{why}");
    let fleet = world.follow(&mut page, "skein status").await.stdout;
    assert!(fleet.contains("frz-0001: region=us by test"), "{fleet}");
    world.follow(&mut page, "skein thaw").await;
    world.until_is(("mig-0001", "us-1"), LaneState::Done).await;
    let held = world.lane("mig-0001", "eu-2").await.expect("it has a lane");
    assert!(held.state() == LaneState::Ready && held.applied == 0, "{held:?}");
    world.follow(&mut page, "skein set").await;
    world.follow(&mut page, "skein watch").await;
    page.ends();

    let log = world.cli.run("history -o jsonl").await.exits(0).stdout;
    for said in
        ["froze region=us until", "thawed frz-0001: the audit is over", "set windows to off"]
    {
        assert!(log.contains(said), "{said}\n{log}");
    }
    end(world, &["1", "2"]).await;
}

/// The leader is killed while targets wait for their window and while others are frozen: the next one keeps to both.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_keeps_to_windows_and_freezes() {
    let test = "a_new_leader_keeps_to_windows_and_freezes";
    let Some(mut world) = start(test, &THREE, (Before::Nothing, &windows())).await else {
        return;
    };
    tables(&world.project, 2);
    let freeze = ["freeze", "--on", "us-*", "--reason", "an audit"];
    world.cli.run_words(&freeze).await.exits(0);
    world.cli.run("apply migrations --yes --detach").await.exits(0);
    world.until_is(("mig-0001", "ap-1"), LaneState::Done).await;
    behead(&mut world).await;
    let why = explained(&world, "mig-0001", "eu-1").await;
    assert!(why.contains("outside its window until"), "{why}");
    let why = explained(&world, "mig-0001", "us-1").await;
    assert!(why.contains("until somebody says `skein thaw frz-0001`"), "{why}");
    world.cli.run("thaw frz-1").await.exits(0);
    world.until_is(("mig-0001", "us-1"), LaneState::Done).await;
    for target in ["eu-1", "eu-2"] {
        let lane = world.lane("mig-0001", target).await.expect("it has a lane");
        assert_eq!((lane.state(), lane.applied), (LaneState::Ready, 0), "{lane:?}");
    }
    world.cli.run("set mig-0001 windows=off").await.exits(0);
    world.cli.run("watch mig-0001").await.exits(0);
    assert!(world.cli.run("thaw").await.exits(21).stderr.contains("nothing is frozen"));
    end(world, &["1", "2"]).await;
}

/// What can never open is refused before anything is planned, and bad times where they stand.
#[tokio::test(flavor = "multi_thread")]
async fn hours_that_mean_nothing_are_refused() {
    let test = "hours_that_mean_nothing_are_refused";
    let Some(world) = start(test, &[("eu-1", Engine::Sqlite)], (Before::Nothing, "")).await else {
        return;
    };
    tables(&world.project, 1);
    for (name, text, code, said) in [
        ("never", "[[window]]\nfrom = '05:00'\nto = '05:00'\nzone = 'UTC'", 2, "never opens"),
        (
            "blacked_out",
            "[[window]]\nfrom = '05:00'\nto = '06:00'\nzone = 'UTC'\n\
             [[blackout]]\nfrom = '2020-01-01'\nto = '2090-01-01'\nzone = 'UTC'",
            21,
            "eu-1 could never be worked on",
        ),
        (
            "zone",
            "[[window]]\nfrom = '05:00'\nto = '06:00'\nzone = 'Europe/Berln'",
            2,
            "no time zone",
        ),
        ("clock", "[[window]]\nfrom = '5'\nto = '06:00'\nzone = 'UTC'", 2, "no time of day"),
        (
            "day",
            "[[window]]\ndays = ['sat', 'sum']\nfrom = '05:00'\nto = '06:00'\nzone = 'UTC'",
            2,
            "sum",
        ),
        (
            "date",
            "[[blackout]]\nfrom = '2026-02-30'\nto = '2026-03-01'\nzone = 'UTC'",
            2,
            "is no day",
        ),
        (
            "order",
            "[[blackout]]\nfrom = '2026-03-02'\nto = '2026-03-01'\nzone = 'UTC'",
            2,
            "over before",
        ),
    ] {
        let cli = Cli::new(&world.project, &world.cluster, text);
        let refused = cli.run("plan migrations").await.exits(code);
        assert!(refused.stderr.contains(said), "{name}: {}", refused.stderr);
    }
    let cli = Cli::new(&world.project, &world.cluster, "");
    for (words, code, said) in [
        (&["freeze", "--on", "us-*", "--reason", "typo"][..], 2, "matches no target"),
        (
            &["freeze", "--until", "2020-01-01T00:00Z", "--reason", "late"],
            2,
            "over before it begins",
        ),
        (&["freeze", "--until", "soon", "--reason", "late"], 2, "is no time"),
        (&["freeze", "--where", "region == \"eu\"", "--reason", "x"], 2, "ids and labels"),
        (&["thaw", "frz-7"], 2, "no freeze frz-0007"),
    ] {
        let refused = cli.run_words(words).await.exits(code);
        assert!(refused.stderr.contains(said), "{words:?}: {}", refused.stderr);
    }
    let log = world.client.events(0).await.expect("the log can be read");
    assert!(
        log.iter()
            .all(|it| !matches!(it.body, Some(Body::RolloutPlanned(_) | Body::ChangesFrozen(_))))
    );
    end(world, &[]).await;
}

/// A target under way is given back after its step when a freeze comes, and when a blackout begins; it goes on
/// from there, and every step has one effect.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_stops_after_its_step_and_goes_on() {
    const STEPS: u32 = 60;
    let test = "what_is_under_way_stops_after_its_step_and_goes_on";
    let target = [("eu-1", Engine::Postgres)];
    let Some(world) = start(test, &target, (Before::Nothing, "")).await else { return };
    for version in 1..=STEPS {
        let name = format!("migrations/{version:04}_table");
        let up = format!("CREATE TABLE t{version} (id int); SELECT pg_sleep(0.25);\n");
        world.project.migration(&name, &up, &format!("DROP TABLE t{version};\n"));
    }
    // Begins in the midst of fifteen seconds of work.
    let at = |seconds: i64| {
        let moment = Timestamp::now() + SignedDuration::from_secs(seconds);
        TimeZone::UTC.to_datetime(moment).strftime("%Y-%m-%dT%H:%M:%S").to_string()
    };
    let (from, to) = (at(9), at(12));
    let blackout =
        format!("[[blackout]]\nname = \"lunch\"\nfrom = {from:?}\nto = {to:?}\nzone = \"UTC\"\n");
    let cli = Cli::new(&world.project, &world.cluster, &blackout);
    cli.run("apply migrations --yes --detach").await.exits(0);
    let begun = || async { world.lane("mig-0001", "eu-1").await.is_some_and(|it| it.applied > 0) };
    until("a step is applied", LIMIT, begun).await;

    cli.run_words(&["freeze", "--reason", "an incident"]).await.exits(0);
    world.until_is(("mig-0001", "eu-1"), LaneState::Ready).await;
    let stopped = world.lane("mig-0001", "eu-1").await.expect("it has a lane");
    assert!(stopped.applied < STEPS && stopped.closed.contains("an incident"), "{stopped:?}");
    assert_eq!(world.databases[0].in_force().await.len(), stopped.applied as usize);
    cli.run("thaw").await.exits(0);

    cli.run("watch mig-0001").await.exits(0);
    let mut given_back = Vec::new();
    let mut applied = Vec::new();
    for event in world.client.events(0).await.expect("the log can be read") {
        match event.body {
            Some(Body::LeaseExpired(it)) => given_back.push(it.why),
            Some(Body::StepApplied(it)) => applied.push((event.at_ms, it.version)),
            _ => {}
        }
    }
    assert_eq!(applied.len(), STEPS as usize);
    for why in ["an incident", "blackout lunch has begun"] {
        assert!(given_back.iter().any(|it| it.contains(why)), "{why}: {given_back:?}");
    }
    let all: Vec<String> = (1..=STEPS).map(|version| version.to_string()).collect();
    end(world, &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

/// A window closes on targets under way: one ends its step and is given back, and with `at_close = "finish"` another
/// goes on to its last step. What was closed then is told of the past, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_closes_stops_some_and_lets_others_finish() {
    let test = "a_window_that_closes_stops_some_and_lets_others_finish";
    let ids = [("eu-1", Engine::Postgres), ("us-1", Engine::Postgres)];
    let Some(mut world) = start(test, &ids, (Before::Nothing, "")).await else { return };
    // Windows close at full minutes: the next one that leaves time to begin, and work for longer than that.
    let now = Timestamp::now().as_second();
    let closes = ((now + 12) / 60 + 1) * 60;
    let steps = u32::try_from(closes - now + 8).expect("little more than a minute");
    for version in 1..=steps {
        let name = format!("migrations/{version:04}_table");
        let up = format!("CREATE TABLE t{version} (id int); SELECT pg_sleep(1);\n");
        world.project.migration(&name, &up, &format!("DROP TABLE t{version};\n"));
    }
    let at = |second: i64| {
        let moment = Timestamp::from_second(second).expect("it is no time of long ago");
        TimeZone::UTC.to_datetime(moment).strftime("%H:%M").to_string()
    };
    let (from, to) = (at(closes - 7_200), at(closes));
    let window = |name: &str, region: &str, more: &str| {
        format!(
            "[[window]]\nname = {name:?}\nlabels = {{ region = {region:?} }}\nfrom = {from:?}\n\
             to = {to:?}\nzone = \"UTC\"\n{more}\n"
        )
    };
    let windows = window("stops", "eu", "") + &window("ends", "us", "at_close = \"finish\"");
    world.cli = Cli::new(&world.project, &world.cluster, &windows);
    world.cli.run("apply migrations --yes --detach").await.exits(0);
    let begun = || async {
        let status = world.client.rollout("mig-0001").await;
        status.is_ok_and(|it| it.lanes.iter().all(|lane| lane.applied > 0))
    };
    until("both have begun", LIMIT, begun).await;

    world.until_is(("mig-0001", "eu-1"), LaneState::Ready).await;
    let stopped = world.lane("mig-0001", "eu-1").await.expect("it has a lane");
    assert!((1..steps).contains(&stopped.applied), "{stopped:?}");
    assert!(stopped.closed.contains("outside its window until"), "{stopped:?}");
    assert_eq!(world.databases[0].in_force().await.len(), stopped.applied as usize);
    world.until_is(("mig-0001", "us-1"), LaneState::Done).await;
    let still = world.lane("mig-0001", "eu-1").await.expect("it has a lane");
    assert_eq!((still.state(), still.applied), (LaneState::Ready, stopped.applied), "{still:?}");

    let closes_ms = u64::try_from(closes * 1_000).expect("after 1970");
    let (mut given_back, mut later, mut seq) = (Vec::new(), 0, 0);
    for event in world.client.events(0).await.expect("the log can be read") {
        match event.body {
            Some(Body::LeaseExpired(it)) => {
                assert!(event.at_ms >= closes_ms, "given back before it closed");
                given_back.push((it.target, it.why.contains("has closed")));
                seq = event.seq;
            }
            Some(Body::StepApplied(it)) if it.target == "us-1" => {
                later += u32::from(event.at_ms > closes_ms);
            }
            _ => {}
        }
    }
    assert_eq!(given_back, [("eu-1".to_owned(), true)]);
    assert!(later > 1, "us-1 ended before its window closed");

    // Of that moment, when somebody has opened it since.
    world.cli.run("set mig-0001 windows=off").await.exits(0);
    world.cli.run("watch mig-0001").await.exits(0);
    let (seq, opens) = (seq.to_string(), at(closes - 7_200));
    for words in
        [&["explain", "mig-0001", "eu-1", "--at", &seq][..], &["explain", "mig-0001", "--at", "20"]]
    {
        let why = world.cli.run_words(words).await.exits(0).stdout;
        let closed = why.contains(&format!("outside its window until {opens} UTC"));
        assert_eq!(closed, words.len() == 5, "{why}");
    }
    let all: Vec<String> = (1..=steps).map(|version| version.to_string()).collect();
    end(world, &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

/// A migration that does not end as long as a table says so.
fn endless(engine: Engine) -> [&'static str; 3] {
    match engine {
        Engine::Postgres => [
            "CREATE TABLE gate (id int); INSERT INTO gate SELECT generate_series(1, 600);",
            "CREATE TABLE t1 (id int); INSERT INTO t1 SELECT 7 FROM gate WHERE pg_sleep(1) IS NOT NULL;",
            "DELETE FROM gate WHERE id > 1;",
        ],
        Engine::Mysql => [
            "CREATE TABLE gate (id int) SELECT seq AS id FROM seq_1_to_600;",
            "CREATE TABLE t1 (id int);\nINSERT INTO t1 SELECT 7 + SLEEP(1) FROM gate;",
            "DELETE FROM gate WHERE id > 1;",
        ],
        Engine::Sqlite => [
            "CREATE TABLE gate (most int); INSERT INTO gate VALUES (1000000000000);",
            "CREATE TABLE t1 (id int); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c \
             WHERE x < (SELECT most FROM gate)) INSERT INTO t1 SELECT 6 + min(x) FROM c;",
            "UPDATE gate SET most = 3;",
        ],
    }
}

/// A statement that would run for long is killed on each engine; what it left is told, and completed once.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_runs_is_killed_and_told_of() {
    let test = "a_statement_that_runs_is_killed_and_told_of";
    let ids = [("eu-1", Engine::Postgres), ("eu-2", Engine::Mysql), ("eu-3", Engine::Sqlite)];
    let Some(world) = start(test, &ids, (Before::Gate, "")).await else { return };
    for (database, number) in world.databases.iter().zip(1..) {
        let [_, up, open] = endless(database.engine);
        world.project.migration(&format!("m{number}/0001_long"), up, "DROP TABLE t1;\n");
        let (rollout, id) = (format!("mig-000{number}"), database.id.clone());
        let apply = format!("apply m{number} --on {id} --retries 0 --yes --detach");
        world.cli.run(&apply).await.exits(0);
        // Its backup holds locks, too.
        let lane = || async { world.lane(&rollout, &id).await.is_some_and(|it| it.backed_up) };
        until("its backup is taken", LIMIT, lane).await;
        let runs = || async { runs(database).await };
        until("its statement runs", LIMIT, runs).await;

        // The page is about the first of them.
        let mut page = Runbook::on(PAGE, "cancel");
        page.place("mig-0001", rollout.clone());
        page.place("eu-1", id.clone());
        world.follow(&mut page, "skein cancel").await;
        world.until_is((&rollout, &id), LaneState::Ready).await;
        let left = match database.engine {
            Engine::Postgres | Engine::Sqlite => "nothing of it is in force",
            Engine::Mysql => "a part of it is in force",
        };
        let why = world.follow(&mut page, "skein explain").await.stdout;
        assert!(why.contains("somebody holds it: the shop waits for its lock"), "{why}");
        assert!(why.contains(left), "{id}: {why}");
        let log = world.follow(&mut page, "skein history").await.stdout;
        assert!(log.contains("was broken off on") && !log.contains("failed"), "{log}");
        assert_eq!(database.in_force().await, [""; 0]);
        database.raw(open).await.expect("nobody holds a lock");
        world.follow(&mut page, "skein resume").await;
        page.ends();
        world.cli.run(&format!("watch {rollout}")).await.exits(0);
        let rows =
            database.column("SELECT CAST(id AS CHAR(9)) FROM t1").await.expect("it is there");
        assert_eq!(rows.iter().map(|row| row.trim()).collect::<Vec<_>>(), ["7"], "{id}");
    }
    end(world, &["1"]).await;
}

/// Whether the endless statement runs on the server.
async fn runs(database: &Database) -> bool {
    let sql = match database.engine {
        Engine::Postgres => {
            "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
             AND state = 'active' AND query LIKE '%INSERT INTO t1%' AND pid <> pg_backend_pid()"
        }
        Engine::Mysql => {
            "SELECT CAST(id AS CHAR(9)) FROM information_schema.processlist WHERE db = DATABASE() \
             AND command = 'Query' AND info LIKE 'INSERT INTO t1%'"
        }
        // Who cannot write waits for the one who does.
        Engine::Sqlite => {
            return database.raw("PRAGMA busy_timeout = 0; BEGIN IMMEDIATE;").await.is_err();
        }
    };
    database.column(sql).await.is_ok_and(|rows| !rows.is_empty())
}

/// A whole rollout is cancelled, undone under a kill, and no budget is touched.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_is_cancelled_is_paused_and_goes_on() {
    let test = "a_rollout_that_is_cancelled_is_paused_and_goes_on";
    let ids = [("eu-1", Engine::Postgres), ("eu-2", Engine::Mysql)];
    let Some(mut world) = start(test, &ids, (Before::Gate, "")).await else { return };
    let long = "INSERT INTO t1 SELECT id FROM gate WHERE SLEEP_1;\n";
    for (dir, sleep) in [("m1", "pg_sleep(1) IS NOT NULL"), ("m2", "SLEEP(1) IS NOT NULL")] {
        let up = format!("CREATE TABLE t1 (id int);\n{}", long.replace("SLEEP_1", sleep));
        world.project.migration(&format!("{dir}/0001_long"), &up, "DROP TABLE t1;\n");
    }
    let mut pages = Vec::new();
    for (number, id) in [(1, "eu-1"), (2, "eu-2")] {
        let (rollout, database) = (format!("mig-000{number}"), &world.databases[number - 1]);
        let apply = format!("apply m{number} --on {id} --yes --detach");
        world.cli.run(&apply).await.exits(0);
        until("its statement runs", LIMIT, || async { runs(database).await }).await;
        let mut page = Runbook::on(PAGE, "cancel-all");
        page.place("mig-0001", rollout.clone());
        world.follow(&mut page, "skein cancel").await;
        world.until_is((&rollout, id), LaneState::Ready).await;
        let told = world.follow(&mut page, "skein status").await.stdout;
        assert!(told.contains("paused: the shop is down"), "{told}");
        pages.push(page);
        let status = world.client.rollout(&rollout).await.expect("a status");
        assert_eq!(
            (status.state(), status.reason.as_str()),
            (RolloutState::Paused, "paused: the shop is down")
        );
        if number == 1 {
            behead(&mut world).await;
        }
    }
    // What MariaDB has of it is completed before it is taken back; nothing of it is left behind.
    for ((number, database), mut page) in world.databases.iter().enumerate().zip(pages) {
        let [_, _, open] = endless(database.engine);
        database.raw(open).await.expect("nobody holds a lock");
        world.follow(&mut page, "skein resume").await;
        page.ends();
        let done = until_some("a rollout ends", LIMIT, || async {
            let status = world.client.rollout(&format!("mig-000{}", number + 1)).await.ok()?;
            (status.state() == RolloutState::Completed).then_some(status)
        });
        assert_eq!(done.await.steps_applied, 1);
    }
    let refused = world.cli.run("cancel mig-0001").await.exits(21);
    assert!(refused.stderr.contains("has ended"), "{}", refused.stderr);
    end(world, &["1"]).await;
}
