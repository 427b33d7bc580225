//! Everything happens in namespaces of this program's own: processes, mounts and network.
//!
//! Whatever a run makes (bridges, network namespaces, mounts, servers, nodes) belongs to them, so the
//! kernel takes all of it away when this program is gone, however it went. The host sees none of it.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Said to the program that runs inside.
pub(crate) const INSIDE: &str = "--inside";

const UNSHARE: [&str; 8] = [
    "--pid",
    "--net",
    "--mount",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "private",
];

/// Why namespaces cannot be had here; `None` when they can.
pub(crate) fn refused() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("namespaces, links, mounts and packet filters need root".to_owned());
    }
    let probe = Command::new("unshare").args(UNSHARE).arg("true").stdin(Stdio::null()).output();
    match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare (Debian: util-linux) cannot be run: {error}")),
    }
}

/// Becomes the same program inside of new namespaces. Returns only when that fails.
pub(crate) fn enter(words: &[String]) -> Result<()> {
    let program = std::env::current_exe().context("failed to find this program")?;
    let error = Command::new("unshare").args(UNSHARE).arg(program).args(words).arg(INSIDE).exec();
    Err(error).context("failed to run unshare")
}

/// The first thing inside: loopback, and mounts that hide what must stay the host's own.
pub(crate) fn furnish() -> Result<()> {
    run("ip", &["link", "set", "lo", "up"])?;
    // Names of network namespaces are mounts below this; libfaketime leaves files in the other.
    std::fs::create_dir_all("/run/netns").context("failed to make /run/netns")?;
    for dir in ["/run/netns", "/dev/shm"] {
        run("mount", &["-t", "tmpfs", "tmpfs", dir])?;
    }
    Ok(())
}

/// Runs a command of the system to its end.
pub(crate) fn run(program: &str, words: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {} ended with {}: {}", words.join(" "), output.status, said.trim());
    }
    Ok(())
}
