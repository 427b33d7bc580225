//! `skein-chaos model`: plays seeds, and says how to replay one that breaks a promise.

use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::model::coverage::Coverage;
use crate::model::mutation::Mutation;
use crate::model::{Options, Run, run};

/// How it is called.
pub const USAGE: &str = "\
skein-chaos model [--seeds FROM..TO | --seed N | --fresh] [--for SECONDS] [--trace] [--mutation NAME]
    plays seeds 0..1000, those that are named, or such as nobody has played; until the last one, or so
    long; prints the first broken promise of each, and the command that replays it";

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The first seed.
    pub from: u64,
    /// The one behind the last.
    pub to: u64,
    /// No new seed is begun after that.
    pub limit: Option<Duration>,
    /// How each is played.
    pub options: Options,
}

/// Seeds that nobody has played.
pub fn fresh() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish() >> 16
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it took is told to a person; at most it says when to stop"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Reads the words behind the verb.
pub fn read(mut words: impl Iterator<Item = String>) -> Option<Asked> {
    let mut asked = Asked { from: 0, to: 1_000, limit: None, options: Options::default() };
    let mut named = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seeds" => {
                let range = words.next()?;
                let (from, to) = range.split_once("..")?;
                (asked.from, asked.to) = (from.parse().ok()?, to.parse().ok()?);
                named = true;
            }
            "--seed" => {
                asked.from = words.next()?.parse().ok()?;
                asked.to = asked.from.checked_add(1)?;
                named = true;
            }
            "--fresh" => {
                asked.from = fresh();
                asked.to = asked.from.checked_add(1_000)?;
                named = false;
            }
            "--for" => asked.limit = Some(Duration::from_secs(words.next()?.parse().ok()?)),
            "--trace" => asked.options.trace = true,
            "--mutation" => asked.options.mutation = Some(Mutation::named(&words.next()?)?),
            _ => return None,
        }
    }
    if asked.limit.is_some() && !named {
        asked.to = u64::MAX;
    }
    Some(asked)
}

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Sum {
    /// How many.
    pub seeds: u64,
    /// Rollouts that were started.
    pub rollouts: u64,
    /// Of these: completed, rolled back, halted.
    pub ends: [u64; 3],
    /// Durable events.
    pub events: u64,
    /// Faults that were made.
    pub faults: u64,
    /// Seeds that broke a promise.
    pub violations: Vec<u64>,
    /// What they came across.
    pub coverage: Coverage,
}

impl Sum {
    /// One more.
    pub fn add(&mut self, seed: u64, one: &Run) {
        self.seeds += 1;
        self.rollouts += u64::from(one.rollouts);
        self.events += one.events;
        self.faults += u64::from(one.faults);
        for (sum, count) in self.ends.iter_mut().zip(one.ends) {
            *sum += u64::from(count);
        }
        if one.violation.is_some() {
            self.violations.push(seed);
        }
        self.coverage.add(&one.coverage);
    }
}

/// Plays them; what broke is written as it is found.
///
/// # Errors
/// It cannot be written.
pub fn play(asked: &Asked, out: &mut impl Write) -> io::Result<Sum> {
    let began = now();
    let mut sum = Sum::default();
    for seed in asked.from..asked.to {
        if asked.limit.is_some_and(|limit| began.elapsed() >= limit) {
            break;
        }
        let one = run(seed, &asked.options);
        sum.add(seed, &one);
        out.write_all(one.trace.as_bytes())?;
        if let Some(broken) = &one.violation {
            let bug = asked.options.mutation.map(|bug| format!(" --mutation {bug:?}"));
            let bug = bug.unwrap_or_default();
            writeln!(out, "seed {seed}: {broken}")?;
            writeln!(
                out,
                "    replay: cargo run --release -p skein-chaos -- model --seed {seed} --trace{bug}"
            )?;
            writeln!(
                out,
                "    shrink: cargo run --release -p skein-chaos -- shrink --seed {seed}{bug}"
            )?;
        }
    }
    let seconds = began.elapsed().as_secs_f64().max(1e-9);
    let [completed, rolled_back, halted] = sum.ends;
    let (seeds, rollouts) = (sum.seeds, sum.rollouts);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = rollouts as f64 / seconds;
    writeln!(
        out,
        "seeds {}..{}: {seeds} seeds, {rollouts} rollouts ({completed} completed, {rolled_back} rolled \
         back, {halted} halted), {} events, {} faults in {seconds:.1} s: {rate:.0} rollouts/s, {} \
         violations",
        asked.from,
        asked.from + seeds,
        sum.events,
        sum.faults,
        sum.violations.len(),
    )?;
    Ok(sum)
}

/// The whole verb.
///
/// # Errors
/// It cannot be written.
pub fn main(asked: &Asked, out: &mut impl Write) -> io::Result<bool> {
    Ok(play(asked, out)?.violations.is_empty())
}
