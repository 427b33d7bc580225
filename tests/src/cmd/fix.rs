//! `cargo xtask fix`: what a program can put right.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::step;

pub(super) fn run(words: &[String]) -> Result<ExitCode> {
    if let Some(word) = words.first() {
        bail!("`fix` takes nothing, and {word:?} was given");
    }
    let mut clippy = step::cargo(["clippy", "--workspace", "--all-targets", "--fix"]);
    // Uncommitted work is what one fixes.
    if !step::run(clippy.args(["--allow-dirty", "--allow-staged"]))?.success() {
        return Ok(ExitCode::FAILURE);
    }
    let formatted = step::run(&mut step::cargo(["fmt", "--all"]))?.success();
    Ok(if formatted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
