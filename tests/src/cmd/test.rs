//! `cargo xtask test`: everything, against real servers it sets up by itself.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use skein_tests::servers::provision::{self, Wanted};
use skein_tests::servers::{Lifetime, Options};
use skein_tests::skip::in_ci;

use super::servers::{self, Pair};
use crate::report::{Outcome, Report};
use crate::suite::{self, Surroundings};
use crate::{interrupt, step};

pub(super) fn run(words: &[String]) -> Result<ExitCode> {
    let mut keep = false;
    let mut filter = None;
    for word in words {
        match word.as_str() {
            "--keep" => keep = true,
            option if option.starts_with('-') => {
                bail!("`test` does not know {option}; `cargo xtask help` lists what it does")
            }
            name if filter.is_none() => filter = Some(name),
            more => bail!("`test` takes one filter, and {more:?} is a second"),
        }
    }
    interrupt::watch(None)?;
    let mut report = Report::default();
    // Options come before the tests, so that a server outlives an interrupted run as well.
    let lifetime = if keep { Lifetime::Detached } else { Lifetime::Attached };
    let tools = servers::provide(Wanted::default())?;
    let pair = Pair::start(&tools, Options { fsync: false, lifetime })?;
    let surroundings = Surroundings::new(&tools, &pair)?;
    let built = suite::run(&surroundings, filter, &mut report)?;
    if built && filter.is_none() {
        report.add("demo", demo(&surroundings)?);
    }
    if keep {
        let dir = provision::target().join("servers");
        servers::export(&tools, &pair)?;
        pair.detach(&dir)?;
        eprintln!(
            "both servers stay; end them with `cargo xtask servers --stop {}`",
            dir.display()
        );
    }
    report.end(in_ci()).context("failed to print the report")
}

/// The demo asserts each of its claims and ends badly otherwise. One that says nothing has claimed
/// nothing, and has not passed.
fn demo(surroundings: &Surroundings) -> Result<Outcome> {
    let mut demo = Command::new(suite::binary());
    surroundings.give(demo.args(["demo", "--fast"]));
    let (status, said) = step::read(&mut demo)?;
    Ok(Outcome::whole(status.success() && !said.trim().is_empty()))
}
