//! Runs apt and dpkg. What they print goes to standard error: standard output is for the answer.

use std::io;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Whether this machine has apt and dpkg.
pub(super) fn present() -> bool {
    ["apt-get", "dpkg"].iter().all(|program| {
        let mut probe = Command::new(program);
        probe.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    })
}

/// Runs a command to its end; fails if it does.
pub(super) fn run(command: &mut Command) -> Result<()> {
    let program = line(command);
    let out = io::stderr().as_fd().try_clone_to_owned().context("failed to share stderr")?;
    let status = command
        .stdin(Stdio::null())
        .stdout(out)
        .status()
        .with_context(|| format!("failed to run {program}"))?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    Ok(())
}

/// Runs a command to its end and returns what it printed.
pub(super) fn ask(command: &mut Command) -> Result<String> {
    let program = line(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to run {program}"))?;
    if !output.status.success() {
        bail!(
            "{program} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
