//! `skein-chaos VERB`: Skein under faults, from the command line. One verb a file in [`skein_chaos::cmd`].

use std::io::Write;
use std::process::ExitCode;

use skein_chaos::cmd::{coverage, model, mutations, shrink};
use skein_chaos::disks;

fn main() -> std::io::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = disks::command(&words, &mut out)? {
        return Ok(code);
    }
    let mut words = words.into_iter();
    let verb = words.next().unwrap_or_default();
    let well = match verb.as_str() {
        "model" => match model::read(words) {
            Some(asked) => model::main(&asked, &mut out)?,
            None => return usage(&mut out),
        },
        "coverage" => match model::read(words) {
            Some(asked) => coverage::main(asked, &mut out)?,
            None => return usage(&mut out),
        },
        "mutations" => match mutations::read(words) {
            Some(asked) => mutations::main(&asked, &mut out)?,
            None => return usage(&mut out),
        },
        "shrink" => match model::read(words) {
            Some(asked) => shrink::main(&asked, &mut out)?,
            None => return usage(&mut out),
        },
        _ => return usage(&mut out),
    };
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn usage(out: &mut impl Write) -> std::io::Result<ExitCode> {
    for usage in [model::USAGE, coverage::USAGE, mutations::USAGE, shrink::USAGE, disks::USAGE] {
        writeln!(out, "{usage}")?;
    }
    Ok(ExitCode::from(2))
}
