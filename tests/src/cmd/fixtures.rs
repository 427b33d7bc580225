//! `cargo xtask fixtures`: what the release under way leaves on disk and says on the wire, for later ones to
//! read (`tests/tests/releases`).

use std::process::ExitCode;

use anyhow::{Result, bail};
use skein_tests::servers::provision;

use crate::step;
use crate::suite;

pub(super) fn run(words: &[String]) -> Result<ExitCode> {
    if let Some(word) = words.first() {
        bail!("`fixtures` takes nothing, and {word:?} was given");
    }
    let version = env!("CARGO_PKG_VERSION");
    let place = provision::workspace().join("tests/fixtures/releases").join(version);
    if place.exists() {
        bail!(
            "{} is there already: what a release wrote is never changed; raise the version in Cargo.toml",
            place.display()
        );
    }
    let mut build = step::cargo(["build", "--workspace", "--bin", "skein", "--test", "releases"]);
    if !step::run(&mut build)?.success() {
        return Ok(ExitCode::FAILURE);
    }
    let mut write = step::cargo(["test", "--workspace", "--test", "releases"]);
    write.args(["--", "the_release_under_way_is_written_when_asked_for"]);
    write.env("SKEIN_WRITE_RELEASE", version).env("SKEIN_BIN", suite::binary());
    let written = step::run(&mut write)?.success() && place.exists();
    Ok(if written { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
