//! `skein-chaos model --seeds 0..1000`: plays seeds, and says how to replay one that breaks a promise.

use std::io::Write;
use std::process::ExitCode;

use skein_chaos::model::mutation::Mutation;
use skein_chaos::model::{Options, Run, run};

const USAGE: &str =
    "usage: skein-chaos model [--seeds FROM..TO] [--seed N] [--trace] [--mutation NAME]";

struct Asked {
    from: u64,
    to: u64,
    options: Options,
}

fn read(mut words: impl Iterator<Item = String>) -> Option<Asked> {
    let mut asked = Asked { from: 0, to: 1_000, options: Options::default() };
    if words.next().as_deref() != Some("model") {
        return None;
    }
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
            "--trace" => asked.options.trace = true,
            "--mutation" => asked.options.mutation = Some(Mutation::named(&words.next()?)?),
            _ => return None,
        }
    }
    Some(asked)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it took is told to a person, and decides nothing"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn main() -> std::io::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = skein_chaos::disks::command(&words, &mut out)? {
        return Ok(code);
    }
    let Some(asked) = read(std::env::args().skip(1)) else {
        writeln!(out, "{USAGE}\n{}", skein_chaos::disks::USAGE)?;
        return Ok(ExitCode::from(2));
    };
    let began = now();
    let mut all = Run::default();
    let mut violations = 0_u32;
    for seed in asked.from..asked.to {
        let one = run(seed, asked.options);
        all.rollouts += one.rollouts;
        all.events += one.events;
        all.faults += one.faults;
        for (sum, count) in all.ends.iter_mut().zip(one.ends) {
            *sum += count;
        }
        out.write_all(one.trace.as_bytes())?;
        if let Some(what) = one.violation {
            violations += 1;
            writeln!(out, "seed {seed}: {what}")?;
            writeln!(out, "    replay: cargo run -p skein-chaos -- model --seed {seed} --trace")?;
        }
    }
    let seconds = began.elapsed().as_secs_f64().max(1e-9);
    let [completed, rolled_back, halted] = all.ends;
    writeln!(
        out,
        "{} seeds, {} rollouts ({completed} completed, {rolled_back} rolled back, {halted} halted), {} \
         events, {} faults in {seconds:.1} s: {:.0} rollouts/s, {violations} violations",
        asked.to.saturating_sub(asked.from),
        all.rollouts,
        all.events,
        all.faults,
        f64::from(all.rollouts) / seconds
    )?;
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
