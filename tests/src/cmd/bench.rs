//! `cargo xtask bench`: the measurements, in release mode, with whatever arguments they take.

use std::process::ExitCode;

use anyhow::Result;

use crate::step;

pub(super) fn run(words: &[String]) -> Result<ExitCode> {
    let mut bench = step::cargo(["run", "--release", "-p", "skein-benches", "--"]);
    // Options alone are options of everything.
    if words.first().is_none_or(|word| word.starts_with('-')) {
        bench.arg("all");
    }
    let good = step::run(bench.args(words))?.success();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
