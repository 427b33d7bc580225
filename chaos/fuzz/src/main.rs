//! `skein-chaos-fuzz [TARGET] [--cases N | --seconds N] [--seed S]`: bends bytes at every door, or at one.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use peak_alloc::PeakAlloc;
use skein_chaos::place::Place;
use skein_chaos_fuzz::campaign::{Memory, bytes, play};
use skein_chaos_fuzz::targets::all;

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

struct Watched;

impl Memory for Watched {
    fn begin(&self) -> usize {
        PEAK.reset_peak_usage();
        PEAK.current_usage()
    }

    fn most(&self) -> usize {
        PEAK.peak_usage()
    }
}

const USAGE: &str = "skein-chaos-fuzz [TARGET] [--cases N | --seconds N] [--seed S] [--show SEED]";

struct Asked {
    target: Option<String>,
    cases: u64,
    seconds: Option<u64>,
    seed: u64,
    show: Option<u64>,
}

fn read(words: &[String]) -> Result<Asked> {
    let mut asked = Asked { target: None, cases: 10_000, seconds: None, seed: 1, show: None };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse().ok());
        match word.as_str() {
            "--cases" => asked.cases = number().unwrap_or(asked.cases),
            "--seconds" => asked.seconds = number(),
            "--seed" => asked.seed = number().unwrap_or(asked.seed),
            "--show" => asked.show = number(),
            name if !name.starts_with('-') => asked.target = Some(name.to_owned()),
            _ => bail!("usage: {USAGE}"),
        }
    }
    Ok(asked)
}

#[expect(clippy::disallowed_methods, reason = "a campaign is as long as it was asked to be")]
fn now() -> Instant {
    Instant::now()
}

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = read(&words)?;
    // A door that panics is told of by its seed; where it did is seen by trying that seed again.
    if asked.show.is_none() && std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let place = Place::new("fuzz")?;
    let mut out = std::io::stdout();
    let mut code = ExitCode::SUCCESS;
    let mut cases = 0;
    for target in all(place.path()) {
        if asked.target.as_deref().is_some_and(|wanted| wanted != target.name) {
            continue;
        }
        if let Some(seed) = asked.show {
            out.write_all(&bytes(&target, seed))?;
            (target.door)(&bytes(&target, seed));
            return Ok(ExitCode::SUCCESS);
        }
        let until = asked.seconds.map(|seconds| now() + Duration::from_secs(seconds));
        let seen = play(&target, asked.seed, &Watched, |seen| match until {
            Some(until) => now() >= until,
            None => seen.cases >= asked.cases,
        });
        cases += seen.cases;
        writeln!(out, "{:22} {seen}", target.name)?;
        if let Some((seed, how)) = seen.broken {
            writeln!(out, "    seed {seed}: {how}")?;
            writeln!(out, "    again: skein-chaos-fuzz {} --show {seed}", target.name)?;
            code = ExitCode::FAILURE;
        }
    }
    writeln!(out, "{cases} cases")?;
    Ok(code)
}
