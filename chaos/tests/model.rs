//! Seeds that must hold, seeds that must replay, a generator that leaves nothing out, and bugs that
//! must be found.

use std::collections::BTreeSet;
use std::time::Duration;

use skein_chaos::cmd::coverage::table;
use skein_chaos::cmd::model::{Asked, Sum, fresh, play};
use skein_chaos::cmd::mutations::plant;
use skein_chaos::invariants::Watch;
use skein_chaos::model::mutation::Mutation;
use skein_chaos::model::{Options, run};

/// Plays seeds, and fails with the command that replays the first that breaks a promise.
fn hold(asked: &Asked) -> Sum {
    let mut said = Vec::new();
    let sum = play(asked, &mut said).expect("a Vec takes everything");
    let said = String::from_utf8_lossy(&said);
    assert!(sum.violations.is_empty(), "{said}");
    sum
}

#[test]
fn rounds_of_fixed_seeds_hold_every_promise_and_leave_nothing_out() {
    let options = Options { refusals: true, ..Options::default() };
    let sum = hold(&Asked { from: 0, to: 3_000, limit: None, options });
    // A world in which nothing happens would hold every promise.
    assert!(sum.ends.iter().all(|count| *count > 500), "{:?}", sum.ends);
    let table = table(&sum.coverage).expect("the sources of the core are there");
    let never: Vec<_> = table.iter().filter(|(_, _, count)| *count == 0).collect();
    assert!(never.is_empty(), "the generator never made {never:?}");
}

#[test]
fn rounds_of_fresh_seeds_hold_every_promise() {
    let from = fresh();
    // What fails says which seed; what hangs shows the first one in the test's output.
    println!("fresh seeds from {from}");
    let limit = Some(Duration::from_secs(20));
    let sum = hold(&Asked { from, to: u64::MAX, limit, options: Options::default() });
    assert!(sum.rollouts > 100, "{}", sum.rollouts);
}

#[test]
fn a_seed_is_played_the_same_way_twice() {
    let options = Options { trace: true, ..Options::default() };
    for seed in 0..25 {
        let (once, twice) = (run(seed, &options), run(seed, &options));
        assert!(!once.trace.is_empty());
        assert_eq!(once.trace, twice.trace, "seed {seed}");
    }
}

#[test]
fn rounds_of_seeds_find_every_planted_bug_and_break_every_promise() {
    let mut broken = BTreeSet::new();
    let mut unseen = Vec::new();
    for mutation in Mutation::ALL {
        let found = plant(mutation, 4_000, 120);
        println!("{mutation:?}: {:?} {:?}", found.first, found.broken);
        if found.first.is_none() {
            unseen.push(mutation);
        }
        broken.extend(found.broken.into_keys());
    }
    assert!(unseen.is_empty(), "not found: {unseen:?}");
    let watch = Watch::default();
    let idle: Vec<_> = watch.promises().filter(|(name, _)| !broken.contains(*name)).collect();
    assert!(idle.is_empty(), "no bug breaks {idle:?}");
}
