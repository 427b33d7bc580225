//! Gates over real servers: after waves, in soaks, around steps. The strategy and the commands are those of
//! `docs/gates.md`.

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use skein_proto::log::v1::event::Body;
use skein_proto::log::v1::{Event, GateJudged};
use skein_proto::v1::{LaneState, RolloutState, RolloutStatus};
use support::{
    Agent, AgentSpec, Cluster, Project, Runbook, Server, World, blocks, databases, once_each,
    until, web,
};

const LIMIT: Duration = Duration::from_mins(2);
const PAGE: &str = "gates.md";
/// What only the agent and the server know.
const TOKEN: &str = "t0ken-of-nobody";

/// Asked in any target but one it is good.
const IN_B_1: &str = "test \"$SKEIN_TARGET\" != b-1 || exit $(cat answer)";

/// A shop, and a Prometheus beside it, as far as a gate sees them.
#[derive(Debug, Default)]
struct Shop {
    /// It answers 503.
    broken: AtomicBool,
    asked: AtomicU32,
    /// What Prometheus says; empty: it has no data.
    errors: Mutex<String>,
    /// The last token that it was shown.
    token: Mutex<String>,
}

impl Shop {
    /// Opens.
    fn open() -> (Arc<Self>, String) {
        let shop = Arc::new(Self::default());
        "0.001".clone_into(&mut shop.errors.lock().expect("nobody panics in it"));
        let served = Arc::clone(&shop);
        (shop, web(move |asked| served.answer(asked)))
    }

    fn answer(&self, asked: &str) -> (&'static str, String) {
        if asked.starts_with("GET /api/v1/query?query=sum%28rate") {
            let token = asked.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
            token.unwrap_or_default().clone_into(&mut self.token.lock().expect("whole"));
            let errors = self.errors.lock().expect("nobody panics in it").clone();
            let series = if errors.is_empty() {
                String::new()
            } else {
                format!("{{\"metric\":{{}},\"value\":[1,{errors:?}]}}")
            };
            let data = format!("{{\"resultType\":\"vector\",\"result\":[{series}]}}");
            ("200 OK", format!("{{\"status\":\"success\",\"data\":{data}}}"))
        } else {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let broken = self.broken.load(Ordering::Relaxed);
            (if broken { "503 Busy" } else { "200 OK" }, "hello".to_owned())
        }
    }
}

/// Three engines, so many agents which serve the same targets, and what they may ask. `None`: a server is missing,
/// which was said.
async fn start(test: &str, agents: u32) -> Option<(World, Arc<Shop>)> {
    let project = Arc::new(Project::new(test));
    let [sqlite, postgres, mariadb] = Server::three(&project, test)?;
    let targets = [("a-1", &sqlite), ("a-2", &sqlite), ("b-1", &postgres), ("c-1", &mariadb)];
    let databases = databases(&targets).await;
    project.table(1, "orders (id int PRIMARY KEY, total int)");
    let (shop, url) = Shop::open();
    let [strategy, sources] = &blocks(PAGE, "gates", "toml")[..] else {
        panic!("a strategy, and what agents have")
    };
    project.write("strategy.toml", strategy);
    project.write("answer", "0");
    program(&project, "smoke", "test \"$1\" = --fast || exit 9; exit $(cat answer)");
    let cluster = Cluster::start(&project).await;
    let mut world = World::of(project, cluster, databases).await;
    for number in 1..=agents {
        let mut spec = AgentSpec::new(&format!("a{number}")).serve(&world.databases);
        spec.more.clone_from(sources);
        let variables =
            [("SHOP_URL", &*url), ("PROMETHEUS_URL", &*url), ("PROMETHEUS_TOKEN", TOKEN)];
        world.comes_with(&spec, &variables).await;
    }
    Some((world, shop))
}

/// Each step of each target had one effect, and no secret of an agent's is in the log.
async fn end(world: World) {
    for event in world.events().await {
        let said = format!("{event:?}");
        assert!(!said.contains(TOKEN) && !said.contains("http://"), "{said}");
    }
    once_each(world.applied().await);
    world.end().await;
}

fn program(project: &Project, name: &str, text: &str) {
    let path = project.write(name, &format!("#!/bin/sh\n{text}\n"));
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).expect("it may run");
}

fn is_soaking(status: &RolloutStatus, wave: usize) -> bool {
    status.waves.get(wave).is_some_and(|wave| wave.soak_until_ms > 0)
}

/// Of one gate: in which targets it passed, in order.
fn passed<'a>(judged: &'a [(bool, GateJudged)], gate: &str) -> Vec<&'a str> {
    let of = judged.iter().filter(|(passed, it)| *passed && it.gate == gate);
    let mut targets: Vec<&str> = of.map(|(_, it)| it.target.as_str()).collect();
    targets.sort_unstable();
    targets
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_the_page_is_followed_command_by_command() {
    let test = "gates_the_page_is_followed_command_by_command";
    let Some((world, shop)) = start(test, 1).await else { return };
    let mut page = Runbook::on(PAGE, "gates");
    let run = async |page: &mut Runbook, begins: &str, code| {
        world.cli.follow(page, begins).await.exits(code)
    };

    let plan = run(&mut page, "skein plan", 0).await.stdout;
    for said in [
        "gate no order is lost",
        "sql: SELECT count(*) FROM orders WHERE total IS NULL",
        "after a wave (canary)",
        "2 of the last 3, every 200",
        "< 0.01",
    ] {
        assert!(plan.contains(said), "{said}\n{plan}");
    }
    run(&mut page, "skein apply", 0).await;
    world.until_it("mig-0001", "the first wave is watched", |it| is_soaking(it, 0)).await;
    let why = run(&mut page, "skein explain", 0).await.stdout;
    assert!(why.contains("is watched for") && why.contains("its gates are asked"), "{why}");
    let why = world.cli.run("explain mig-0001 a-2").await.exits(0).stdout;
    assert!(why.contains("wave 2 is not open: wave 1 (canary) is watched"), "{why}");
    run(&mut page, "skein watch", 0).await;
    let told = run(&mut page, "skein history", 0).await.stdout;
    for said in [
        "gate no order is lost passed in c-1, for wave 1: 0 (expected 0)",
        "gate smoke test passed for wave 1: 0",
        "gate the shop answers passed for wave 2: 200, 200",
        "gate few errors passed for wave 2: 0.001",
        "gate not read only passed in a-2, for step 1: 1",
    ] {
        assert!(told.contains(said), "{said}\n{told}");
    }
    page.ends();
    let judged = world.judged().await;
    assert_eq!(passed(&judged, "no order is lost"), ["a-1", "a-2", "b-1", "c-1"]);
    assert_eq!(passed(&judged, "not read only"), ["a-1", "a-2", "b-1", "c-1"]);
    assert_eq!(passed(&judged, "smoke test"), [""]);
    assert_eq!(passed(&judged, "the shop answers"), ["", ""]);
    assert_eq!(*shop.token.lock().expect("whole"), TOKEN);
    // Two soaks of three seconds, five times a second each.
    let asked = shop.asked.load(Ordering::Relaxed);
    assert!(asked >= 12, "asked {asked} times");

    let mut page = Runbook::on(PAGE, "breach");
    world.project.table(2, "carts (id int PRIMARY KEY)");
    world.project.write("answer", "7");
    run(&mut page, "skein apply", 30).await;
    let status = run(&mut page, "skein status", 0).await.stdout;
    let said = "gate `smoke test` of wave 1 (canary) did not pass: 7 (expected 0)";
    assert!(status.contains(said), "{status}");
    page.ends();
    assert_eq!(world.in_force().await, vec![vec!["1".to_owned()]; 4]);
    end(world).await;
}

/// Each kind of question at each moment: none is left out in silence.
#[tokio::test(flavor = "multi_thread")]
async fn gates_of_every_kind_are_asked_at_every_moment() {
    let test = "gates_of_every_kind_are_asked_at_every_moment";
    let Some((world, _)) = start(test, 1).await else { return };
    let kinds = [
        ("sql", "sql = \"SELECT 1\"\nexpect = 1"),
        ("http", "http = \"shop\""),
        ("command", "command = \"smoke\""),
        (
            "prometheus",
            "prometheus = { source = \"prom\", query = \"sum(rate(x[1m]))\" }\nexpect = \"< 1\"",
        ),
        ("latency", "latency = { queries = [\"SELECT 1\"], runs = 20 }\nexpect = \"p95 <= 30s\""),
    ];
    let moments = ["before_step", "after_step", "after_wave", "soak"];
    let gate = |(when, (kind, question)): (&str, (&str, &str))| {
        format!(
            "[[gate]]\nname = \"{when} {kind}\"\nwhen = {when:?}\n{question}\n\
             interval = \"300ms\"\ntimeout = \"30s\"\n"
        )
    };
    let all = moments.iter().flat_map(|when| kinds.iter().map(move |kind| (*when, *kind)));
    let gates: String = all.map(gate).collect();
    world.project.write("strategy.toml", &format!("soak = \"1s\"\n{gates}"));
    world.cli.run("apply migrations --strategy strategy.toml --yes").await.exits(0);
    let judged = world.judged().await;
    assert!(judged.iter().all(|(passed, _)| *passed), "{judged:?}");
    for when in moments {
        for (kind, _) in kinds {
            // Around a step, and where it is about a target, in each of them; else once.
            let in_each = when.ends_with("_step") || matches!(kind, "sql" | "latency");
            let targets = if in_each { &["a-1", "a-2", "b-1", "c-1"][..] } else { &[""] };
            assert_eq!(passed(&judged, &format!("{when} {kind}")), targets, "{when} {kind}");
        }
    }
    end(world).await;
}

/// A gate that speaks of one target, and a strategy that halts: what is mended goes on, and runs nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn gates_that_halt_a_rollout_are_asked_again_when_it_is_resumed() {
    let test = "gates_that_halt_a_rollout_are_asked_again_when_it_is_resumed";
    let Some((world, _)) = start(test, 1).await else { return };
    world.project.write(
        "strategy.toml",
        "on_breach = \"halt\"\n[[gate]]\nname = \"rows\"\nwhen = \"after_wave\"\n\
         sql = \"SELECT total FROM orders\"\nexpect = \">= 1\"\nsamples = 2\nneed = 1\n\
         interval = \"100ms\"\n",
    );
    let id = "mig-0001";
    world.begin().await;
    // Nobody has a row yet, and no row is no answer.
    world.until_it(id, "it halts", |it| it.state() == RolloutState::Halted).await;
    let status = world.status(id).await;
    assert!(
        status.reason.contains("gate `rows` of wave 1 (all) could not be told in"),
        "{status:?}"
    );
    assert!(status.reason.contains("answers no row"), "{status:?}");
    assert_eq!(world.in_force().await, vec![vec!["1".to_owned()]; 4]);
    for (database, total) in world.databases.iter().zip([1, 1, 0, 5]) {
        database.raw(&format!("INSERT INTO orders VALUES (1, {total})")).await.expect("a row");
    }
    world.cli.run("resume mig-0001 --detach").await.exits(0);
    world.until_it(id, "b-1 holds it back", |it| it.reason.contains("in b-1: 0")).await;
    world.databases[2].raw("UPDATE orders SET total = 1").await.expect("mended");
    world.cli.run("resume mig-0001").await.exits(0);
    end(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_in_a_soak_are_a_breach_at_once() {
    let test = "gates_in_a_soak_are_a_breach_at_once";
    let Some((world, shop)) = start(test, 1).await else { return };
    world.project.write(
        "strategy.toml",
        "soak = \"10m\"\non_breach = \"rollback_rollout\"\n[[gate]]\nname = \"shop\"\n\
         when = \"soak\"\nhttp = \"shop\"\nsamples = 3\nneed = 2\ninterval = \"100ms\"\n\
         [[gate]]\nname = \"errors\"\nwhen = \"soak\"\ninterval = \"100ms\"\nexpect = \"< 1\"\n\
         prometheus = { source = \"prom\", query = \"sum(rate(x[1m]))\" }\n",
    );
    world.begin().await;
    world.until_it("mig-0001", "it is watched", |it| is_soaking(it, 0)).await;
    let asked = || shop.asked.load(Ordering::Relaxed);
    until("the shop was asked ten times", LIMIT, || async { asked() > 10 }).await;
    assert_eq!(world.status("mig-0001").await.state(), RolloutState::Running);
    shop.broken.store(true, Ordering::Relaxed);
    world.cli.run("watch mig-0001").await.exits(30);
    let status = world.status("mig-0001").await;
    assert!(status.reason.contains("gate `shop` of wave 1 (all) did not pass"), "{status:?}");
    assert_eq!(world.in_force().await, vec![Vec::<String>::new(); 4]);
    // And so is having no data.
    shop.broken.store(false, Ordering::Relaxed);
    world.begin().await;
    world.until_it("mig-0002", "it is watched", |it| is_soaking(it, 0)).await;
    shop.errors.lock().expect("whole").clear();
    world.cli.run("watch mig-0002").await.exits(30);
    let status = world.status("mig-0002").await;
    assert!(
        status.reason.contains("gate `errors` of wave 1 (all) could not be told"),
        "{status:?}"
    );
    // Nobody asks any more.
    let quiet = asked();
    let told = "a gate that is asked no more";
    let once = || async { world.cli.run("history --rollout mig-0002").await.code == Some(0) };
    until(told, LIMIT, once).await;
    assert!(asked() <= quiet + 2, "asked {} times after the end", asked() - quiet);
    end(world).await;
}

/// The leader is killed while a wave's gates are asked, and while they are in its soak.
#[tokio::test(flavor = "multi_thread")]
async fn gates_end_alike_whatever_the_leader_was_killed_in() {
    let test = "gates_end_alike_whatever_the_leader_was_killed_in";
    let Some((mut world, _)) = start(test, 2).await else { return };
    program(&world.project, "smoke", "while test ! -e go; do sleep 0.05; done");
    world.project.write(
        "strategy.toml",
        "soak = \"4s\"\n[[gate]]\nname = \"rows\"\nwhen = \"after_wave\"\n\
         sql = \"SELECT count(*) FROM orders\"\nexpect = 0\n\
         [[gate]]\nname = \"smoke\"\nwhen = \"after_wave\"\ncommand = \"smoke\"\ntimeout = \"1m\"\n\
         [[gate]]\nname = \"shop\"\nwhen = \"soak\"\nhttp = \"shop\"\ninterval = \"100ms\"\n\
         [[gate]]\nname = \"still\"\nwhen = \"soak\"\nsql = \"SELECT 7\"\nexpect = 7\n\
         interval = \"500ms\"\n",
    );
    world.begin().await;
    let waits =
        |it: &RolloutStatus| it.reason.contains("`smoke`, 1 of 5 answers are still to come");
    world.until_it("mig-0001", "all but one have answered", waits).await;
    world.behead().await;
    world.until_it("mig-0001", "it is still asked", waits).await;
    assert_eq!(world.judged().await.len(), 4);
    world.project.write("go", "");
    world.until_it("mig-0001", "it is watched", |it| is_soaking(it, 0)).await;
    world.behead().await;
    world.cli.run("watch mig-0001").await.exits(0);
    let judged = world.judged().await;
    assert!(judged.iter().all(|(passed, _)| *passed), "{judged:?}");
    assert_eq!(passed(&judged, "rows"), ["a-1", "a-2", "b-1", "c-1"]);
    assert_eq!(passed(&judged, "still"), ["a-1", "a-2", "b-1", "c-1"]);
    assert_eq!((passed(&judged, "smoke").len(), passed(&judged, "shop").len()), (1, 1));
    end(world).await;
}

/// An agent dies while it asks: another one asks anew, under a fence of its own.
#[tokio::test(flavor = "multi_thread")]
async fn gates_of_an_agent_that_died_are_asked_by_another() {
    let test = "gates_of_an_agent_that_died_are_asked_by_another";
    let Some((mut world, _)) = start(test, 2).await else { return };
    program(&world.project, "smoke", "while test ! -e go; do sleep 0.05; done");
    world.project.write("strategy.toml", 
        "[[gate]]\nname = \"smoke\"\nwhen = \"after_wave\"\ncommand = \"smoke\"\ntimeout = \"1m\"\n",
    );
    world.begin().await;
    let asked = async |world: &World| -> Vec<String> {
        let asked = |event: Event| match event.body {
            Some(Body::GateAsked(asked)) => Some(asked.agent),
            _ => None,
        };
        world.events().await.into_iter().filter_map(asked).collect()
    };
    until("somebody asks", LIMIT, || async { !asked(&world).await.is_empty() }).await;
    let first = asked(&world).await[0].clone();
    let at = world.agents.iter().position(|agent| agent.id == first).expect("one of them");
    world.agents[at].kill9();
    until("another one asks", LIMIT, || async { asked(&world).await.len() == 2 }).await;
    assert_ne!(asked(&world).await[1], first);
    world.project.write("go", "");
    world.cli.run("watch mig-0001").await.exits(0);
    assert_eq!(passed(&world.judged().await, "smoke"), [""]);
    end(world).await;
}

/// Nobody is left who could ask in a target that is done: the rollout says so, and goes on without it on somebody's word.
#[tokio::test(flavor = "multi_thread")]
async fn gates_in_a_target_that_went_away_are_passed_by_a_word() {
    let test = "gates_in_a_target_that_went_away_are_passed_by_a_word";
    let Some((mut world, _)) = start(test, 1).await else { return };
    world.project.write(
        "strategy.toml",
        "soak = \"2s\"\n[[gate]]\nname = \"rows\"\nwhen = \"soak\"\n\
         sql = \"SELECT count(*) FROM orders\"\nexpect = 0\ninterval = \"200ms\"\n",
    );
    world.begin().await;
    world.until_it("mig-0001", "it is watched", |it| is_soaking(it, 0)).await;
    world.agents.clear();
    let spec = AgentSpec::new("a9").serve(&world.databases[..3]);
    world.agents.push(Agent::start(&world.project, &world.cluster, &spec));
    let said = "cannot be asked: no agent that asks gates is connected for c-1";
    world.until_it("mig-0001", "it says where nobody asks", |it| it.reason.contains(said)).await;
    world.behead().await;
    world.until_it("mig-0001", "it still does", |it| it.reason.contains(said)).await;
    let skip =
        ["repair", "skip", "mig-0001", "--on", "c-1", "--waive", "its host is gone", "--yes"];
    world.cli.run_words(&skip).await.exits(0);
    world.cli.run("watch mig-0001").await.exits(0);
    let status = world.status("mig-0001").await;
    let left = status.lanes.iter().filter(|lane| lane.state() == LaneState::Waived);
    let left: Vec<&str> = left.map(|lane| lane.target.as_str()).collect();
    assert_eq!((status.state(), left), (RolloutState::Completed, vec!["c-1"]), "{status:?}");
    assert_eq!(passed(&world.judged().await, "rows"), ["a-1", "a-2", "b-1"]);
    assert_eq!(world.in_force().await, vec![vec!["1".to_owned()]; 4]);
    end(world).await;
}

/// Before a step nothing of it is in force, after it all of it is, and what is resumed is not run again.
#[tokio::test(flavor = "multi_thread")]
async fn gates_around_a_step_say_what_of_it_is_in_force() {
    let test = "gates_around_a_step_say_what_of_it_is_in_force";
    let Some((world, shop)) = start(test, 1).await else { return };
    world.project.table(2, "carts (id int PRIMARY KEY)");
    let strategy = |when: &str| {
        format!(
            "on_breach = \"halt\"\nbudget.failed = 1\n[[gate]]\nname = \"smoke\"\nwhen = {when:?}\n\
             command = \"smoke\"\n"
        )
    };
    program(&world.project, "smoke", IN_B_1);
    world.project.write("answer", "3");
    world.project.write("strategy.toml", &strategy("before_step"));
    let id = "mig-0001";
    world.begin().await;
    world.until_it(id, "it halts", |it| it.state() == RolloutState::Halted).await;
    let lane = async |id: &str| {
        let status = world.status(id).await;
        status.lanes.into_iter().find(|lane| lane.target == "b-1").expect("it is part of it")
    };
    let failed = lane(id).await;
    assert_eq!((failed.state(), failed.applied), (LaneState::Failed, 0));
    let said = "gate `smoke` before the step did not pass: 3 (expected 0)";
    assert!(failed.note.contains(said), "{failed:?}");
    assert_eq!(world.in_force().await[2], Vec::<String>::new());
    world.project.write("answer", "0");
    world.cli.run("resume mig-0001").await.exits(0);
    world.cli.run("rollback mig-0001 --yes").await.exits(0);

    world.project.write("answer", "4");
    let before = "[[gate]]\nname = \"open\"\nwhen = \"before_step\"\nhttp = \"shop\"\n";
    world.project.write("strategy.toml", &format!("{}{before}", strategy("after_step")));
    let id = "mig-0002";
    world.begin().await;
    world.until_it(id, "it halts", |it| it.state() == RolloutState::Halted).await;
    let failed = lane(id).await;
    assert_eq!((failed.state(), failed.applied, failed.verified), (LaneState::Failed, 1, 0));
    assert_eq!(world.in_force().await[2], ["1"]);
    // Still: it is found in force, and asked again. What holds before it alone is not: it has been.
    shop.broken.store(true, Ordering::Relaxed);
    world.cli.run("resume mig-0002 --detach").await.exits(0);
    let failures = async || {
        let judged = world.judged().await;
        let here = |it: &GateJudged| it.rollout == 2 && it.target == "b-1";
        let failed = judged.into_iter().filter(|(passed, it)| !passed && here(it));
        failed.map(|(_, it)| it.gate).collect::<Vec<_>>()
    };
    until("it fails again", LIMIT, || async { failures().await.len() == 2 }).await;
    assert_eq!(failures().await, ["smoke", "smoke"]);
    world.until_it(id, "it halts", |it| it.state() == RolloutState::Halted).await;
    // The next step is one that is still to be begun.
    world.project.write("answer", "0");
    world.cli.run("resume mig-0002 --detach").await.exits(0);
    until("the next one fails", LIMIT, || async { failures().await.len() == 3 }).await;
    world.until_it(id, "it halts", |it| it.state() == RolloutState::Halted).await;
    let failed = lane(id).await;
    assert_eq!((failed.applied, failed.verified), (1, 1), "{failed:?}");
    shop.broken.store(false, Ordering::Relaxed);
    world.cli.run("resume mig-0002").await.exits(0);
    assert_eq!(world.in_force().await, vec![vec!["1".to_owned(), "2".to_owned()]; 4]);
    end(world).await;
}

/// One failure is within the budget, and yet nothing goes on: until the gate passes, or because the gate itself
/// leaves it to the budget.
#[tokio::test(flavor = "multi_thread")]
async fn gates_around_a_step_are_a_breach_unless_they_count_against_the_budget() {
    let test = "gates_around_a_step_are_a_breach_unless_they_count_against_the_budget";
    let Some((mut world, _)) = start(test, 1).await else { return };
    program(&world.project, "smoke", IN_B_1);
    let strategy = |more: &str| {
        format!(
            "on_breach = \"halt\"\nbudget.failed = 1\ncover_classes = false\n\
             [[wave]]\nname = \"first\"\ntargets = [\"b-*\"]\n\
             [[wave]]\nname = \"rest\"\n\
             [[gate]]\nname = \"smoke\"\nwhen = \"after_step\"\ncommand = \"smoke\"\n{more}"
        )
    };
    world.project.write("answer", "3");
    world.project.write("strategy.toml", &strategy(""));
    world.begin().await;
    world.until_it("mig-0001", "it halts", |it| it.state() == RolloutState::Halted).await;
    let reason = world.status("mig-0001").await.reason;
    let said = "gate `smoke` of step 1 did not pass in b-1: 3 (expected 0)";
    assert!(reason.contains(said), "{reason}");
    let none = Vec::<String>::new();
    let here = vec!["1".to_owned()];
    assert_eq!(world.in_force().await, [&none, &none, &here, &none].map(Clone::clone));
    let told = world.cli.run("history --rollout mig-0001").await.exits(0).stdout;
    assert!(told.contains("did not pass in b-1, for step 1, a breach: 3"), "{told}");
    // A new leader holds it back as well, and a retry of the target alone is all that it takes.
    world.behead().await;
    world.project.write("answer", "0");
    world.cli.run("repair retry mig-0001 --on b-1").await.exits(0);
    world.until_it("mig-0001", "it is done", |it| it.state() == RolloutState::Completed).await;
    assert_eq!(world.in_force().await, vec![here.clone(); 4]);

    world.project.table(2, "carts (id int PRIMARY KEY)");
    world.project.write("answer", "3");
    world.project.write("strategy.toml", &strategy("on_failure = \"budget\"\n"));
    let plan = world.cli.run("plan migrations --strategy strategy.toml").await.exits(0).stdout;
    assert!(plan.contains("counts against the budget"), "{plan}");
    world.begin().await;
    // The others are done, one failure is left over.
    world.until_it("mig-0002", "it halts", |it| it.state() == RolloutState::Halted).await;
    let status = world.status("mig-0002").await;
    assert!(!status.reason.contains("gate"), "{status:?}");
    let both = ["1".to_owned(), "2".to_owned()].to_vec();
    assert_eq!(world.in_force().await, vec![both; 4]);
    world.project.write("answer", "0");
    world.cli.run("resume mig-0002").await.exits(0);

    world.project.write("strategy.toml", "[[gate]]\nname = \"x\"\nwhen = \"after_wave\"\ncommand = \"smoke\"\non_failure = \"budget\"\n");
    let plan = world.cli.run("plan migrations --strategy strategy.toml").await.exits(2).stderr;
    assert!(plan.contains("is for gates around steps"), "{plan}");
    end(world).await;
}

/// What no agent's configuration names is not asked, and a query ends with its time.
#[tokio::test(flavor = "multi_thread")]
async fn gates_ask_nothing_that_the_agents_file_does_not_name() {
    let test = "gates_ask_nothing_that_the_agents_file_does_not_name";
    let Some((world, _)) = start(test, 1).await else { return };
    world.project.write(
        "strategy.toml",
        "[[gate]]\nname = \"x\"\nwhen = \"after_wave\"\ncommand = \"reboot\"\n",
    );
    world.begin().await;
    let said = "gate `x` of wave 1 (all) cannot be asked: no connected agent that serves a target of the \
                wave has [agent.gate.reboot] in its skein.toml";
    world.until_it("mig-0001", "it says why it waits", |it| it.reason == said).await;
    world.cli.run("abort mig-0001 --reason enough").await.exits(0);
    world.until_it("mig-0001", "it halts", |it| it.state() == RolloutState::Halted).await;
    world.cli.run("rollback mig-0001 --yes").await.exits(0);

    for (select, slow) in [
        ("b-1", "SELECT pg_sleep(60)"),
        ("c-1", "SELECT SLEEP(60)"),
        (
            "a-1",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
        ),
    ] {
        world.project.write(
            "strategy.toml",
            &format!(
                "[[gate]]\nname = \"slow\"\nwhen = \"after_wave\"\nsql = {slow:?}\nexpect = 1\n\
             timeout = \"300ms\"\n"
            ),
        );
        let apply = ["apply", "migrations", "--strategy", "strategy.toml", "--yes", "--on", select];
        let ran = world.cli.run_words(&apply).await.exits(31);
        assert!(
            ran.stdout.contains("could not be told") || ran.stderr.contains("could not be told")
        );
        let rollouts = world.judged().await;
        let (passed, last) = rollouts.last().expect("it was asked");
        assert!(!passed && last.inconclusive && last.target == select, "{last:?}");
    }
    // It may not write.
    for (select, write) in [
        ("b-1", "INSERT INTO orders VALUES (9, 9) RETURNING id"),
        ("c-1", "INSERT INTO orders VALUES (9, 9) RETURNING id"),
        ("a-1", "INSERT INTO orders VALUES (9, 9) RETURNING id"),
    ] {
        world.project.table(2, "carts (id int PRIMARY KEY)");
        world.project.write(
            "strategy.toml",
            &format!(
                "[[gate]]\nname = \"writes\"\nwhen = \"after_wave\"\nsql = {write:?}\nexpect = 9\n"
            ),
        );
        let apply = ["apply", "migrations", "--strategy", "strategy.toml", "--yes", "--on", select];
        world.cli.run_words(&apply).await.exits(31);
        let database = world.database(select);
        let rows = database.column("SELECT CAST(id AS CHAR(3)) FROM orders").await.expect("rows");
        assert_eq!(rows, [""; 0]);
    }
    end(world).await;
}
