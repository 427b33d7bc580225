//! What is gathered afterwards is checked as well as what is watched: good histories pass, and each
//! known-bad one is called by the name of the promise that it breaks.

use std::sync::Arc;

use skein_chaos::history::{History, check};
use skein_chaos::model::coverage::Fault;
use skein_chaos::model::mutation::Mutation;
use skein_chaos::model::{Options, run};
use skein_core::event::Body;
use skein_core::ids::{Digest, Seq};
use skein_core::spec::Direction;

fn gathered(seed: u64) -> History {
    run(seed, &Options { history: true, ..Options::default() }).history
}

fn names(history: &History) -> Vec<&'static str> {
    check(history).into_iter().map(|broken| broken.invariant).collect()
}

/// A history in which every step was applied and one at least was undone.
fn eventful() -> History {
    (0..200)
        .map(gathered)
        .find(|history| {
            let undone = |script| history.effects.iter().any(|(_, one)| one.script == script);
            undone(Direction::Up) && undone(Direction::Down) && history.answers.len() > 3
        })
        .expect("some of the seeds undo something")
}

#[test]
fn good_histories_pass() {
    let mut checked = 0;
    for seed in 0..200 {
        let one = run(seed, &Options { history: true, ..Options::default() });
        // What somebody takes out of a ledger behind everybody's back is not in it afterwards.
        let restored = one.coverage.faults.contains_key(&Fault::DatabaseRestored)
            || one.coverage.faults.contains_key(&Fault::MigratedByHand)
            || one.coverage.events.contains_key("RestoreStarted")
            // Effects do not tell on which side of a repair they were had, nor whether it was made.
            || one.coverage.events.contains_key("RepairAssigned");
        if !restored {
            checked += 1;
            let broken = check(&one.history);
            assert!(broken.is_empty(), "seed {seed}: {broken:?}");
        }
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn an_effect_that_happened_twice_is_seen() {
    let mut history = eventful();
    let last = history.effects.len() - 1;
    let again = history.effects[last].clone();
    history.effects.push(again);
    assert!(names(&history).contains(&"effects_once"));
}

#[test]
fn an_effect_without_a_lease_is_seen() {
    let mut history = eventful();
    history.effects[0].1.fence.0 = u64::MAX;
    assert!(names(&history).contains(&"grants"));
}

#[test]
fn an_effect_that_is_in_the_log_and_not_in_the_ledger_is_seen() {
    let mut history = eventful();
    history.effects.retain(|(_, effect)| !effect.whole);
    assert!(names(&history).contains(&"ledger_rows"));
}

#[test]
fn other_content_is_seen() {
    let mut history = eventful();
    history.effects[0].1.entry.digest = Digest([9; 32]);
    assert!(names(&history).contains(&"content"));
}

#[test]
fn an_acknowledged_event_that_is_gone_is_seen() {
    let mut history = eventful();
    history.acked.push((1, Seq(u64::MAX)));
    assert!(names(&history).contains(&"acked"));
}

#[test]
fn logs_that_differ_are_seen() {
    let mut history = eventful();
    let (_, log) = history.logs[0].clone();
    let mut other = log;
    other.truncate(10);
    Arc::make_mut(&mut other[9]).actor = "somebody else".to_owned();
    history.logs.push((9, other));
    assert_eq!(names(&history), ["same_log"]);
}

#[test]
fn a_database_that_is_not_what_the_log_says_is_seen() {
    let mut history = eventful();
    for database in &mut history.databases {
        database.ledger.clear();
    }
    assert!(names(&history).contains(&"settled"));
}

#[test]
fn two_leaders_and_two_answers_are_seen() {
    let mut history = eventful();
    history.leaders = vec![(1, 7), (2, 7)];
    let (id, body, _) = *history.answers.iter().find(|one| one.2.is_some()).expect("an answer");
    history.answers.push((id, body, None));
    assert_eq!(names(&history), ["one_leader", "requests"]);
}

#[test]
fn a_secret_is_seen_and_not_repeated() {
    let mut history = eventful();
    history.secrets = vec!["hunter2".to_owned()];
    assert!(names(&history).is_empty());
    let (_, log) = &mut history.logs[0];
    for event in log.iter_mut() {
        if let Body::AgentJoined { version, .. } = &mut Arc::make_mut(event).body {
            *version = "postgres://u:hunter2@db/x".to_owned();
        }
    }
    let broken = check(&history);
    assert_eq!(broken[0].invariant, "secrets");
    assert!(!broken[0].to_string().contains("hunter2"));
}

#[test]
fn planted_bugs_show_afterwards_too() {
    for (mutation, promise) in
        [(Mutation::NoLedgerCheck, "effects_once"), (Mutation::WrongOrder, "plan_order")]
    {
        let options = Options { history: true, mutation: Some(mutation), ..Options::default() };
        let seen = (0..300).any(|seed| names(&run(seed, &options).history).contains(&promise));
        assert!(seen, "{mutation:?}");
    }
}
