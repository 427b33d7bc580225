//! The commands about disks: `kill`, `power`, and the writer that they run.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::place;
use crate::writer::rounds::{Asked, End, Report, play};
use crate::writer::{self, machine::chain};

/// How the commands are called.
pub const USAGE: &str = "\
       skein-chaos kill [--rounds N] [--seed S]
       skein-chaos power [writer|lie] [--rounds N] [--seed S]";

/// Whether `words` is a command of this module; then it is done.
pub fn command(words: &[String], out: &mut dyn Write) -> io::Result<Option<ExitCode>> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["writer", dir] => Ok(Some(write(Path::new(dir), out)?)),
        ["kill", rest @ ..] => rounds(&["kill"], rest, out),
        ["power", "lie", rest @ ..] => rounds(&["power", "lie"], rest, out),
        ["power", "writer", rest @ ..] => rounds(&["power", "writer"], rest, out),
        _ => Ok(None),
    }
}

/// Plays the writer; it ends when it is killed or when the store refuses.
fn write(dir: &Path, out: &mut dyn Write) -> io::Result<ExitCode> {
    let Err(error) = writer::play(dir, out) else { return Ok(ExitCode::SUCCESS) };
    writeln!(io::stderr(), "stopped: {}", chain(&error))?;
    Ok(ExitCode::from(3))
}

struct Numbers {
    rounds: u64,
    seed: u64,
}

fn numbers(words: &[&str]) -> Option<Numbers> {
    let mut numbers = Numbers { rounds: 20, seed: 1 };
    for pair in words.chunks(2) {
        match pair {
            ["--rounds", count] => numbers.rounds = count.parse().ok()?,
            ["--seed", seed] => numbers.seed = seed.parse().ok()?,
            _ => return None,
        }
    }
    Some(numbers)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it took is told to a person, and decides nothing"
)]
fn now() -> Instant {
    Instant::now()
}

fn rounds(name: &[&str], rest: &[&str], out: &mut dyn Write) -> io::Result<Option<ExitCode>> {
    let Some(Numbers { rounds, seed }) = numbers(rest) else { return Ok(None) };
    let lie = name.contains(&"lie");
    let end =
        if name == ["kill"] { End::Kill } else { End::Power { preload: place::preload()?, lie } };
    let began = now();
    let report = play(&Asked { program: std::env::current_exe()?, rounds, seed, end })?;
    let name = name.join(" ");
    writeln!(out, "{name}: {report}, in {:.1} s", began.elapsed().as_secs_f64())?;
    for violation in &report.violations {
        writeln!(out, "{violation}")?;
    }
    Ok(Some(verdict(&name, lie, &report, out)?))
}

fn verdict(name: &str, lie: bool, report: &Report, out: &mut dyn Write) -> io::Result<ExitCode> {
    match (lie, report.violations.is_empty()) {
        (false, true) => Ok(ExitCode::SUCCESS),
        (true, false) => {
            writeln!(out, "the disk lied, and the loss was found: the check can be trusted")?;
            Ok(ExitCode::SUCCESS)
        }
        (true, true) => {
            writeln!(out, "the disk lied, and the check did not find what was lost")?;
            Ok(ExitCode::FAILURE)
        }
        (false, false) => {
            writeln!(out, "    again: skein-chaos {name} --rounds 1 --seed SEED")?;
            Ok(ExitCode::FAILURE)
        }
    }
}
