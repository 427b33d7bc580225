//! One child program of a command: run to its end, seen and, where it is counted, read.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};
use skein_tests::servers::provision;

use crate::interrupt;

/// Variables with which cargo tells a program about the package it was built from. A cargo that
/// this program runs must not take them for its own.
const OF_THIS_PACKAGE: [&str; 5] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_CRATE_NAME",
    "CARGO_BIN_NAME",
    "CARGO_PRIMARY_PACKAGE",
];

/// The cargo that runs us, at the root of the workspace.
pub(crate) fn cargo<I: AsRef<OsStr>>(words: impl IntoIterator<Item = I>) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(words).current_dir(provision::workspace());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OF_THIS_PACKAGE.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Whether `cargo WORD` is there.
pub(crate) fn has(word: &str) -> bool {
    let mut probe = cargo([word, "--version"]);
    probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// Says what is run, runs it to its end, and answers how it ended.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus> {
    announce(command);
    let program = command.get_program().display().to_string();
    let mut child =
        command.stdin(Stdio::null()).spawn().with_context(|| format!("failed to run {program}"))?;
    let waiting = interrupt::waiting_for(child.id());
    let status = child.wait().with_context(|| format!("failed to wait for {program}"))?;
    drop(waiting);
    not_interrupted()?;
    Ok(status)
}

/// As [`run`], and returns what it printed as well, which is shown as it comes.
pub(crate) fn read(command: &mut Command) -> Result<(ExitStatus, String)> {
    announce(command);
    let program = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to run {program}"))?;
    let waiting = interrupt::waiting_for(child.id());
    let mut said = Vec::new();
    if let Some(out) = child.stdout.take() {
        let mut out = BufReader::new(out);
        let mut shown = io::stdout();
        let mut begin = 0;
        while out.read_until(b'\n', &mut said).context("failed to read what it prints")? > 0 {
            shown.write_all(said.get(begin..).unwrap_or_default())?;
            begin = said.len();
        }
    }
    let status = child.wait().with_context(|| format!("failed to wait for {program}"))?;
    drop(waiting);
    not_interrupted()?;
    Ok((status, String::from_utf8_lossy(&said).into_owned()))
}

fn announce(command: &Command) {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default();
    eprintln!("\n=== {program} {}", words.join(" "));
}

fn not_interrupted() -> Result<()> {
    if interrupt::raised() {
        bail!("interrupted; what was started has been stopped");
    }
    Ok(())
}
