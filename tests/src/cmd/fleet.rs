//! `cargo xtask fleet`: the rollout of `tests/tests/thousand`, over as many targets as are asked for.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use skein_tests::servers::provision::Wanted;
use skein_tests::servers::{Lifetime, Options};

use super::servers::{self, Servers};
use crate::suite::Surroundings;
use crate::{interrupt, step};

/// SQLite, PostgreSQL, MariaDB.
const SCALE: [u32; 3] = [1_000, 60, 60];

pub(super) fn run(words: &[String]) -> Result<ExitCode> {
    let numbers: Vec<u32> = words
        .iter()
        .map(|word| word.parse().with_context(|| format!("{word:?} is no number of targets")))
        .collect::<Result<_>>()?;
    let scale: [u32; 3] = match numbers.len() {
        0 => SCALE,
        _ => match numbers.try_into() {
            Ok(scale) => scale,
            Err(given) => bail!("`fleet` takes three numbers or none, and {given:?} was given"),
        },
    };
    interrupt::watch(None)?;
    let built = step::run(&mut step::cargo(["build", "--workspace", "--bin", "skein"]))?;
    if !built.success() {
        return Ok(ExitCode::FAILURE);
    }
    let tools = servers::provide(Wanted::default())?;
    let options = Options { fsync: false, lifetime: Lifetime::Attached };
    let servers = Servers::start(&tools, Wanted::default(), options)?;
    let surroundings = Surroundings::new(&tools, &servers)?;
    let words = ["test", "--workspace", "--test", "thousand", "--", "--nocapture"];
    let mut play = step::cargo(words);
    surroundings.give(&mut play);
    play.env("SKEIN_FLEET", scale.map(|count| count.to_string()).join(","));
    let played = step::run(&mut play)?;
    Ok(if played.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
