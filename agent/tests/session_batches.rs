//! Legs with a statement in batches, against a coordinator in the test's hands.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod session_support;

use session_support::{Fake, Fleet, Talk, bundle, forward, in_time, outcome, undo, words};
use skein_bundle::Bundle;
use skein_proto::agent::v1::report::Outcome;
use skein_proto::agent::v1::{
    Cancel, Failed, Leg, Throttles, Verdict, from_agent, from_coordinator,
};
use skein_proto::v1::{BatchProgress, Batching};

const HOUR_MS: u64 = 3_600_000;

/// One file with a statement in batches between two others.
fn migrations() -> Bundle {
    let batched = |sign: &str| {
        format!(
            "-- skein:batch table=users key=id size=10\n\
             UPDATE users SET n = n {sign} 1 WHERE id BETWEEN {{from}} AND {{to}};\n"
        )
    };
    let up = format!("CREATE TABLE one (a);\n{}CREATE TABLE two (a);\n", batched("+"));
    let down = format!("DROP TABLE two;\n{}DROP TABLE one;\n", batched("-"));
    bundle(&[(&up, &down)])
}

async fn fleet() -> Fleet {
    let fleet = Fleet::new(&["a"]).await;
    let users = "CREATE TABLE users (id int NOT NULL PRIMARY KEY, n int NOT NULL);\n\
                 WITH RECURSIVE g (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 100) \
                 INSERT INTO users SELECT i, 0 FROM g";
    fleet.run("a", users).await;
    fleet
}

/// What the next heartbeat of which that holds tells of a leg.
async fn told(talk: &mut Talk, holds: impl Fn(&BatchProgress) -> bool) -> BatchProgress {
    in_time("a heartbeat", async {
        loop {
            match talk.word().await.expect("the agent is there") {
                from_agent::Message::Heartbeat(beat) => {
                    let progress = beat.batched.into_iter().find_map(|batched| batched.progress);
                    if let Some(progress) = progress.filter(&holds) {
                        return progress;
                    }
                }
                from_agent::Message::Reports(reports) => {
                    let ids: Vec<u64> = reports.reports.iter().map(|report| report.id).collect();
                    talk.acknowledge(&ids).await;
                }
                _ => {}
            }
        }
    })
    .await
}

fn rests(leg: &Leg, size: u64, pause_ms: u64) -> from_coordinator::Message {
    let batching = Some(Batching { size, pause_ms });
    from_coordinator::Message::Throttles(Throttles {
        fence: leg.fence,
        batching,
        ..Throttles::default()
    })
}

async fn leave(talk: &Talk, leg: &Leg) {
    let why = "the shop is slow".to_owned();
    let cancel = Cancel { fence: leg.fence, why, after_batch: true, ..Cancel::default() };
    talk.say(from_coordinator::Message::Cancel(cancel)).await;
}

async fn failed(talk: &mut Talk) -> Failed {
    let reports = talk.reports_until(|it| matches!(it, Outcome::Failed(_))).await;
    match outcome(reports.last().unwrap()) {
        Outcome::Failed(failed) => failed.clone(),
        other => panic!("{other:?}"),
    }
}

async fn sum(fleet: &Fleet) -> String {
    let sqlite = sqlx::SqlitePool::connect(&fleet.url("a")).await.unwrap();
    let sql = "SELECT CAST(SUM(n) AS text) FROM users";
    let sum = sqlx::query_scalar(sql).fetch_one(&sqlite).await.unwrap();
    sqlite.close().await;
    sum
}

#[tokio::test]
async fn a_leg_whose_lease_is_lost_reports_nothing_and_leaves_the_target_to_the_next() {
    let fleet = fleet().await;
    let mut fake = Fake::start().await;
    fake.lease_ms = 600;
    let migrations = migrations();
    let digest = fake.put(&migrations);
    let _first = fleet.agent("agent-1", &["a"], &fake).await;
    let mut first = fake.greet().await;
    let mut leg = forward((10, "a"), &digest, &migrations, 0..1);
    leg.batching = Some(Batching { size: 0, pause_ms: HOUR_MS });
    first.hand_out(&leg).await;
    told(&mut first, |at| at.batches == 1).await;

    // It is within a step, which nothing less ends.
    let why = "fence 10 is no lease any more".to_owned();
    let lost = Cancel { fence: 10, why, lease_lost: true, ..Cancel::default() };
    first.say(from_coordinator::Message::Cancel(lost)).await;
    let _second = fleet.agent("agent-2", &["a"], &fake).await;
    let mut second = fake.greet().await;
    let mut leg = forward((11, "a"), &digest, &migrations, 0..1);
    leg.backup_recorded = true;
    second.hand_out(&leg).await;
    let last = |it: &Outcome| matches!(it, Outcome::Verified(_));
    let said = words(&second.reports_until(last).await);
    assert_eq!(said.last().map(String::as_str), Some("verified 0+"), "{said:?}");
    assert_eq!(sum(&fleet).await, "100");
    // Heartbeats that were sent before, and no report.
    while !first.heartbeat().await.is_empty() {}
}

#[tokio::test]
async fn a_leg_is_left_between_two_batches_and_taken_up_there() {
    let fleet = fleet().await;
    let mut fake = Fake::start().await;
    fake.lease_ms = 600;
    let migrations = migrations();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    assert!(talk.hello.knows_batches);
    let mut leg = forward((10, "a"), &digest, &migrations, 0..1);
    leg.batching = Some(Batching { size: 0, pause_ms: HOUR_MS });
    talk.hand_out(&leg).await;
    let at = told(&mut talk, |at| at.batches == 1).await;
    assert_eq!((at.statement, at.over.as_str(), at.rows), (2, "users by id", 10));
    assert_eq!((at.percent, at.size), (Some(10), 10));

    // Another size, from the next batch on; a rest that has begun is as short as the new one.
    talk.say(rests(&leg, 25, 300)).await;
    let at = told(&mut talk, |at| at.batches > 1).await;
    assert_eq!((at.rows, at.size), ((10 + 25 * (at.batches - 1)).min(100), 25));
    talk.say(rests(&leg, 25, HOUR_MS)).await;

    leave(&talk, &leg).await;
    let left = failed(&mut talk).await;
    assert_eq!((left.verdict(), left.cancelled, left.retryable), (Verdict::Partly, true, false));
    assert!(left.message.contains("was left between two batches"), "{left:?}");
    let stands = sum(&fleet).await;
    assert!(["35", "60", "85"].contains(&stands.as_str()), "{stands}");

    // The next lease: while nobody wants it any more than that, it is left where it is.
    let mut leg = forward((11, "a"), &digest, &migrations, 0..1);
    leg.backup_recorded = true;
    leg.batching = Some(Batching { size: 1, pause_ms: HOUR_MS });
    talk.hand_out(&leg).await;
    leave(&talk, &leg).await;
    let left = failed(&mut talk).await;
    assert_eq!((left.verdict(), left.cancelled), (Verdict::Partly, true), "{left:?}");
    assert_eq!(sum(&fleet).await, stands);

    let leg = Leg { fence: 12, batching: None, ..leg };
    talk.hand_out(&leg).await;
    let last = |it: &Outcome| matches!(it, Outcome::Verified(_));
    let said = words(&talk.reports_until(last).await);
    assert_eq!(said.last().map(String::as_str), Some("verified 0+"), "{said:?}");
    assert_eq!(
        (sum(&fleet).await.as_str(), fleet.in_force("a").await),
        ("100", vec!["1".to_owned()])
    );

    // The way back goes in batches, and can be left as well.
    let mut back = undo(forward((13, "a"), &digest, &migrations, 0..1), &migrations);
    back.batching = Some(Batching { size: 30, pause_ms: HOUR_MS });
    talk.hand_out(&back).await;
    told(&mut talk, |at| at.batches == 1).await;
    leave(&talk, &back).await;
    let left = failed(&mut talk).await;
    assert_eq!((left.verdict(), left.cancelled), (Verdict::Partly, true), "{left:?}");
    assert_eq!(sum(&fleet).await, "70");
    let back = Leg { fence: 14, batching: None, ..back };
    talk.hand_out(&back).await;
    talk.reports_until(|it| matches!(it, Outcome::RolledBack(_))).await;
    assert_eq!((sum(&fleet).await.as_str(), fleet.in_force("a").await.len()), ("0", 0));
}

/// A word to leave and one to cancel in order: the step goes on to its end for less than the first.
#[tokio::test]
async fn a_leg_that_is_only_cancelled_ends_its_batches() {
    let fleet = fleet().await;
    let mut fake = Fake::start().await;
    fake.lease_ms = 600;
    let migrations = migrations();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    let mut leg = forward((10, "a"), &digest, &migrations, 0..1);
    leg.batching = Some(Batching { size: 1, pause_ms: 1 });
    talk.hand_out(&leg).await;
    told(&mut talk, |at| at.batches > 0).await;
    talk.cancel(10).await;
    let last = |it: &Outcome| matches!(it, Outcome::Verified(_));
    talk.reports_until(last).await;
    assert_eq!(sum(&fleet).await, "100");
}

/// A statement that is killed takes one batch with it.
#[tokio::test]
async fn a_kill_takes_back_one_batch() {
    let fleet = fleet().await;
    let mut fake = Fake::start().await;
    fake.lease_ms = 600;
    let slow = "-- skein:batch table=users key=id size=10\n\
                UPDATE users SET n = n + 1 WHERE id BETWEEN {from} AND {to} AND 0 < (WITH RECURSIVE \
                g (i) AS (SELECT id UNION ALL SELECT i + 1 FROM g WHERE i < 100000) SELECT count(*) FROM g);\n";
    let migrations = bundle(&[(slow, "")]);
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    let leg = forward((10, "a"), &digest, &migrations, 0..1);
    talk.hand_out(&leg).await;
    told(&mut talk, |at| at.batches > 0).await;
    let why = "it locks the world".to_owned();
    let cancel = Cancel { fence: 10, why, kill: true, ..Cancel::default() };
    talk.say(from_coordinator::Message::Cancel(cancel)).await;
    let killed = failed(&mut talk).await;
    assert_eq!((killed.verdict(), killed.cancelled), (Verdict::Partly, true), "{killed:?}");
    let stands: u64 = sum(&fleet).await.parse().unwrap();
    assert!((10..100).contains(&stands) && stands.is_multiple_of(10), "{stands}");
    assert!(killed.message.contains(&format!("{stands} rows")), "{killed:?}");

    let leg = Leg { fence: 11, backup_recorded: true, ..leg };
    talk.hand_out(&leg).await;
    talk.reports_until(|it| matches!(it, Outcome::Verified(_))).await;
    assert_eq!(sum(&fleet).await, "100");
}
