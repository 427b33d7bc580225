//! Seeds that must hold, seeds that must replay, and bugs that must be found.

use std::hash::{BuildHasher, Hasher};

use skein_chaos::model::mutation::Mutation;
use skein_chaos::model::{Options, Run, run};

fn play(seed: u64) -> Run {
    let one = run(seed, Options::default());
    assert_eq!(
        one.violation, None,
        "seed {seed}; replay: cargo run -p skein-chaos -- model --seed {seed} --trace"
    );
    one
}

#[test]
fn no_promise_is_broken_on_the_fixed_seeds() {
    let mut ends = [0_u32; 3];
    let mut faults = 0;
    for seed in 0..800 {
        let one = play(seed);
        faults += one.faults;
        for (sum, count) in ends.iter_mut().zip(one.ends) {
            *sum += count;
        }
    }
    // A world in which nothing happens would hold every promise.
    assert!(ends.iter().all(|count| *count > 100) && faults > 10_000, "{ends:?} {faults}");
}

#[test]
fn no_promise_is_broken_on_fresh_seeds() {
    let first = std::collections::hash_map::RandomState::new().build_hasher().finish() >> 16;
    println!("fresh seeds {first}..{}", first + 300);
    for seed in first..first + 300 {
        play(seed);
    }
}

#[test]
fn a_seed_is_played_the_same_way_twice() {
    let options = Options { trace: true, ..Options::default() };
    for seed in 0..25 {
        let (once, twice) = (run(seed, options), run(seed, options));
        assert!(!once.trace.is_empty());
        assert_eq!(once.trace, twice.trace, "seed {seed}");
    }
}

#[test]
fn rounds_of_seeds_find_every_planted_bug() {
    // The rarest (an agent that begins a finished leg again) shows about once in seven thousand.
    const SEEDS: u64 = 20_000;
    let mut unseen = Vec::new();
    for mutation in Mutation::ALL {
        let options = Options { mutation: Some(mutation), ..Options::default() };
        let found = (0..SEEDS).find_map(|seed| Some((seed, run(seed, options).violation?)));
        match found {
            Some((seed, what)) => {
                println!("{mutation:?}: seed {seed}: {}: {}", what.invariant, what.sentence);
            }
            None => unseen.push(mutation),
        }
    }
    assert!(unseen.is_empty(), "not found within {SEEDS} seeds: {unseen:?}");
}
