//! The tests of the workspace: run with nextest where it is installed, else with cargo, and
//! counted alike.

mod junit;
mod libtest;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use skein_tests::servers;
use skein_tests::servers::provision::{self, Tools};
use skein_tests::skip::{SKIPS, in_ci};
use tempfile::TempDir;

use crate::cmd::servers::Servers;
use crate::report::{Outcome, Report};
use crate::step;

/// The variables that tests find their surroundings by.
#[derive(Debug)]
pub(crate) struct Surroundings {
    variables: Vec<(OsString, OsString)>,
    skips: PathBuf,
    /// Where tests make the homes of servers of their own; removed when this is dropped.
    _homes: TempDir,
}

impl Surroundings {
    pub(crate) fn new(tools: &Tools, running: &Servers) -> Result<Self> {
        let target = provision::target();
        let skips = target.join("skipped-tests");
        fs::create_dir_all(&target)
            .and_then(|()| fs::write(&skips, ""))
            .with_context(|| format!("failed to make {}", skips.display()))?;
        let mut variables: Vec<(OsString, OsString)> = Vec::new();
        variables.extend(tools.environment().into_iter().map(|(name, value)| (name.into(), value)));
        variables
            .extend(running.variables().into_iter().map(|(name, url)| (name.into(), url.into())));
        variables.push((SKIPS.into(), skips.clone().into()));
        variables.push(("SKEIN_BIN".into(), binary().into()));
        let corpora = provision::workspace().join("../shared/corpora");
        if std::env::var_os("SKEIN_CORPORA").is_none()
            && let Ok(corpora) = corpora.canonicalize()
        {
            variables.push(("SKEIN_CORPORA".into(), corpora.into()));
        }
        let homes = servers::homes()?;
        variables.push((servers::HOMES.into(), homes.path().into()));
        Ok(Self { variables, skips, _homes: homes })
    }

    /// Gives the variables to a command.
    pub(crate) fn give(&self, command: &mut Command) {
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    /// The skips that tests have written down so far.
    fn skipped(&self) -> BTreeSet<String> {
        let text = fs::read_to_string(&self.skips).unwrap_or_default();
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

/// Where the build puts the program.
pub(crate) fn binary() -> PathBuf {
    provision::target().join("debug").join("skein")
}

/// Which tests are asked for: all, unless one of these says otherwise.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// One package instead of the workspace.
    pub(crate) package: Option<String>,
    /// Tests whose names contain this.
    pub(crate) filter: Option<String>,
}

impl Selection {
    /// Whether everything is asked for.
    pub(crate) fn is_all(&self) -> bool {
        self.package.is_none() && self.filter.is_none()
    }

    /// `cargo WORDS` on the packages asked for.
    fn cargo(&self, words: &[&str]) -> Command {
        let mut cargo = step::cargo(words);
        match &self.package {
            Some(package) => cargo.args(["--package", package]),
            None => cargo.arg("--workspace"),
        };
        cargo
    }
}

/// Builds the tests asked for; then runs them and, unless a filter limits them, those in the
/// documentation. `false` when they could not be built.
pub(crate) fn run(
    surroundings: &Surroundings,
    selection: &Selection,
    report: &mut Report,
) -> Result<bool> {
    let mut build = selection.cargo(&["build", "--tests"]);
    if selection.package.is_none() {
        // The program is built together with the tests, because alone it would be built with
        // fewer features of what it depends on, and everything a second time.
        build.args(["--bin", "skein"]);
    }
    if !step::run(&mut build)?.success() {
        report.add("build", Outcome::whole(false));
        return Ok(false);
    }
    // Tests of one package run the program too, and must not run an older one; with the features of the
    // whole workspace nothing is built twice.
    if selection.package.is_some()
        && !step::run(&mut step::cargo(["build", "--workspace", "--bin", "skein"]))?.success()
    {
        report.add("build", Outcome::whole(false));
        return Ok(false);
    }
    if step::has("nextest") {
        report.add("tests", nextest(surroundings, selection)?);
    } else {
        eprintln!(
            "cargo-nextest is not installed: `cargo test` does the same, one crate at a time"
        );
        let test = selection.cargo(&["test", "--no-fail-fast", "--lib", "--bins", "--tests"]);
        report.add("tests", libtest(surroundings, test, selection.filter.as_deref())?);
    }
    if selection.filter.is_none() {
        let test = selection.cargo(&["test", "--no-fail-fast", "--doc"]);
        report.add("doctests", libtest(surroundings, test, None)?);
    }
    Ok(true)
}

fn nextest(surroundings: &Surroundings, selection: &Selection) -> Result<Outcome> {
    let profile = if in_ci() { "ci" } else { "default" };
    let results = provision::target().join("nextest").join(profile).join("junit.xml");
    if results.exists() {
        // Those of an earlier run must not be taken for those of this one.
        fs::remove_file(&results)
            .with_context(|| format!("failed to remove {}", results.display()))?;
    }
    let mut command = selection.cargo(&["nextest", "run", "--no-fail-fast", "--profile", profile]);
    surroundings.give(&mut command);
    command.args(&selection.filter);
    let ended_well = step::run(&mut command)?.success();
    let results = fs::read_to_string(&results).unwrap_or_default();
    let counted = junit::read(&results);
    let mut skipped = surroundings.skipped();
    skipped.extend(counted.skipped);
    let mut outcome = Outcome::counted(counted.ran, counted.failed, skipped, ended_well);
    if selection.filter.is_none() {
        outcome.skipped.extend(ignored(selection)?);
    }
    Ok(outcome)
}

/// Tests marked `#[ignore]`, which nextest leaves out of its results.
fn ignored(selection: &Selection) -> Result<Vec<String>> {
    let mut list = selection.cargo(&["nextest", "list", "--run-ignored", "only"]);
    let output = list
        .args(["--message-format", "oneline"])
        .output()
        .context("failed to list the ignored tests")?;
    if !output.status.success() {
        bail!("failed to list the ignored tests: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(|test| format!("{test} — marked #[ignore]")).collect())
}

/// Runs the tests of `command` with cargo's own runner.
fn libtest(
    surroundings: &Surroundings,
    mut command: Command,
    filter: Option<&str>,
) -> Result<Outcome> {
    surroundings.give(&mut command);
    let before = surroundings.skipped();
    // What a passing test prints is shown, because a skip is announced there.
    command.args(filter).args(["--", "--show-output"]);
    let (status, said) = step::read(&mut command)?;
    let counted = libtest::read(&said);
    let mut skipped: BTreeSet<String> =
        surroundings.skipped().difference(&before).cloned().collect();
    skipped.extend(counted.skipped);
    let mut outcome = Outcome::counted(counted.ran, counted.failed, skipped, status.success());
    outcome.skipped.extend(counted.ignored);
    Ok(outcome)
}
