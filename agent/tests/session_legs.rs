//! Whole legs against a coordinator in the test's hands: real gRPC, real SQLite files.

mod session_support;

use session_support::{Fake, Fleet, bundle, forward, in_time, outcome, three_tables, undo, words};
use skein_agent::config::{Secret, Url};
use skein_agent::{Coordinators, start};
use skein_proto::agent::v1::Verdict;
use skein_proto::agent::v1::report::Outcome;
use skein_proto::agent::v1::{Leg, LegKind};
use skein_proto::v1::BackupScope;

fn is_verified(step: u32) -> impl Fn(&Outcome) -> bool {
    move |outcome| matches!(outcome, Outcome::Verified(verified) if verified.step == step)
}

fn is_undone(step: u32) -> impl Fn(&Outcome) -> bool {
    move |outcome| matches!(outcome, Outcome::RolledBack(undone) if undone.step == step)
}

fn is_end(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(_) | Outcome::Stuck(_) | Outcome::Released(_))
}

#[tokio::test]
async fn an_agent_says_what_it_serves_and_what_it_sees() {
    let fleet = Fleet::new(&["a", "b"]).await;
    let mut fake = Fake::start().await;
    let agent = fleet.agent("agent-1", &["a", "b", "gone"], &fake).await;
    let mut talk = fake.greet().await;
    assert_eq!((talk.hello.agent.as_str(), talk.hello.slots), ("agent-1", 2));
    let served: Vec<_> = talk.hello.targets.iter().map(|target| target.id.as_str()).collect();
    assert_eq!(served, ["a", "b", "gone"]);
    assert_eq!(talk.hello.targets[0].labels["region"], "eu");
    assert_eq!(talk.hello.targets[0].resource_group, "host-1");

    let mut seen = talk.observations(3).await;
    seen.sort_by(|a, b| a.target.cmp(&b.target));
    let a = seen[0].observation.as_ref().unwrap();
    assert_eq!(a.fingerprint.len(), 32);
    assert!(!a.identity.is_empty() && a.engine_version.contains("SQLite"), "{a:?}");
    assert!(seen[2].observation.is_none() && !seen[2].error.is_empty());
    // What each look can know of is what was told before it.
    assert!(seen.iter().all(|seen| seen.as_of == 7), "{seen:?}");

    talk.seq = 9;
    talk.ask_to_look(&["b", "unknown"]).await;
    let mut again = talk.observations(2).await;
    again.sort_by(|a, b| a.target.cmp(&b.target));
    assert_eq!((again[0].target.as_str(), again[1].target.as_str()), ("b", "unknown"));
    assert!(again[0].observation.is_some() && again[1].error.contains("does not serve"));
    assert!(again.iter().all(|seen| seen.as_of == 9), "{again:?}");
    in_time("the shutdown", agent.shutdown()).await;
    assert_eq!(talk.word().await, None);
}

#[tokio::test]
async fn a_whole_leg_goes_forward_and_back() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    let before = fleet.observe("a").await.fingerprint;

    let mut leg = forward((10, "a"), &digest, &migrations, 0..3);
    leg.backup = BackupScope::BackupDatabase.into();
    leg.expected_identity = fleet.observe("a").await.identity.to_string();
    talk.hand_out(&leg).await;
    let reports = talk.reports_until(is_verified(2)).await;
    assert_eq!(
        words(&reports),
        [
            "backup",
            "applied 0",
            "verified 0",
            "applied 1",
            "verified 1",
            "applied 2",
            "verified 2+"
        ]
    );
    assert!(reports.iter().all(|report| report.fence == 10 && report.target == "a"));
    let ids: Vec<_> = reports.iter().map(|report| report.id).collect();
    assert!(ids.is_sorted());
    let Outcome::BackedUp(backup) = outcome(&reports[0]) else { panic!("{reports:?}") };
    assert_eq!(backup.archive, "a/r-1-10.db.zst");
    assert_eq!(backup.fingerprint, before.0.as_slice());
    let stored = std::fs::read(fleet.backups().join(&backup.archive)).unwrap();
    assert_eq!(u64::try_from(stored.len()).unwrap(), backup.bytes);
    assert_eq!(skein_agent::wire::digest(&stored).as_slice(), backup.sha256);
    let Outcome::Applied(second) = outcome(&reports[3]) else { panic!("{reports:?}") };
    assert_eq!(second.rows, 2);
    let after = fleet.observe("a").await;
    let Outcome::Verified(last) = outcome(&reports[6]) else { panic!("{reports:?}") };
    assert_eq!(last.fingerprint, after.fingerprint.0.as_slice());
    assert_eq!(after.fence.unwrap().0, 10);
    assert_eq!(fleet.in_force("a").await, ["1", "2", "3"]);

    let back = undo(forward((11, "a"), &digest, &migrations, 0..3), &migrations);
    talk.hand_out(&back).await;
    let reports = talk.reports_until(is_undone(0)).await;
    assert_eq!(words(&reports), ["undone 2", "undone 1", "undone 0+"]);
    let Outcome::RolledBack(last) = outcome(&reports[2]) else { panic!("{reports:?}") };
    assert_eq!(last.fingerprint, before.0.as_slice(), "the schema is what it was");
    assert!(fleet.in_force("a").await.is_empty());
    assert_eq!(fake.fetched(), 1, "the second leg had the bundle at hand");
}

#[tokio::test]
async fn no_step_runs_before_the_backup_is_acknowledged() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    fake.lease_ms = 300;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    let mut leg = forward((10, "a"), &digest, &migrations, 0..1);
    leg.backup = BackupScope::BackupDatabase.into();
    talk.hand_out(&leg).await;
    let backup = talk.reports().await;
    assert_eq!(words(&backup), ["backup"]);
    // The report comes again and again, and nothing else does.
    for _ in 0..2 {
        let again = talk.reports().await;
        assert_eq!(again, backup);
    }
    assert!(fleet.in_force("a").await.is_empty());
    talk.acknowledge(&[backup[0].id]).await;
    let reports = talk.reports_until(is_verified(0)).await;
    assert_eq!(words(&reports).last().unwrap(), "verified 0+");
    assert_eq!(fleet.in_force("a").await, ["1"]);
}

#[tokio::test]
async fn a_refused_backup_report_ends_the_leg_before_its_first_step() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..1)).await;
    let exempt = talk.reports().await;
    assert_eq!(words(&exempt), ["exempt"]);
    talk.refuse(exempt[0].id, false).await;
    let end = talk.reports_until(is_end).await;
    assert_eq!(end.len(), 1);
    assert!(fleet.in_force("a").await.is_empty());
}

/// What an earlier life of the agent did under the same lease it cannot say of a target that it does not serve any more.
#[tokio::test]
async fn of_a_target_that_is_not_served_only_a_leg_that_nobody_began_did_nothing() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    let fresh = forward((10, "gone"), &digest, &migrations, 0..1);
    let taken_over =
        Leg { backup_recorded: true, ..forward((11, "gone"), &digest, &migrations, 0..1) };
    let back = undo(forward((12, "gone"), &digest, &migrations, 0..1), &migrations);
    for (leg, verdict) in
        [(fresh, Verdict::Never), (taken_over, Verdict::Unknown), (back, Verdict::Unknown)]
    {
        talk.hand_out(&leg).await;
        let reports = talk.reports_until(is_end).await;
        let Outcome::Failed(failed) = outcome(&reports[0]) else { panic!("{reports:?}") };
        assert!(failed.message.contains("does not serve"), "{failed:?}");
        assert_eq!(failed.verdict(), verdict, "under fence {}", leg.fence);
    }
}

#[tokio::test]
async fn a_failing_step_says_where_and_what_stands() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    fake.lease_ms = 300;
    let migrations = bundle(&[
        ("CREATE TABLE one (a)", ""),
        ("CREATE TABLE two (a);\nINSERT INTO nowhere VALUES (1);", ""),
        ("CREATE TABLE three (a)", ""),
    ]);
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..3)).await;
    let reports = talk.reports_until(is_end).await;
    assert_eq!(words(&reports), ["exempt", "applied 0", "verified 0", "failed 1"]);
    let Outcome::Failed(failed) = outcome(&reports[3]) else { panic!("{reports:?}") };
    assert_eq!(failed.verdict(), Verdict::Never);
    assert_eq!((failed.file.as_str(), failed.line), ("2.up.sql", 2));
    assert!(failed.message.contains("nowhere") && !failed.retryable, "{failed:?}");
    assert_eq!(fleet.in_force("a").await, ["1"]);
    // The leg is forgotten once its last report is acknowledged.
    let forgotten = async { while !talk.heartbeat().await.is_empty() {} };
    in_time("the end of the leg", forgotten).await;
}

#[tokio::test]
async fn a_trial_changes_nothing() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = bundle(&[
        ("CREATE TABLE one (a)", ""),
        ("INSERT INTO one VALUES (1)", ""),
        ("INSERT INTO nowhere VALUES (1)", ""),
        ("CREATE TABLE four (a)", ""),
    ]);
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    let before = fleet.observe("a").await;
    let mut leg = forward((10, "a"), &digest, &migrations, 0..4);
    leg.kind = LegKind::Trial.into();
    talk.hand_out(&leg).await;
    let last = |outcome: &Outcome| matches!(outcome, Outcome::Tried(tried) if tried.step == 3);
    let reports = talk.reports_until(last).await;
    assert_eq!(words(&reports), ["passed 0", "passed 1", "not passed 2", "impossible 3"]);
    assert_eq!(fleet.observe("a").await, before, "not even our own tables");
}

#[tokio::test]
async fn no_password_leaves_the_agent() {
    let fleet = Fleet::new(&[]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let mut config = fleet.config("agent-1", &["a", "b"]);
    // Nobody listens there, and there is no such host.
    for (target, url) in config.targets.iter_mut().zip([
        "postgres://app:canary@127.0.0.1:1/orders",
        "mysql://app:canary@127.0.0.1:1/orders?password=canary",
    ]) {
        target.url = Url::Plain(Secret::new(url));
        target.engine = None;
    }
    let shown = format!("{config:?}");
    let coordinators = Coordinators::Addresses(vec![fake.address.clone()]);
    let agent = start(config, coordinators).await.expect("the agent starts");
    let mut talk = fake.greet().await;
    let seen = talk.observations(2).await;
    assert!(seen.iter().all(|seen| seen.observation.is_none() && !seen.error.is_empty()));
    let mut said = vec![format!("{shown} {agent:?} {:?} {seen:?}", talk.hello)];
    for (fence, target) in [(10, "a"), (11, "b")] {
        talk.hand_out(&forward((fence, target), &digest, &migrations, 0..1)).await;
        said.push(format!("{:?}", talk.reports_until(is_end).await));
    }
    let said = said.concat();
    assert!(said.contains("127.0.0.1"), "an error says where: {said}");
    assert!(!said.contains("canary"), "{said}");
}
