//! Legs that wait for throttles, against a coordinator in the test's hands.

mod session_support;

use session_support::{Fake, Fleet, Talk, forward, in_time, three_tables, words};
use skein_proto::agent::v1::report::Outcome;
use skein_proto::agent::v1::{Leg, Throttled, Throttles, from_agent, from_coordinator};
use skein_proto::v1::gate::Question;
use skein_proto::v1::throttle::Measure;
use skein_proto::v1::{Comparison, Gate, GateWhen, Throttle};

fn queue(limit: u64) -> Throttle {
    Throttle {
        name: "queue".to_owned(),
        measure: Some(Measure::Query("SELECT count(*) FROM outbox".to_owned())),
        limit,
        interval_ms: 20,
        timeout_ms: 2_000,
        ..Throttle::default()
    }
}

/// What the next heartbeat that says so tells of legs that wait.
async fn told(talk: &mut Talk, holds: impl Fn(&[Throttled]) -> bool) -> Vec<Throttled> {
    in_time("a heartbeat", async {
        loop {
            let word = talk.word().await.expect("the agent is there");
            if let from_agent::Message::Heartbeat(beat) = word
                && holds(&beat.throttled)
            {
                return beat.throttled;
            }
        }
    })
    .await
}

fn of(leg: &Leg, throttles: Vec<Throttle>) -> from_coordinator::Message {
    from_coordinator::Message::Throttles(Throttles {
        fence: leg.fence,
        throttles,
        ..Throttles::default()
    })
}

async fn verified(talk: &mut Talk, step: u32) -> Vec<String> {
    let last = |it: &Outcome| matches!(it, Outcome::Verified(verified) if verified.step == step);
    words(&talk.reports_until(last).await)
}

#[tokio::test]
async fn a_leg_waits_before_its_backup_until_the_limit_is_another() {
    let fleet = Fleet::new(&["a"]).await;
    fleet.run("a", "CREATE TABLE outbox (id int); INSERT INTO outbox VALUES (1), (2), (3)").await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    assert!(talk.hello.knows_throttles);
    let mut leg = forward((10, "a"), &digest, &migrations, 0..3);
    leg.throttles = vec![queue(3_000)];
    talk.hand_out(&leg).await;
    let waits = told(&mut talk, |waits| !waits.is_empty()).await;
    assert_eq!((waits[0].fence, waits[0].target.as_str()), (10, "a"));
    assert_eq!(waits[0].why, "`queue`: the query answers 3 >= 3");
    let waits = told(&mut talk, |waits| waits.iter().any(|it| it.waited_ms > 0)).await;
    assert_eq!(waits.len(), 1);
    assert!(fleet.in_force("a").await.is_empty());
    assert!(
        !fleet.backups().exists() || std::fs::read_dir(fleet.backups()).unwrap().next().is_none()
    );

    // Another leader hands the leg out again, and knows another limit.
    leg.throttles = vec![queue(5_000)];
    talk.hand_out(&leg).await;
    let words = verified(&mut talk, 2).await;
    assert_eq!(words.last().map(String::as_str), Some("verified 2+"), "{words:?}");
    told(&mut talk, <[Throttled]>::is_empty).await;
}

#[tokio::test]
async fn a_leg_that_waits_is_given_back_when_it_is_cancelled() {
    let fleet = Fleet::new(&["a"]).await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    let mut leg = forward((10, "a"), &digest, &migrations, 0..3);
    // What cannot be read holds back.
    leg.throttles = vec![queue(3_000)];
    talk.hand_out(&leg).await;
    let waits = told(&mut talk, |waits| !waits.is_empty()).await;
    assert!(waits[0].why.starts_with("`queue`: the query cannot be read: "), "{waits:?}");
    talk.cancel(10).await;
    let reports = talk.reports_until(|it| matches!(it, Outcome::Released(_))).await;
    assert_eq!(reports.len(), 1, "{reports:?}");
    told(&mut talk, <[Throttled]>::is_empty).await;

    // Taken away, they hold back nothing.
    let mut leg = forward((11, "a"), &digest, &migrations, 0..1);
    leg.throttles = vec![queue(3_000)];
    talk.hand_out(&leg).await;
    told(&mut talk, |waits| !waits.is_empty()).await;
    talk.say(of(&leg, Vec::new())).await;
    verified(&mut talk, 0).await;
    assert_eq!(fleet.in_force("a").await, ["1"]);
}

/// Gates take their time, and what was measured before them holds for its interval only.
#[tokio::test]
async fn a_throttle_that_closes_while_gates_are_asked_holds_the_step_back() {
    let fleet = Fleet::new(&["a"]).await;
    fleet.run("a", "CREATE TABLE outbox (id int); CREATE TABLE storm (id int)").await;
    let mut fake = Fake::start().await;
    let migrations = three_tables();
    let digest = fake.put(&migrations);
    let _agent = fleet.agent("agent-1", &["a"], &fake).await;
    let mut talk = fake.greet().await;
    let mut leg = forward((10, "a"), &digest, &migrations, 0..1);
    leg.throttles = vec![queue(3_000)];
    leg.gates = vec![Gate {
        name: "calm".to_owned(),
        when: GateWhen::BeforeStep.into(),
        question: Some(Question::Sql("SELECT count(*) FROM storm".to_owned())),
        comparison: Comparison::Equal.into(),
        expected: "0".to_owned(),
        samples: 6,
        need: 6,
        interval_ms: 400,
        timeout_ms: 2_000,
        ..Gate::default()
    }];
    talk.hand_out(&leg).await;
    talk.reports_until(|it| matches!(it, Outcome::BackedUp(_))).await;
    fleet.run("a", "INSERT INTO outbox VALUES (1), (2), (3)").await;
    let waits = told(&mut talk, |waits| !waits.is_empty()).await;
    assert_eq!(waits[0].why, "`queue`: the query answers 3 >= 3");
    assert!(fleet.in_force("a").await.is_empty());

    // Behind the wait they are asked anew.
    fleet.run("a", "INSERT INTO storm VALUES (1); DELETE FROM outbox").await;
    let reports = talk.reports_until(|it| matches!(it, Outcome::Failed(_))).await;
    let words = words(&reports);
    assert_eq!(words.last_chunk().map(|[a, b]| (&**a, &**b)), Some(("no gate 0", "failed 0")));
    assert!(fleet.in_force("a").await.is_empty());
}
