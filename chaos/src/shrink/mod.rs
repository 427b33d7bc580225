//! Makes a failing run small: first fewer faults, operations and targets, then, where the promise is
//! one that the core keeps, fewer of the commands that the core was given. What is left is written as a
//! golden script of the core.

mod replay;
mod script;
mod transcript;

pub use replay::replay;
pub use script::script;
pub use transcript::{Asked, Entry};

use std::collections::BTreeSet;

use crate::invariants::Broken;
use crate::model::{Options, Run, Without, run};

/// A failing run, made small.
#[derive(Debug)]
pub struct Shrunk {
    /// What it breaks; the promise is the one that was broken at first.
    pub broken: Broken,
    /// What it does without.
    pub without: Without,
    /// The commands and effects that are left, where the promise breaks by them alone.
    pub entries: Option<Vec<Entry>>,
    /// How large it was: operations, faults, commands and effects.
    pub before: [usize; 3],
    /// And is.
    pub after: [usize; 3],
}

/// Shrinks the run of a seed; `None`: it breaks nothing.
pub fn shrink(seed: u64, options: &Options) -> Option<Shrunk> {
    let first = run(seed, &with(options, Without::default()));
    let broken = first.violation.as_ref()?;
    let promise = broken.invariant;
    let fails = |without: &Without| {
        let one = run(seed, &with(options, without.clone()));
        one.violation.as_ref().is_some_and(|broken| broken.invariant == promise).then_some(one)
    };
    let (without, small) = fewer(&first, &fails);
    let small = small.unwrap_or_else(|| run(seed, &with(options, without.clone())));
    let all = small.transcript.clone();
    // A bug that is planted in executors is one of their order.
    let keep = options.mutation.is_none();
    let alone = replay(&all, keep).is_some_and(|broken| broken.invariant == promise);
    let entries = alone.then(|| least(all, promise, keep));
    let size = |run: &Run, without: &Without, entries: usize| {
        let [operations, strikes] = run.numbers;
        let left =
            |all: u64, out: &BTreeSet<u64>| (0..all).filter(|one| !out.contains(one)).count();
        [left(operations, &without.operations), left(strikes, &without.strikes), entries]
    };
    let count = entries.as_ref().map_or(small.transcript.len(), Vec::len);
    Some(Shrunk {
        broken: entries
            .as_ref()
            .and_then(|entries| replay(entries, keep))
            .or(small.violation.clone())?,
        before: size(&first, &Without::default(), first.transcript.len()),
        after: size(&small, &without, count),
        without,
        entries,
    })
}

fn with(options: &Options, without: Without) -> Options {
    Options { transcript: true, trace: false, without, ..options.clone() }
}

/// Leaves out what the run can do without and still fails.
fn fewer(first: &Run, fails: &dyn Fn(&Without) -> Option<Run>) -> (Without, Option<Run>) {
    let mut kept = Without::default();
    let mut small = None;
    let mut length = first.transcript.len();
    let mut attempt = |kept: &mut Without, change: &dyn Fn(&mut Without)| {
        let mut less = kept.clone();
        change(&mut less);
        // Less to go wrong can leave more time for it: what grows is not smaller.
        let Some(run) = fails(&less).filter(|run| run.transcript.len() <= length) else {
            return false;
        };
        length = run.transcript.len();
        *kept = less;
        small = Some(run);
        true
    };
    attempt(&mut kept, &|without| without.noise = true);
    attempt(&mut kept, &|without| without.poison = true);
    attempt(&mut kept, &|without| without.looks = true);
    for count in 1..8 {
        if attempt(&mut kept, &|without| without.databases_beyond = Some(count)) {
            break;
        }
    }
    let [operations, strikes] = first.numbers;
    for (total, strike) in [(strikes, true), (operations, false)] {
        let mut width = total.next_power_of_two();
        while width > 0 {
            let mut from = 0;
            while from < total {
                let to = total.min(from + width);
                attempt(&mut kept, &|without| {
                    let out = if strike { &mut without.strikes } else { &mut without.operations };
                    out.extend(from..to);
                });
                from = to;
            }
            width /= 2;
        }
    }
    (kept, small)
}

/// Leaves out commands and effects, in ever smaller pieces, until each that is left is needed.
fn least(mut entries: Vec<Entry>, promise: &str, keep: bool) -> Vec<Entry> {
    let fails =
        |entries: &[Entry]| replay(entries, keep).is_some_and(|broken| broken.invariant == promise);
    let mut width = entries.len().next_power_of_two();
    loop {
        let before = entries.len();
        let mut from = 0;
        while from < entries.len() {
            let to = entries.len().min(from + width.max(1));
            let mut less = entries.clone();
            less.drain(from..to);
            if fails(&less) {
                entries = less;
            } else {
                from = to;
            }
        }
        if width > 1 {
            width /= 2;
        } else if entries.len() == before {
            return entries;
        }
    }
}
