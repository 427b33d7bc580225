//! `cargo xtask verify`: what a change must pass. It looks, and changes nothing.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use skein_tests::servers::Options;
use skein_tests::servers::provision::Wanted;
use skein_tests::skip::in_ci;

use super::servers::{self, Servers};
use crate::report::{Outcome, Report};
use crate::suite::{self, Selection, Surroundings};
use crate::{interrupt, step};

pub(super) fn run(words: &[String]) -> Result<ExitCode> {
    if let Some(word) = words.first() {
        bail!("`verify` takes nothing, and {word:?} was given");
    }
    interrupt::watch(None)?;
    let mut report = Report::default();
    let format = step::run(&mut step::cargo(["fmt", "--all", "--check"]))?;
    report.add("format", Outcome::whole(format.success()));
    let mut clippy = step::cargo(["clippy", "--workspace", "--all-targets"]);
    let clippy = step::run(clippy.args(["--", "-D", "warnings"]))?;
    report.add("clippy", Outcome::whole(clippy.success()));

    let tools = servers::provide(Wanted::default())?;
    let servers = Servers::start(&tools, Wanted::default(), Options::default())?;
    suite::run(&Surroundings::new(&tools, &servers)?, &Selection::default(), &mut report)?;
    drop(servers);

    let mut doc = step::cargo(["doc", "--workspace", "--no-deps"]);
    let doc = step::run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    report.add("documentation", Outcome::whole(doc.success()));
    dependencies(&mut report)?;
    report.end(in_ci()).context("failed to print the report")
}

/// Licences, bans and sources are in the tree; advisories are fetched.
fn dependencies(report: &mut Report) -> Result<()> {
    if !step::has("deny") {
        eprintln!("\n*** cargo-deny is not installed: licences and advisories are NOT checked");
        eprintln!("*** `cargo install --locked cargo-deny` brings it");
        let why = "cargo-deny is not installed: licences and advisories are not checked";
        report.add("dependencies", Outcome::skip(why));
        return Ok(());
    }
    let checked =
        step::run(&mut step::cargo(["deny", "check", "licenses", "bans", "sources"]))?.success();
    report.add("dependencies", Outcome::whole(checked));
    let advisories = if step::run(&mut step::cargo(["deny", "fetch", "db"]))?.success() {
        Outcome::whole(step::run(&mut step::cargo(["deny", "check", "advisories"]))?.success())
    } else {
        Outcome::skip("the database of advisories could not be fetched")
    };
    report.add("advisories", advisories);
    Ok(())
}
