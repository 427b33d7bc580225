//! Waves by class, share and word; soaks, knobs, holds, pauses and an abort, over real servers. The commands
//! and the strategy are those of `docs/strategy.md`.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use skein_agent::db::Engine;
use skein_proto::log::v1::{Event, event::Body};
use skein_proto::v1::knob::Knob;
use skein_proto::v1::{self, LaneState, RolloutState, RolloutStatus};
use support::{
    AgentSpec, Client, Project, Runbook, Server, World, blocks, databases, once_each, until,
    until_some,
};

const LIMIT: Duration = Duration::from_mins(2);
const PAGE: &str = "strategy.md";
const MIGRATIONS: u32 = 3;

/// Three regions, three engines, one agent beside them. `None`: a server is missing, which was said.
async fn start(test: &str) -> Option<World> {
    let project = Arc::new(Project::new(test));
    let [sqlite, postgres, mariadb] = Server::three(&project, test)?;
    let databases = databases(&[
        ("ap-1", &sqlite),
        ("ap-2", &sqlite),
        ("ap-3", &sqlite),
        ("eu-1", &postgres),
        ("eu-2", &mariadb),
        ("us-1", &postgres),
        ("us-2", &mariadb),
        ("us-3", &sqlite),
    ])
    .await;
    for version in 1..=MIGRATIONS {
        project.table(version, &format!("t{version} (id int PRIMARY KEY, note varchar(40))"));
    }
    let [strategy] = &blocks(PAGE, "strategy", "toml")[..] else { panic!("one strategy") };
    project.write("strategy.toml", strategy);
    let mut spec = AgentSpec::new("a1").serve_regions(&databases);
    spec.slots = 8;
    Some(World::start(project, databases, &spec).await)
}

/// Every migration is in force everywhere, each by one effect, and the log says so.
async fn end(world: World) {
    world.all_at(&["1", "2", "3"]).await;
    let applied = world.applied().await.into_iter().map(|(_, target, version)| (target, version));
    assert_eq!(once_each(applied), world.databases.len() * 3);
    world.end().await;
}

/// How many legs were under way at one time, most: by wave, and by wave and region. Counted from the log.
#[derive(Debug, Default)]
struct Most {
    of_wave: BTreeMap<u32, usize>,
    of_region: BTreeMap<(u32, String), usize>,
}

impl Most {
    fn of(events: &[Event], last: &str) -> Self {
        let (mut most, mut wave, mut at_work) = (Self::default(), 0, BTreeSet::new());
        for event in events {
            match event.body.as_ref().expect("an event says what happened") {
                Body::WaveStarted(it) => wave = it.wave,
                Body::LegAssigned(it) => {
                    assert!(at_work.insert(it.target.clone()), "{} has two legs", it.target);
                    let region = |id: &str| id.split('-').next().unwrap_or_default().to_owned();
                    let own = region(&it.target);
                    let like = at_work.iter().filter(|id| region(id) == own).count();
                    let of_wave = most.of_wave.entry(wave).or_default();
                    *of_wave = at_work.len().max(*of_wave);
                    let of_region = most.of_region.entry((wave, own)).or_default();
                    *of_region = like.max(*of_region);
                }
                Body::StepVerified(it) if it.version == last => drop(at_work.remove(&it.target)),
                Body::LeaseExpired(it) => drop(at_work.remove(&it.target)),
                Body::StepFailed(it) => drop(at_work.remove(&it.target)),
                _ => {}
            }
        }
        most
    }

    fn in_region(&self, wave: u32, region: &str) -> usize {
        self.of_region.get(&(wave, region.to_owned())).copied().unwrap_or_default()
    }
}

/// As many as was said, and no more: of a wave, and of a region.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_legs_are_under_way_at_one_time_than_was_said() {
    let test = "no_more_legs_are_under_way_at_one_time_than_was_said";
    let Some(world) = start(test).await else { return };
    let strategy = "parallelism = 8\nper.region = 2\ncover_classes = false\n\
                    [[wave]]\nname = \"first\"\ncount = 5\nparallelism = 3\n";
    world.project.write("strategy.toml", strategy);
    world.cli.run("apply migrations --strategy strategy.toml --yes").await.exits(0);
    // Three of ap and two of eu, then three of us: there is always one more that would like to begin.
    let events = world.client.events(0).await.expect("the log can be read");
    let most = Most::of(&events, "3");
    assert_eq!(most.of_wave.get(&0), Some(&3), "{most:?}");
    assert_eq!(most.of_wave.get(&1), Some(&2), "{most:?}");
    let of_regions = [(0, "ap"), (1, "us")].map(|(wave, region)| most.in_region(wave, region));
    assert_eq!(of_regions, [2, 2], "{most:?}");
    assert!(most.in_region(0, "eu") <= 2, "{most:?}");
    end(world).await;
}

fn is_soaking(status: &RolloutStatus, wave: usize) -> bool {
    status.waves.get(wave).is_some_and(|wave| wave.soak_until_ms > 0)
}

fn waits_for_a_word(status: &RolloutStatus) -> bool {
    status.reason.contains("waits for somebody's word")
}

/// How many targets of a wave are done.
fn done(status: &RolloutStatus, wave: usize) -> u32 {
    let lanes = status.waves.get(wave).map(|wave| wave.lanes.as_slice()).unwrap_or_default();
    lanes.get(LaneState::Done as usize).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_followed_command_by_command() {
    let Some(world) = start("the_page_is_followed_command_by_command").await else { return };
    let mut page = Runbook::on(PAGE, "strategy");

    let mut flags = Runbook::on(PAGE, "flags");
    let plan = world.follow(&mut flags, "skein plan").await.stdout;
    for wave in ["ap-1 ap-2", "us-3", "ap-3 eu-1 eu-2 us-1", "opens when somebody says so"] {
        assert!(plan.contains(wave), "{wave}\n{plan}");
    }
    flags.ends();

    let plan = world.follow(&mut page, "skein plan").await.stdout;
    // A target of each engine, of the first region that has one.
    for wave in ["ap-1 eu-1 eu-2", "opens when somebody says so", "watched for 3.0 s"] {
        assert!(plan.contains(wave), "{wave}\n{plan}");
    }
    world.follow(&mut page, "skein apply").await;
    world.follow(&mut page, "skein status").await;
    let knobs = world.follow(&mut page, "skein get").await.stdout;
    assert!(knobs.contains("per.region") && knobs.contains("3.0 s"), "{knobs}");
    world.follow(&mut page, "skein set").await;
    world.follow(&mut page, "skein pause mig-0001 --on us-1").await;

    world
        .until_it("mig-0001", "all but the one that is held are done", |it| done(it, 1) == 3)
        .await;
    let status = world.status("mig-0001").await;
    assert!(status.reason.contains("held by somebody, such as us-1"), "{}", status.reason);
    for (words, said) in [
        (&["explain", "mig-0001"][..], "held by somebody, such as us-1"),
        (&["explain", "mig-0001", "us-1"], "somebody holds it: their busy day"),
        (&["explain", "mig-0001", "us-3"], "wave 3 is not open"),
        (&["explain", "mig-0001", "eu-1"], "every step is in force and verified"),
    ] {
        let why = world.cli.run_words(words).await.exits(0).stdout;
        assert!(why.contains(said), "{words:?}: {why}");
    }
    let held = status.lanes.iter().find(|lane| lane.target == "us-1").expect("it has a lane");
    assert_eq!((held.held.as_str(), held.applied), ("their busy day", 0));
    assert_eq!((done(&status, 0), status.wave), (3, 1), "{status:?}");
    world.follow(&mut page, "skein resume mig-0001 --on us-1").await;
    assert_eq!(world.status("mig-0001").await.state(), RolloutState::Running);
    world.until_it("mig-0001", "the third wave waits for a word", waits_for_a_word).await;
    world.follow(&mut page, "skein approve").await;
    world.follow(&mut page, "skein watch").await;
    page.ends();

    // The same of the past, from the log.
    let events = world.client.events(0).await.expect("the log can be read");
    let held = events.iter().find(|it| matches!(it.body, Some(Body::LanesHeld(_))));
    let held = held.expect("it is in the log").seq.to_string();
    let words = ["explain", "mig-0001", "us-1", "--at", &held];
    let why = world.cli.run_words(&words).await.exits(0).stdout;
    assert!(why.contains("somebody holds it: their busy day") && why.contains(&held), "{why}");
    let before = ["explain", "mig-0001", "us-1", "--at", "9"];
    world.cli.run_words(&before).await.exits(2);
    let never = ["explain", "mig-0001", "--at", "999999"];
    assert!(world.cli.run_words(&never).await.exits(2).stderr.contains("no event 999999"));

    let log = world.cli.run("history --rollout mig-0001 -o jsonl").await.exits(0).stdout;
    for said in [
        "set soak to 1.0 s",
        "set per.region to 4",
        "holds us-1: their busy day",
        "lets us-1 go on",
        "lets wave 3 open: half of it looks well",
        "watched wave 1 to the end",
    ] {
        assert!(log.contains(said), "{said}\n{log}");
    }
    end(world).await;
}

/// What is set holds from the next decision on: limits for legs, a budget that is lowered, and one that is raised.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_holds_from_then_on() {
    let test = "what_is_set_holds_from_then_on";
    let Some(world) = start(test).await else { return };
    let strategy = "parallelism = 1\ncover_classes = false\n[[wave]]\nname = \"first\"\ncount = 3\n\
                    [[wave]]\nname = \"rest\"\napproval = true\n";
    world.project.write("strategy.toml", strategy);
    let apply = "apply migrations --strategy strategy.toml --yes --detach";
    world.cli.run(&format!("{apply} --target version=2")).await.exits(0);
    world.until_it("mig-0001", "the second wave waits for a word", waits_for_a_word).await;
    world.cli.run("set mig-0001 parallelism=4 per.region=1").await.exits(0);
    world.cli.run("approve mig-0001").await.exits(0);
    world.cli.run("watch mig-0001").await.exits(0);
    let most = Most::of(&world.client.events(0).await.expect("the log can be read"), "2");
    assert_eq!(most.of_wave, BTreeMap::from([(0, 1), (1, 2)]), "{most:?}");
    assert_eq!((most.in_region(1, "eu"), most.in_region(1, "us")), (1, 1), "{most:?}");

    // Something is in the way on two targets.
    let spoiled = ["us-1", "us-2"].map(|id| world.database(id));
    for database in spoiled {
        database.raw("CREATE TABLE t3 (n int)").await.expect("a table can be made");
    }
    world.cli.run("targets observe").await.exits(0);
    let strategy = "cover_classes = false\nretries = 0\non_breach = \"halt\"\n\
                    [budget]\nfailed = 3\nscope = \"rollout\"\n\
                    [[wave]]\nname = \"first\"\ntargets = [\"us-1\"]\n\
                    [[wave]]\nname = \"rest\"\napproval = true\n";
    world.project.write("strategy.toml", strategy);
    world.cli.run(&format!("{apply} --accept-drift")).await.exits(0);
    let until_it = async |what: &str, holds: fn(&RolloutStatus) -> bool| {
        world.until_it("mig-0002", what, holds).await;
    };
    let halted = |it: &RolloutStatus| it.state() == RolloutState::Halted;
    until_it("one has failed within the budget", waits_for_a_word).await;
    world.cli.run("set mig-0002 budget=0").await.exits(0);
    until_it("the budget is broken at once", halted).await;
    world.cli.run("set mig-0002 budget.percent=25").await.exits(0);
    let knobs = world.cli.run("get mig-0002").await.exits(0).stdout;
    assert!(knobs.contains("25%") && knobs.contains("the share alone holds"), "{knobs}");
    world.cli.run("resume mig-0002 --detach").await.exits(0);
    until_it("a quarter may fail", waits_for_a_word).await;
    world.cli.run("approve mig-0002").await.exits(0);
    until_it("everything else is done", halted).await;
    let lanes = world.client.rollout("mig-0002").await.expect("a status").lanes;
    let failed = lanes.iter().filter(|lane| lane.state() == LaneState::Failed);
    let failed: Vec<&str> = failed.map(|lane| lane.target.as_str()).collect();
    assert_eq!(failed, ["us-1", "us-2"], "{lanes:?}");
    assert!(lanes.iter().filter(|lane| lane.state() == LaneState::Done).count() == 6, "{lanes:?}");
    for database in spoiled {
        database.raw("DROP TABLE t3").await.expect("a table can be dropped");
    }
    world.cli.run("resume mig-0002").await.exits(0);
    end(world).await;
}

/// The leader is killed while a wave is watched, while one waits for a word, right after a knob was set and
/// a target held: what comes of it is what comes of it without.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_leader_was_killed_in_ends_alike() {
    let test = "whatever_the_leader_was_killed_in_ends_alike";
    let Some(mut world) = start(test).await else { return };
    let apply = "apply migrations --strategy strategy.toml --yes --detach";
    world.cli.run(apply).await.exits(0);
    world.until_it("mig-0001", "the first wave is watched", |it| is_soaking(it, 0)).await;
    let until_ms = world.status("mig-0001").await.waves[0].soak_until_ms;
    world.behead().await;
    // It is watched for as long as it was to be, and not from the beginning.
    let after = world.status("mig-0001").await;
    assert!(!is_soaking(&after, 0) || after.waves[0].soak_until_ms == until_ms, "{after:?}");

    world.cli.run("set mig-0001 soak=2s parallelism=1").await.exits(0);
    world.cli.run_words(&["pause", "mig-0001", "--on", "us-*", "--reason", "wait"]).await.exits(0);
    world.behead().await;
    let knobs = world.cli.run("get mig-0001 -o json").await.exits(0).stdout;
    assert!(knobs.contains("2.0 s"), "{knobs}");
    let lanes = world.status("mig-0001").await.lanes;
    let held = lanes.iter().filter(|lane| !lane.held.is_empty()).count();
    assert_eq!(held, 3, "{lanes:?}");
    world.cli.run_words(&["resume", "mig-0001", "--on", "us-*", "--detach"]).await.exits(0);

    world.until_it("mig-0001", "the third wave waits for a word", waits_for_a_word).await;
    world.behead().await;
    world.until_it("mig-0001", "it still waits", waits_for_a_word).await;
    world.cli.run("watch mig-0001 --timeout 1s").await.exits(11);
    assert_eq!(done(&world.status("mig-0001").await, 2), 0);
    world.cli.run("approve mig-0001").await.exits(0);
    world.cli.run("watch mig-0001").await.exits(0);
    end(world).await;
}

/// Kills the leader while a request stands in its log and in no other; which node it was. A leader that hears of nobody
/// steps down, and where it did so before it had it in hand another one is tried.
async fn killed_with_it_in_hand(world: &mut World, request: &v1::SetRequest) -> u64 {
    const TRIES: u32 = 6;
    for _ in 0..TRIES {
        let leader = world.cluster.leader().await;
        // It serves, and has nothing else to write.
        let windows = vec![v1::Knob { knob: Some(Knob::Windows(true)) }];
        let settled = async || {
            let (asker, rollout) = (Some(Client::asker()), request.rollout.clone());
            let request = v1::SetRequest { asker, rollout, knobs: windows.clone() };
            world.cluster.client(leader).rollouts().set(request).await.is_ok()
        };
        until("the leader takes requests", LIMIT, settled).await;
        world.cluster.settled().await;
        world.cluster.stop_others(leader);
        let before = world.cluster.written(leader);
        let (client, first) = (world.cluster.client(leader), request.clone());
        let set = tokio::spawn(async move { client.rollouts().set(first).await });
        let over = async || world.cluster.written(leader) != before || set.is_finished();
        until("the leader has it in hand, or says that it leads no more", LIMIT, over).await;
        let in_hand = !set.is_finished();
        if in_hand {
            world.cluster.kill9(leader);
        }
        world.cluster.cont();
        let answer = set.await.expect("nobody panics in it");
        if in_hand {
            answer.expect_err("nobody is left who could answer");
            return leader;
        }
        answer.expect_err("it was answered by one node of three");
    }
    panic!("in {TRIES} rounds no leader had it in hand");
}

/// The leader has a `set` in hand that it cannot commit, and is killed: whoever asked repeats it, and whatever
/// became of the first time, the knob is set once.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_the_leader_was_killed_in_is_set_once() {
    let test = "a_set_that_the_leader_was_killed_in_is_set_once";
    let Some(mut world) = start(test).await else { return };
    let apply = "apply migrations --strategy strategy.toml --yes --detach";
    world.cli.run(apply).await.exits(0);
    world.until_it("mig-0001", "the third wave waits for a word", waits_for_a_word).await;
    for round in 1..=3 {
        let knobs = vec![v1::Knob { knob: Some(Knob::Retries(6 + round)) }];
        let rollout = "mig-0001".to_owned();
        let request = v1::SetRequest { asker: Some(Client::asker()), rollout, knobs };
        let leader = killed_with_it_in_hand(&mut world, &request).await;
        // What it had in hand is there again in two rounds of three, before somebody leads.
        if round > 1 {
            world.cluster.start_node(leader);
        }
        world.client = world.cluster.client(world.cluster.leader().await);
        let again = async || world.client.rollouts().set(request.clone()).await.ok();
        until_some("whoever asked is answered", LIMIT, again).await;
        if round == 1 {
            world.cluster.start_node(leader);
        }
        world.client = world.cluster.client(world.cluster.leader().await);
    }
    let events = world.client.events(0).await.expect("the log can be read");
    let set = events.into_iter().filter_map(|event| match event.body {
        Some(Body::KnobSet(it)) => it.knob.and_then(|knob| knob.knob),
        _ => None,
    });
    let set: Vec<Knob> = set.filter(|knob| matches!(knob, Knob::Retries(_))).collect();
    assert_eq!(set, [Knob::Retries(7), Knob::Retries(8), Knob::Retries(9)]);
    world.cli.run("approve mig-0001").await.exits(0);
    world.cli.run("watch mig-0001").await.exits(0);
    end(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_at_once_stops_legs_after_their_step_and_an_abort_leaves_them_so() {
    let test = "a_pause_at_once_stops_legs_after_their_step_and_an_abort_leaves_them_so";
    let Some(server) = Server::shared(Engine::Postgres, test) else { return };
    let project = Arc::new(Project::new(test));
    for version in 1..=9 {
        // Long enough for somebody to say something meanwhile.
        let up = format!("CREATE TABLE t{version} (id int); SELECT pg_sleep(0.4);\n");
        let name = format!("migrations/{version:04}_table");
        project.migration(&name, &up, &format!("DROP TABLE t{version};\n"));
    }
    let databases = databases(&[("eu-1", &server)]).await;
    let spec = AgentSpec::new("a1").serve(&databases);
    let world = World::start(project, databases, &spec).await;
    let (cli, database) = (&world.cli, &world.databases[0]);
    let lane = ("mig-0001", "eu-1");

    cli.run("apply migrations --yes --detach").await.exits(0);
    world.until_lane(lane, "has begun", |it| it.applied > 0).await;
    cli.run("pause mig-0001 --now").await.exits(0);
    let stopped = world.until_is(lane, LaneState::Ready).await;
    assert!((1..9).contains(&stopped.applied), "{stopped:?}");
    assert_eq!(database.in_force().await.len(), stopped.applied as usize);

    cli.run("resume mig-0001 --detach").await.exits(0);
    world.until_lane(lane, "goes on", |it| it.applied > stopped.applied).await;
    cli.run("abort mig-0001 --reason enough").await.exits(0);
    world.until_it("mig-0001", "it is halted", |it| it.state() == RolloutState::Halted).await;
    let status = world.client.rollout("mig-0001").await.expect("a status");
    assert_eq!(status.reason, "given up: enough");
    let left = database.in_force().await.len();
    assert!(left > stopped.applied as usize && left < 9, "{left} in force");

    // A knob of what is halted is set, and it is taken back whole.
    cli.run("set mig-0001 retries=1").await.exits(0);
    cli.run("rollback mig-0001 --yes").await.exits(0);
    assert_eq!(database.in_force().await, [""; 0]);
    // It may be resumed yet, by an explicit word.
    cli.run("set mig-0001 retries=2").await.exits(0);
    let refused = cli.run("resume mig-0001").await;
    assert!(refused.code == Some(21) && refused.stderr.contains("--rolled-back"), "{refused:?}");
    world.end().await;
}

/// Two rollouts have targets of one host, and one of them says that it bears one leg at a time: so it is for both.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_rollout_says_of_a_resource_group_holds_for_another() {
    let test = "what_one_rollout_says_of_a_resource_group_holds_for_another";
    let Some(server) = Server::shared(Engine::Postgres, test) else { return };
    let project = Arc::new(Project::new(test));
    let targets = ["a-1", "a-2", "a-3", "b-1", "b-2", "b-3"].map(|id| (id, &server));
    let databases = databases(&targets).await;
    // Each leg leaves in its target from when until when it was at work.
    let span = "CREATE TABLE span (since timestamptz, until timestamptz);\n\
                INSERT INTO span VALUES (clock_timestamp(), NULL);\nSELECT pg_sleep(0.3);\n";
    project.migration("migrations/0001_span", span, "DROP TABLE span;\n");
    let end = "SELECT pg_sleep(0.3);\nUPDATE span SET until = clock_timestamp();\n";
    project.migration("migrations/0002_end", end, "UPDATE span SET until = NULL;\n");
    let mut spec = AgentSpec::new("a1");
    spec.slots = 8;
    for database in &databases {
        let group = "{}\ngroup = \"host-1\"".to_owned();
        spec.targets.push((database.id.clone(), database.url.clone(), group));
    }
    let world = World::start(project, databases, &spec).await;

    let mut page = Runbook::on(PAGE, "groups");
    world.follow(&mut page, "skein apply migrations --on \"a-*\" --per-group 1").await;
    world.follow(&mut page, "skein apply migrations --on \"b-*\"").await;
    let said =
        "1 target of resource group host-1 is worked on, and no more may be, as mig-0001 says";
    let named = || async {
        let why = world.cli.run("explain mig-0002 b-1").await.stdout;
        why.contains(said)
    };
    until("the second says for whom it waits", LIMIT, named).await;
    world.follow(&mut page, "skein explain mig-0002 b-1").await;
    world.follow(&mut page, "skein watch mig-0001").await;
    world.follow(&mut page, "skein watch mig-0002").await;
    page.ends();

    let mut spans = Vec::new();
    for database in &world.databases {
        let sql = "SELECT (extract(epoch from since) * 1000)::bigint::text || ' ' || \
                   (extract(epoch from until) * 1000)::bigint::text FROM span";
        let told = database.column(sql).await.expect("it was at work");
        let (since, until) = told[0].split_once(' ').expect("two times");
        let ms = |text: &str| text.parse::<u64>().expect("a number");
        spans.push((ms(since), ms(until), database.id.as_str()));
    }
    spans.sort_unstable();
    // The second one may have several at once when the first has ended.
    let last =
        spans.iter().filter(|(.., id)| id.starts_with("a-")).map(|(_, until, _)| *until).max();
    let bound = spans.iter().filter(|(since, ..)| Some(*since) < last).collect::<Vec<_>>();
    assert!(bound.len() >= 3, "{spans:?}");
    for pair in bound.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "two legs at one time: {spans:?}");
    }
    world.end().await;
}
