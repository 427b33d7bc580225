//! `cargo xtask test`: everything, against real servers it sets up by itself.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use skein_tests::servers::provision::{self, Wanted};
use skein_tests::servers::{Lifetime, Options};
use skein_tests::skip::in_ci;

use super::servers::{self, Servers};
use crate::report::{Outcome, Report};
use crate::suite::{self, Selection, Surroundings};
use crate::{interrupt, step};

pub(super) fn run(words: &[String]) -> Result<ExitCode> {
    let mut keep = false;
    let mut selection = Selection::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--keep" => keep = true,
            "-p" => {
                let package = rest.next().context("-p needs a package")?.clone();
                if let Some(first) = selection.package.replace(package) {
                    bail!("`test` takes one package, and {first} is not the only one")
                }
            }
            option if option.starts_with('-') => {
                bail!("`test` does not know {option}; `cargo xtask help` lists what it does")
            }
            name if selection.filter.is_none() => selection.filter = Some(name.to_owned()),
            more => bail!("`test` takes one filter, and {more:?} is a second"),
        }
    }
    interrupt::watch(None)?;
    let mut report = Report::default();
    let lifetime = if keep { Lifetime::Detached } else { Lifetime::Attached };
    let tools = servers::provide(Wanted::default())?;
    let servers = Servers::start(&tools, Wanted::default(), Options { fsync: false, lifetime })?;
    let surroundings = Surroundings::new(&tools, &servers)?;
    let built = suite::run(&surroundings, &selection, &mut report)?;
    if built && selection.is_all() {
        report.add("demo", demo(&surroundings)?);
    }
    if keep {
        let dir = provision::target().join("servers");
        servers::export(&tools, &servers)?;
        servers.detach(&dir)?;
        eprintln!("the servers stay; end them with `cargo xtask servers --stop {}`", dir.display());
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
