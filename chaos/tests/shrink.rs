//! A failing run is made small, the same way each time, and what is left is a script that the core's
//! golden tests can play.

#[path = "../../coordinator/core/tests/support/mod.rs"]
#[expect(dead_code, reason = "the golden tests of the core use all of it")]
mod support;

use skein_chaos::model::mutation::Mutation;
use skein_chaos::model::{Options, run};
use skein_chaos::shrink::{Entry, Shrunk, replay, script, shrink};
use skein_core::command::Command;
use support::words;
use support::world::World;

/// The first seeds that break this promise by that bug.
fn failing(mutation: Mutation, promise: &str, count: usize) -> Vec<(u64, Options)> {
    let options = Options { mutation: Some(mutation), ..Options::default() };
    let breaks = |seed: &u64| {
        run(*seed, &options).violation.is_some_and(|broken| broken.invariant == promise)
    };
    (0..2_000).filter(breaks).take(count).map(|seed| (seed, options.clone())).collect()
}

fn small(seed: u64, options: &Options) -> (Shrunk, String) {
    let shrunk = shrink(seed, options).expect("the seed fails");
    let entries = shrunk.entries.as_deref().expect("the core's commands are enough");
    let text = script("A title.", entries);
    (shrunk, text)
}

/// Scripts are written without gates, and cannot tell what one has decided.
fn has_gates(entry: &Entry) -> bool {
    let Entry::Asked(asked) = entry else { return false };
    let Command::PlanRollout { spec, .. } = &asked.command else { return false };
    !spec.strategy.gates.is_empty()
}

#[test]
fn rounds_of_failing_runs_become_short_scripts_that_the_core_can_play() {
    for (mutation, promise) in [
        (Mutation::WrongOrder, "plan_order"),
        (Mutation::NoLedgerCheck, "effects_once"),
        (Mutation::UndoesForwards, "undo_order"),
    ] {
        let mut told = 0;
        for (seed, options) in failing(mutation, promise, 12) {
            if told == 3 {
                break;
            }
            let (shrunk, text) = small(seed, &options);
            let entries = shrunk.entries.as_deref().expect("looked at above");
            if entries.iter().any(has_gates) {
                continue;
            }
            told += 1;
            let broken = replay(entries, false).expect("it still fails");
            assert_eq!(broken.invariant, promise, "seed {seed}");
            let ([.., before], [.., after]) = (shrunk.before, shrunk.after);
            assert!(after <= before && after < 90, "seed {seed}: {before} → {after}");
            let mut world = World::default();
            for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
                words::run(&mut world, line);
            }
            let refused = world.out.lines().find(|line| line.starts_with("refused"));
            assert_eq!(refused, None, "seed {seed}:\n{text}\n{}", world.out);
            assert!(world.log.len() > 5, "seed {seed}:\n{text}");
        }
        assert_eq!(told, 3, "{mutation:?}");
    }
}

#[test]
fn rounds_of_shrinking_give_the_same_twice() {
    for (seed, options) in failing(Mutation::NoLedgerCheck, "effects_once", 2) {
        assert_eq!(small(seed, &options).1, small(seed, &options).1, "seed {seed}");
    }
}

#[test]
fn what_holds_is_not_shrunk() {
    assert!(shrink(1, &Options::default()).is_none());
}
