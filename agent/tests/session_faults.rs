//! What legs do when streams break, leases are lost, agents die and targets are not what they were.

mod session_support;

use std::collections::BTreeMap;
use std::time::Duration;

use session_support::{Fake, Fleet, bundle, forward, in_time, outcome, three_tables, undo, words};
use skein_agent::config::{Discovery, Source};
use skein_agent::db::Fingerprint;
use skein_agent::{Coordinators, start, wire};
use skein_bundle::Bundle;
use skein_proto::agent::v1::from_agent::Message as Word;
use skein_proto::agent::v1::report::Outcome;
use skein_proto::agent::v1::{Leg, LegKind, Verdict};
use skein_proto::v1::BackupScope;
use tonic::Status;

fn is_end(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(_) | Outcome::Stuck(_) | Outcome::Released(_))
}

fn is_last(step: u32) -> impl Fn(&Outcome) -> bool {
    move |outcome| match outcome {
        Outcome::Verified(verified) => verified.step == step,
        outcome => is_end(outcome),
    }
}

/// A table, then a statement that takes a second or so, then another table.
fn slow_in_the_middle() -> Bundle {
    bundle(&[
        ("CREATE TABLE one (a)", ""),
        (
            "CREATE TABLE two (a); INSERT INTO two WITH RECURSIVE c(x) AS \
             (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 6000000) SELECT count(*) FROM c",
            "",
        ),
        ("CREATE TABLE three (a)", ""),
    ])
}

async fn until_in_force(fleet: &Fleet, target: &str, versions: &[&str]) {
    let reached = async {
        while fleet.in_force(target).await != versions {
            tokio::task::yield_now().await;
        }
    };
    in_time("steps to be in force", reached).await;
}

#[tokio::test]
async fn reports_are_sent_again_after_the_stream_was_cut() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..3)).await;
    let exempt = talk.reports().await;
    talk.acknowledge(&[exempt[0].id]).await;
    let lost = talk.reports().await;
    talk.cut(Status::unavailable("the node goes away")).await;
    // The leg goes on while nobody listens.
    until_in_force(&fleet, "a", &["1", "2", "3"]).await;

    let mut talk = fake.greet().await;
    let again = talk.reports_until(is_last(2)).await;
    assert_eq!(
        words(&again),
        ["applied 0", "verified 0", "applied 1", "verified 1", "applied 2", "verified 2+"]
    );
    assert_eq!(lost[0], again[0], "with its id and all");
    assert_eq!(fleet.observe("a").await.ledger.len(), 3);
}

#[tokio::test]
async fn the_leader_that_a_follower_names_is_dialled_first() {
    let fleet = Fleet::new(&["a"]).await;
    let follower = Fake::start().await;
    let mut leader = Fake::start().await;
    let mut away = Status::unavailable("not the leader");
    away.metadata_mut().insert("skein-leader", leader.address.parse().unwrap());
    follower.turn_away(away);
    let agent = fleet.agent("agent-1", &["a"], &follower).await;
    let talk = leader.greet().await;
    assert_eq!(talk.hello.agent, "agent-1");
    in_time("the session", agent.attached()).await;

    // A leader that steps down says who follows it.
    let mut down = Status::unavailable("stepping down");
    let mut follower = follower;
    down.metadata_mut().insert("skein-leader", follower.address.parse().unwrap());
    talk.cut(down).await;
    assert_eq!(follower.greet().await.hello.agent, "agent-1");
}

/// No leader is found for a while, and a source names a target no more meanwhile. To name it once more would bring back
/// what somebody has retired.
#[tokio::test]
async fn each_try_greets_with_what_is_served_then() {
    const TRIES: usize = 1_000;
    let fleet = Fleet::new(&["a", "b"]).await;
    let mut fake = Fake::start().await;
    let named = |id: &str| format!("{{\"id\": \"{id}\", \"url\": \"{}\"}}\n", fleet.url(id));
    let (file, reads) = (fleet.path("named"), fleet.path("reads"));
    std::fs::write(&file, named("a") + &named("b")).unwrap();
    let command = format!("cat {}; echo >> {}", file.display(), reads.display());
    let mut config = fleet.config("agent-1", &[]);
    config.discoveries.push(Discovery {
        name: "tenants".to_owned(),
        source: Source::Command(vec!["sh".to_owned(), "-c".to_owned(), command]),
        every: Duration::from_millis(20),
        timeout: Duration::from_secs(10),
        url: None,
        prefix: String::new(),
        labels: BTreeMap::new(),
        group: String::new(),
        engine: None,
        replicas: Vec::new(),
        directory: ".".into(),
    });
    let addresses = Coordinators::Addresses(vec![fake.address.clone()]);
    let _agent = start(config, addresses).await.unwrap();
    let talk = fake.greet().await;
    assert_eq!(talk.hello.targets.len(), 2);

    for _ in 0..TRIES {
        fake.turn_away(Status::unavailable("there is no leader now"));
    }
    talk.cut(Status::unavailable("it steps down")).await;
    let tried = async {
        while fake.turned_away() == TRIES {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time("a try", tried).await;
    let next = fleet.path("next");
    std::fs::write(&next, named("a")).unwrap();
    std::fs::rename(&next, &file).unwrap();
    let count = || std::fs::read(&reads).map_or(0, |read| read.len());
    let before = count();
    let read = async {
        while count() < before + 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time("the source to be read", read).await;
    fake.let_in();
    let talk = fake.greet().await;
    let ids: Vec<&str> = talk.hello.targets.iter().map(|target| target.id.as_str()).collect();
    assert_eq!(ids, ["a"]);
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_passed_by() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    // Bound and let go: nobody listens there.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let addresses = vec![format!("http://{silent}"), fake.address.clone()];
    let config = fleet.config("agent-1", &["a"]);
    let _agent = start(config, Coordinators::Addresses(addresses)).await.unwrap();
    assert_eq!(fake.greet().await.hello.agent, "agent-1");
}

#[tokio::test]
async fn a_coordinator_in_the_same_process_needs_no_address() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let channel = tonic::transport::Endpoint::from_shared(fake.address.clone()).unwrap();
    let coordinators = Coordinators::Channel(channel.connect_lazy());
    let _agent = start(fleet.config("agent-1", &["a"]), coordinators).await.unwrap();
    let mut talk = fake.greet().await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..1)).await;
    assert_eq!(words(&talk.reports_until(is_last(0)).await).last().unwrap(), "verified 0+");
}

#[tokio::test]
async fn a_lost_lease_stops_the_leg_before_the_next_step() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = slow_in_the_middle();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.observations(1).await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..3)).await;
    let exempt = talk.reports().await;
    talk.acknowledge(&[exempt[0].id]).await;
    let first = talk.reports().await;
    assert_eq!(words(&first)[0], "applied 0");
    talk.refuse(first[0].id, true).await;

    // The step under way ends; the target is looked at, since its report will not be taken.
    let seen = async {
        loop {
            let seen = talk.observations(1).await;
            let ledger = seen[0].observation.as_ref().unwrap().ledger.len();
            if ledger > 0 {
                return ledger;
            }
        }
    };
    let count = in_time("a look at the target", seen).await;
    assert_eq!(count, 2, "the step under way was finished, and no other was begun");
    assert_eq!(fleet.in_force("a").await, ["1", "2"]);
}

#[tokio::test]
async fn a_lease_lost_before_the_first_step_leaves_the_target_alone() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    fake.lease_ms = 300;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..3)).await;
    let exempt = talk.reports().await;
    talk.refuse(exempt[0].id, true).await;
    let forgotten = async { while !talk.heartbeat().await.is_empty() {} };
    in_time("the end of the leg", forgotten).await;
    assert!(fleet.in_force("a").await.is_empty());
}

#[tokio::test]
async fn no_step_starts_while_the_lease_cannot_be_renewed() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    fake.lease_ms = 100;
    let migrations = slow_in_the_middle();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..3)).await;
    let exempt = talk.reports().await;
    talk.acknowledge(&[exempt[0].id]).await;
    talk.reports().await;
    talk.cut(Status::unavailable("the node goes away")).await;
    // The slow step outlasts the lease.
    until_in_force(&fleet, "a", &["1", "2"]).await;
    for _ in 0..20 {
        assert_eq!(fleet.in_force("a").await, ["1", "2"]);
    }
    // Heard again, it goes on.
    let mut talk = fake.greet().await;
    let reports = talk.reports_until(is_last(2)).await;
    assert_eq!(words(&reports).last().unwrap(), "verified 2+");
}

#[tokio::test]
async fn an_agent_killed_before_its_report_has_done_the_step_once() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..2)).await;
    let exempt = talk.reports().await;
    talk.acknowledge(&[exempt[0].id]).await;
    until_in_force(&fleet, "a", &["1", "2"]).await;
    drop(agent);
    drop(talk);

    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    let mut leg = forward((11, "a"), &digest, &migrations, 0..3);
    leg.backup_recorded = true;
    talk.hand_out(&leg).await;
    let reports = talk.reports_until(is_last(2)).await;
    assert_eq!(
        words(&reports),
        ["already 0", "verified 0", "already 1", "verified 1", "applied 2", "verified 2+"]
    );
    let seen = fleet.observe("a").await;
    let tokens: Vec<_> = seen.ledger.iter().map(|row| row.token.0).collect();
    assert_eq!(tokens, [10, 10, 11]);
    assert_eq!(fake.fetched(), 1, "the bundle outlived the agent");
}

#[tokio::test]
async fn two_agents_on_one_target_do_each_step_once() {
    let fleet = Fleet::new(&["a"]).await;
    let (mut one, mut two) = (Fake::start().await, Fake::start().await);
    let migrations = three_tables();
    let digest = one.put(&migrations);
    two.put(&migrations);
    let _first = fleet.agent("agent-1", &["a"], &one).await;
    let _second = fleet.agent("agent-2", &["a"], &two).await;
    let (mut to_first, mut to_second) = (one.greet().await, two.greet().await);
    to_first.hand_out(&forward((10, "a"), &digest, &migrations, 0..3)).await;
    to_second.hand_out(&forward((11, "a"), &digest, &migrations, 0..3)).await;
    let (old, new) =
        tokio::join!(to_first.reports_until(is_last(2)), to_second.reports_until(is_last(2)));
    assert_eq!(words(&new).last().unwrap(), "verified 2+");
    // Whichever came first, the older one either did it all before or was shut out by the fence.
    let old_end = words(&old).last().unwrap().clone();
    assert!(old_end == "verified 2+" || old_end.starts_with("stuck"), "{old_end}");
    let seen = fleet.observe("a").await;
    assert_eq!(seen.ledger.len(), 3, "{:?}", seen.ledger);
    assert_eq!(seen.fence.unwrap().0, 11);

    // A lease from before is refused by the target itself.
    to_first.hand_out(&forward((9, "a"), &digest, &migrations, 0..3)).await;
    let late = to_first.reports_until(is_last(2)).await;
    let Outcome::Stuck(stuck) = outcome(late.last().unwrap()) else { panic!("{late:?}") };
    assert!(stuck.why.contains("fence stands at 11"), "{}", stuck.why);
    assert_eq!(fleet.observe("a").await.ledger.len(), 3);
}

#[tokio::test]
async fn of_two_legs_on_one_target_only_the_later_goes_on() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    fake.lease_ms = 300;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    let old = forward((10, "a"), &digest, &migrations, 0..3);
    talk.hand_out(&old).await;
    assert_eq!(words(&talk.reports().await), ["exempt"]);
    talk.hand_out(&forward((12, "a"), &digest, &migrations, 0..3)).await;
    talk.hand_out(&old).await;
    talk.hand_out(&forward((11, "a"), &digest, &migrations, 0..3)).await;
    let reports = talk.reports_until(is_last(2)).await;
    let by_new: Vec<_> = reports.into_iter().filter(|report| report.fence != 10).collect();
    assert!(by_new.iter().all(|report| report.fence == 12));
    assert_eq!(words(&by_new).last().unwrap(), "verified 2+");
    let tokens: Vec<_> = fleet.observe("a").await.ledger.iter().map(|row| row.token.0).collect();
    assert_eq!(tokens, [12, 12, 12]);
}

#[tokio::test]
async fn a_cancelled_leg_is_given_back() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..3)).await;
    assert_eq!(words(&talk.reports().await), ["exempt"]);
    talk.cancel(10).await;
    assert_eq!(words(&talk.reports().await), ["released"]);
    assert!(fleet.in_force("a").await.is_empty());
}

#[tokio::test]
async fn a_shutdown_gives_the_legs_back_and_waits_for_the_answer() {
    let targets = ["a", "b", "c"];
    let fleet = Fleet::new(&targets).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let agent = fleet.agent("agent-1", &targets, &fake).await;
    let mut talk = fake.greet().await;
    for (fence, target) in (10..).zip(targets) {
        talk.hand_out(&forward((fence, target), &digest, &migrations, 0..3)).await;
    }
    // Two slots: the third leg waits.
    let mut begun = talk.reports().await;
    while begun.len() < 2 {
        begun.extend(talk.reports().await);
    }
    assert_eq!(words(&begun), ["exempt", "exempt"]);
    let ended = tokio::spawn(agent.shutdown());
    let mut given_back = Vec::new();
    while given_back.len() < 3 {
        given_back.extend(talk.reports().await);
    }
    assert_eq!(words(&given_back), ["released", "released", "released"]);
    assert!(!ended.is_finished(), "the answers are waited for");
    let all = begun.iter().chain(&given_back).map(|report| report.id).collect::<Vec<_>>();
    talk.acknowledge(&all).await;
    in_time("the shutdown", ended).await.unwrap();
    for target in targets {
        assert!(fleet.in_force(target).await.is_empty());
    }
}

#[tokio::test]
async fn a_restored_target_is_stuck_before_anything_is_written() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    let before = fleet.observe("a").await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 2..3)).await;
    let reports = talk.reports_until(is_last(2)).await;
    let Outcome::Stuck(stuck) = outcome(&reports[0]) else { panic!("{reports:?}") };
    assert!(stuck.why.contains("restored from a backup, and lacks 1, 2"), "{}", stuck.why);

    let mut leg = forward((11, "a"), &digest, &migrations, 0..3);
    leg.expected_identity = "another server".to_owned();
    talk.hand_out(&leg).await;
    let reports = talk.reports_until(is_last(2)).await;
    let Outcome::Stuck(stuck) = outcome(&reports[0]) else { panic!("{reports:?}") };
    assert!(stuck.why.contains("cloned, moved or restored"), "{}", stuck.why);
    assert_eq!(fleet.observe("a").await, before, "not even our own tables");
}

#[tokio::test]
async fn an_undo_leaves_alone_what_the_log_does_not_know() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..3)).await;
    talk.reports_until(is_last(2)).await;
    // The log missed the last step.
    talk.hand_out(&undo(forward((11, "a"), &digest, &migrations, 0..2), &migrations)).await;
    let reports = talk.reports_until(is_last(2)).await;
    let Outcome::Stuck(stuck) = outcome(&reports[0]) else { panic!("{reports:?}") };
    assert!(stuck.why.contains("has 3, which the log does not know"), "{}", stuck.why);
    assert_eq!(fleet.in_force("a").await, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_bundle_is_only_what_its_digest_says() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let cache = fleet.config("agent-1", &[]).cache;
    std::fs::create_dir_all(&cache).unwrap();
    let name = Fingerprint(wire::digest(&wire::encode(&migrations))).to_string();
    std::fs::write(cache.join(format!("{name}.bundle")), b"damaged").unwrap();
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..1)).await;
    assert_eq!(words(&talk.reports_until(is_last(0)).await).last().unwrap(), "verified 0+");
    assert_eq!(fake.fetched(), 1);
    let kept = std::fs::read(cache.join(format!("{name}.bundle"))).unwrap();
    assert_eq!(wire::digest(&kept).as_slice(), digest);

    // One that the coordinator does not have is asked for a few times, and then the leg fails.
    talk.hand_out(&forward((11, "a"), &[7; 32], &migrations, 1..2)).await;
    let reports = talk.reports_until(is_last(1)).await;
    let Outcome::Failed(failed) = outcome(&reports[0]) else { panic!("{reports:?}") };
    assert!(failed.retryable && failed.message.contains("no such bundle"), "{failed:?}");

    // A step that the bundle does not have as the plan means it is refused.
    let mut leg = forward((12, "a"), &digest, &migrations, 1..2);
    leg.steps[0].digest = vec![0; 32].into();
    talk.hand_out(&leg).await;
    let reports = talk.reports_until(is_last(1)).await;
    let Outcome::Failed(failed) = outcome(&reports[0]) else { panic!("{reports:?}") };
    assert!(!failed.retryable && failed.message.contains("plan again"), "{failed:?}");
}

#[tokio::test]
async fn a_backup_that_cannot_be_taken_stops_the_leg() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    // A file where the target's directory of archives must be.
    std::fs::write(fleet.backups().join("a"), b"in the way").unwrap();
    let mut leg = forward((10, "a"), &digest, &migrations, 0..1);
    leg.backup = BackupScope::BackupDatabase.into();
    talk.hand_out(&leg).await;
    let reports = talk.reports_until(is_last(0)).await;
    let Outcome::Failed(failed) = outcome(&reports[0]) else { panic!("{reports:?}") };
    assert!(failed.message.contains("backup before the first step failed"), "{failed:?}");
    assert!(fleet.in_force("a").await.is_empty());
}

/// A script that its author runs outside of a transaction: a crash can leave half of it.
fn outside(mut bundle: Bundle, at: usize) -> Bundle {
    bundle.migrations[at].up.transaction = skein_bundle::Transaction::Outside;
    bundle
}

#[tokio::test]
async fn a_leg_that_is_taken_over_is_looked_at_even_when_it_is_cancelled() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..1)).await;
    let exempt = talk.reports().await;
    talk.acknowledge(&[exempt[0].id]).await;
    until_in_force(&fleet, "a", &["1"]).await;
    drop((agent, talk));

    let _agent = fleet.agent("agent-2", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    let mut leg = forward((11, "a"), &digest, &migrations, 0..3);
    leg.backup_recorded = true;
    talk.hand_out(&leg).await;
    talk.cancel(11).await;
    let reports = talk.reports_until(|outcome| matches!(outcome, Outcome::Released(_))).await;
    let words = words(&reports);
    assert_eq!(words[..2], ["already 0", "verified 0"], "{words:?}");
    assert_eq!(words.last().unwrap(), "released");
}

#[tokio::test]
async fn the_half_of_a_step_is_completed_before_a_cancelled_leg_is_given_back() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = outside(
        bundle(&[
            (
                "CREATE TABLE one (a); INSERT INTO one VALUES (0); INSERT INTO one WITH RECURSIVE \
                 c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 3000000) SELECT count(*) FROM c",
                "",
            ),
            ("CREATE TABLE two (a)", ""),
        ]),
        0,
    );
    let digest = fake.put(&migrations);
    let agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..2)).await;
    let exempt = talk.reports().await;
    talk.acknowledge(&[exempt[0].id]).await;
    let begun = async {
        while fleet.observe("a").await.intent.is_none_or(|intent| intent.statement < 3) {
            tokio::task::yield_now().await;
        }
    };
    in_time("the third statement", begun).await;
    drop((agent, talk));
    assert!(fleet.in_force("a").await.is_empty());

    let _agent = fleet.agent("agent-2", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    let mut leg = forward((11, "a"), &digest, &migrations, 0..2);
    leg.backup_recorded = true;
    talk.hand_out(&leg).await;
    talk.cancel(11).await;
    let reports = talk.reports_until(|outcome| matches!(outcome, Outcome::Released(_))).await;
    assert_eq!(words(&reports), ["applied 0", "verified 0", "released"]);
    assert_eq!(fleet.in_force("a").await, ["1"]);
}

/// An agent is started again in the middle of an undo, and its coordinator hands it the same leg again.
#[tokio::test]
async fn what_was_undone_is_told_before_a_cancelled_undo_is_given_back() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let mut migrations = bundle(&[
        ("CREATE TABLE one (a)", "DROP TABLE one"),
        (
            "CREATE TABLE two (a)",
            "DROP TABLE two; CREATE TABLE gone (a); INSERT INTO gone WITH RECURSIVE \
             c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 6000000) SELECT count(*) \
             FROM c; DROP TABLE gone",
        ),
        ("CREATE TABLE three (a)", "DROP TABLE three"),
    ]);
    let down = migrations.migrations[1].down.as_mut().unwrap();
    down.transaction = skein_bundle::Transaction::Outside;
    let digest = fake.put(&migrations);
    let agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..3)).await;
    talk.reports_until(is_last(2)).await;
    let back = undo(forward((11, "a"), &digest, &migrations, 0..3), &migrations);
    talk.hand_out(&back).await;
    let begun = async {
        while fleet.observe("a").await.intent.is_none_or(|intent| intent.statement < 2) {
            tokio::task::yield_now().await;
        }
    };
    in_time("the slow statement of the second undo", begun).await;
    drop((agent, talk));
    assert_eq!(fleet.in_force("a").await, ["1", "2"]);

    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.hand_out(&back).await;
    talk.cancel(11).await;
    let reports = talk.reports_until(is_end).await;
    assert_eq!(words(&reports), ["undone 2", "undone 1", "released"]);
    assert_eq!(fleet.in_force("a").await, ["1"]);
}

#[tokio::test]
async fn nobody_says_never_of_a_target_that_was_not_seen() {
    let fleet = Fleet::new(&[]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["gone"], &fake).await;
    let mut talk = fake.greet().await;
    let leg = |fence| forward((fence, "gone"), &digest, &migrations, 0..3);
    let taken_over = Leg { backup_recorded: true, ..leg(11) };
    // It may be the second time that this agent gets it, under the same lease.
    let back = undo(leg(12), &migrations);
    let mend = Leg { kind: LegKind::Mend.into(), ..leg(13) };
    for (leg, expected) in [
        (leg(10), Verdict::Never),
        (taken_over, Verdict::Unknown),
        (back, Verdict::Unknown),
        (mend, Verdict::Unknown),
    ] {
        talk.hand_out(&leg).await;
        let reports = talk.reports_until(is_end).await;
        let Outcome::Failed(failed) = outcome(&reports[0]) else { panic!("{reports:?}") };
        assert_eq!(failed.verdict(), expected, "under fence {}: {failed:?}", leg.fence);
    }
}

#[tokio::test]
async fn a_leg_whose_report_is_refused_is_left_and_not_given_back() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    fake.lease_ms = 300;
    let migrations = slow_in_the_middle();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..3)).await;
    let exempt = talk.reports().await;
    talk.acknowledge(&[exempt[0].id]).await;
    let first = talk.reports().await;
    talk.refuse(first[0].id, false).await;
    // The lease is let run out: its fence is in no heartbeat any more, and nobody says "released".
    let mut said = Vec::new();
    let left = async {
        loop {
            match talk.word().await.expect("the agent stays") {
                Word::Heartbeat(beat) if beat.fences.is_empty() => return,
                Word::Reports(reports) => said.extend(reports.reports),
                _ => {}
            }
        }
    };
    in_time("the lease to be let go", left).await;
    assert!(!words(&said).contains(&"released".to_owned()), "{said:?}");
}
