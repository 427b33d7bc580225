//! What a run needs of the system, fetched where it is missing and may be: before this program enters
//! namespaces, from which nothing can be reached.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use skein_tests::servers::provision::{self, Wanted};

/// The library that makes clocks wrong.
pub(crate) const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
/// The program that drops packets.
const FILTER: &str = "/usr/sbin/nft";

/// The database servers; and, as root, what makes clocks wrong and drops packets.
pub(crate) fn provide(say: &mut dyn FnMut(&str)) -> Result<()> {
    provision::provide(Wanted::default(), say)?;
    let wanted = [(FILTER, "nftables"), (FAKETIME, "libfaketime")];
    let missing: Vec<&str> =
        wanted.iter().filter(|(path, _)| !Path::new(path).exists()).map(|(_, of)| *of).collect();
    if missing.is_empty() || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    say(&format!("installing {}", missing.join(" ")));
    if let Err(error) = install(&missing) {
        // What needs it is left out, which is said.
        say(&format!("{error:#}"));
    }
    Ok(())
}

/// Whether packets can be dropped here.
pub(crate) fn filters() -> bool {
    Path::new(FILTER).exists()
}

fn install(packages: &[&str]) -> Result<()> {
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        let output = command.output().context("failed to run apt-get")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "apt-get {}: {}", words.join(" "), said.trim());
        Ok(())
    };
    // A list that cannot be refreshed may still do.
    drop(apt(&["update", "-qq"]));
    let words =
        ["install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"];
    apt(&[&words, packages].concat())
}
