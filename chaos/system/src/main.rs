//! `skein-chaos-system --seeds 0..100`: plays seeds, and says how to replay one that breaks a promise.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use skein_chaos_system::mutation::Mutation;
use skein_chaos_system::{Options, Run, apart};

const USAGE: &str = "\
skein-chaos-system [--seeds FROM..TO | --seed N] [--seconds 60] [--for SECONDS]
                   [--check-determinism] [--trace] [--mutation NAME] [--no-damage]
    plays seeds 0..20, or those that are named, until the last one or so long; prints the first broken promise of
    each, and the command that replays it; with --check-determinism plays each twice and compares;
    with --no-damage whatever is on a disk stays as it was written
skein-chaos-system --mutations [--within 50] [--seconds 60]
    plants each bug, and plays seeds until it is found";

/// What was asked for.
struct Asked {
    from: u64,
    to: u64,
    options: Options,
    /// No new seed is begun after that.
    limit: Option<Duration>,
    /// Each is played twice.
    twice: bool,
    /// Each planted bug is looked for in so many seeds.
    within: Option<u64>,
    /// The first seed is played in this process, for another program.
    here: bool,
}

fn read(mut words: impl Iterator<Item = String>) -> Option<Asked> {
    let mut asked = Asked {
        from: 0,
        to: 20,
        options: Options::default(),
        limit: None,
        twice: false,
        within: None,
        here: false,
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seeds" => {
                let range = words.next()?;
                let (from, to) = range.split_once("..")?;
                (asked.from, asked.to) = (from.parse().ok()?, to.parse().ok()?);
            }
            "--seed" => {
                asked.from = words.next()?.parse().ok()?;
                asked.to = asked.from.checked_add(1)?;
            }
            "--seconds" => asked.options.seconds = words.next()?.parse().ok()?,
            "--for" => asked.limit = Some(Duration::from_secs(words.next()?.parse().ok()?)),
            "--check-determinism" => asked.twice = true,
            "--trace" => asked.options.trace = true,
            "--no-damage" => asked.options.damage = false,
            "--mutation" => asked.options.mutation = Some(Mutation::named(&words.next()?)?),
            apart::HERE => asked.here = true,
            "--mutations" => asked.within = asked.within.or(Some(50)),
            "--within" => asked.within = Some(words.next()?.parse().ok()?),
            _ => return None,
        }
    }
    Some(asked)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it took is told to a person; at most it says when to stop"
)]
fn now() -> Instant {
    Instant::now()
}

/// What came of many seeds.
#[derive(Debug, Default)]
struct Sum {
    seeds: u64,
    simulated: u64,
    events: u64,
    effects: u64,
    rollouts: u64,
    kinds: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    answers: [u64; 3],
    cuts: u64,
    lost: u64,
    syncs: u64,
    failed_syncs: u64,
    exits: u64,
    astray: u64,
    mended: u64,
    named: u64,
    violations: Vec<u64>,
    /// Seeds whose second run was another one.
    differ: Vec<u64>,
}

impl Sum {
    fn add(&mut self, seed: u64, one: &Run) {
        self.seeds += 1;
        self.simulated += one.simulated;
        self.events += one.events;
        self.effects += one.effects;
        self.rollouts += one.rollouts;
        for (kind, count) in &one.kinds {
            *self.kinds.entry(kind.clone()).or_default() += count;
        }
        for (kind, count) in &one.faults {
            *self.faults.entry(kind.clone()).or_default() += count;
        }
        for (sum, count) in self.answers.iter_mut().zip(one.answers) {
            *sum += count;
        }
        self.cuts += one.cuts;
        self.lost += one.lost;
        self.syncs += one.syncs;
        self.failed_syncs += one.failed_syncs;
        self.exits += one.exits.len() as u64;
        self.astray += one.astray;
        self.mended += one.mended;
        self.named += one.named;
        if one.violation.is_some() {
            self.violations.push(seed);
        }
    }

    fn tell(&self, out: &mut impl Write, took: Duration) -> io::Result<()> {
        let seconds = took.as_secs_f64().max(1e-9);
        let simulated = Duration::from_millis(self.simulated).as_secs_f64();
        writeln!(
            out,
            "{} seeds, {simulated:.0} simulated seconds in {seconds:.0} s ({:.0} to 1)",
            self.seeds,
            simulated / seconds
        )?;
        writeln!(
            out,
            "{} events, {} effects, {} rollouts ended; requests: {} accepted, {} refused, {} unanswered at first",
            self.events,
            self.effects,
            self.rollouts,
            self.answers[0],
            self.answers[1],
            self.answers[2]
        )?;
        for (kind, count) in &self.kinds {
            writeln!(out, "    {kind:<18} {count}")?;
        }
        writeln!(out, "{} faults:", self.faults.values().sum::<u64>())?;
        for (kind, count) in &self.faults {
            writeln!(out, "    {kind:<14} {count}")?;
        }
        writeln!(
            out,
            "{} power cuts took {} writes or names; of {} syncs {} failed; {} processes ended by themselves",
            self.cuts, self.lost, self.syncs, self.failed_syncs, self.exits
        )?;
        writeln!(
            out,
            "{} sectors went astray; {} damaged bytes were put back; {} processes ended naming what was damaged",
            self.astray, self.mended, self.named
        )?;
        writeln!(out, "{} violations {:?}", self.violations.len(), self.violations)?;
        if !self.differ.is_empty() {
            writeln!(out, "{} seeds are not deterministic: {:?}", self.differ.len(), self.differ)?;
        }
        Ok(())
    }
}

fn flags(options: Options) -> String {
    let mut flags = String::new();
    if options.seconds != Options::default().seconds {
        flags = format!(" --seconds {}", options.seconds);
    }
    if !options.damage {
        flags.push_str(" --no-damage");
    }
    if let Some(mutation) = options.mutation {
        flags = format!("{flags} --mutation {mutation:?}");
    }
    flags
}

fn play(asked: &Asked, out: &mut impl Write) -> io::Result<ExitCode> {
    let program = std::env::current_exe()?;
    let began = now();
    let mut sum = Sum::default();
    for seed in asked.from..asked.to {
        if asked.limit.is_some_and(|limit| began.elapsed() >= limit) {
            break;
        }
        let start = now();
        let one = apart::play(&program, seed, asked.options)?;
        out.write_all(one.trace.as_bytes())?;
        writeln!(
            out,
            "seed {seed}: {:016x}, {} s in {:.2} s, {} events, {} effects, {} rollouts, {} faults, {} exits",
            one.hash,
            one.simulated / 1_000,
            start.elapsed().as_secs_f64(),
            one.events,
            one.effects,
            one.rollouts,
            one.faults.values().sum::<u64>(),
            one.exits.len(),
        )?;
        sum.add(seed, &one);
        if let Some(what) = &one.violation {
            writeln!(out, "seed {seed}: {what}")?;
            writeln!(
                out,
                "    replay: cargo run --release -p skein-chaos-system -- --seed {seed} --trace{}",
                flags(asked.options)
            )?;
        }
        if asked.twice {
            let options = Options { trace: false, ..asked.options };
            let again = apart::play(&program, seed, options)?;
            if again.hash != one.hash {
                sum.differ.push(seed);
                writeln!(out, "seed {seed}: the second run was another one, {:016x}", again.hash)?;
            }
        }
        out.flush()?;
    }
    sum.tell(out, began.elapsed())?;
    let held = sum.violations.is_empty() && sum.differ.is_empty();
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plants each bug.
fn mutations(options: Options, within: u64, out: &mut impl Write) -> io::Result<ExitCode> {
    let program = std::env::current_exe()?;
    let mut missed = 0;
    for mutation in Mutation::ALL {
        let options = Options { mutation: Some(mutation), ..options };
        let mut found = None;
        for seed in 0..within {
            if let Some(what) = apart::play(&program, seed, options)?.violation {
                found = Some((seed, what));
                break;
            }
        }
        if let Some((seed, what)) = found {
            let what = what.lines().next().unwrap_or_default().to_owned();
            writeln!(out, "{mutation:?}: found after {} seeds: {what}", seed + 1)?;
        } else {
            missed += 1;
            writeln!(out, "{mutation:?}: NOT FOUND in {within} seeds")?;
        }
        out.flush()?;
    }
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let Some(asked) = read(std::env::args().skip(1)) else {
        writeln!(out, "{USAGE}")?;
        return Ok(ExitCode::from(2));
    };
    if asked.here {
        apart::here(asked.from, asked.options, &mut out)?;
        return Ok(ExitCode::SUCCESS);
    }
    match asked.within {
        Some(within) => mutations(asked.options, within, &mut out),
        None => play(&asked, &mut out),
    }
}
