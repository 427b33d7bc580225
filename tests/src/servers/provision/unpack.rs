//! Not root: the packages are downloaded and unpacked below `target/dbs`, and run from there.
//!
//! apt works on lists and caches of its own, so that neither stale lists nor the lack of any stops
//! it; which packages this machine lacks it works out itself, from a simulated installation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::apt;
use super::find::libraries;

/// Dependencies that no test uses: PostgreSQL loads LLVM only with `jit` on, which it is not here;
/// Galera replicates; perl runs the wrappers of the distribution.
const LEFT_OUT: [&str; 7] =
    ["libllvm", "llvm", "galera", "perl", "systemd", "postgresql-common", "mariadb-plugin"];

/// Unpacks the packages, and what they depend on and this machine lacks, into `root`.
pub(super) fn unpack(packages: &[&str], root: &Path) -> Result<()> {
    let debs = root.join("debs");
    for dir in ["apt/lists/partial", "apt/cache/archives/partial", "debs"] {
        let dir = root.join(dir);
        fs::create_dir_all(&dir).with_context(|| format!("failed to make {}", dir.display()))?;
    }
    // A source that does not answer may not be one that matters.
    let refreshed = apt::run(get(root).args(["update", "-qq"]));
    let simulated = apt::ask(
        get(root).args(["install", "--simulate", "--no-install-recommends"]).args(packages),
    );
    let simulated = match (simulated, refreshed) {
        (Ok(text), _) => text,
        (Err(simulate), Err(refresh)) => return Err(simulate.context(format!("{refresh:#}"))),
        (Err(simulate), Ok(())) => return Err(simulate),
    };
    let needed = needed(&simulated);
    apt::run(get(root).args(["download", "-qq"]).args(&needed).current_dir(&debs))?;
    for deb in files(&debs)? {
        apt::run(Command::new("dpkg").arg("--extract").arg(&deb).arg(root))?;
    }
    // Lists and packages have done their work, and are larger than what they brought.
    for dir in [debs, root.join("apt")] {
        fs::remove_dir_all(&dir).with_context(|| format!("failed to remove {}", dir.display()))?;
    }
    check(root)
}

/// `apt-get` with its state below `root`, and the machine's own list of what is installed.
fn get(root: &Path) -> Command {
    let mut command = Command::new("apt-get");
    for (option, dir) in [("Dir::State::lists", "apt/lists"), ("Dir::Cache", "apt/cache")] {
        command.arg("-o").arg(format!("{option}={}", root.join(dir).display()));
    }
    command.args(["-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User="]);
    command
}

/// The packages of the lines `Inst NAME (VERSION …)` that a simulated installation prints.
fn needed(simulated: &str) -> Vec<&str> {
    simulated
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
        .filter(|name| !LEFT_OUT.iter().any(|prefix| name.starts_with(prefix)))
        .filter(|name| !name.ends_with("-perl"))
        .collect()
}

/// Fails if a program that was unpacked lacks a library, naming both.
fn check(root: &Path) -> Result<()> {
    let mut dirs = vec![root.join("usr/bin"), root.join("usr/sbin")];
    let versions = root.join("usr/lib/postgresql");
    if versions.exists() {
        dirs.extend(files(&versions)?.into_iter().map(|version| version.join("bin")));
    }
    let mut lacking = Vec::new();
    for dir in dirs.iter().filter(|dir| dir.is_dir()) {
        for program in files(dir)? {
            // A script is no concern of the loader's: ldd then fails, or says so.
            let mut ldd = Command::new("ldd");
            ldd.arg(&program).env("LD_LIBRARY_PATH", libraries(root));
            let listed = apt::ask(&mut ldd).unwrap_or_default();
            lacking.extend(
                listed
                    .lines()
                    .filter(|line| line.ends_with("=> not found"))
                    .map(|line| format!("{}: {}", program.display(), line.trim())),
            );
        }
    }
    if !lacking.is_empty() {
        bail!("unpacked programs lack libraries:\n{}", lacking.join("\n"));
    }
    Ok(())
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("failed to list {}", dir.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.with_context(|| format!("failed to list {}", dir.display()))?.path());
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_would_install_is_read_and_what_no_test_uses_is_left_out() {
        let simulated = "NOTE: This is only a simulation!\n\
            Inst libllvm14 (1:14.0.6-12 Debian:12/stable [amd64])\n\
            Inst postgresql-15 (15.18-0+deb12u1 Debian-Security:12/stable [amd64])\n\
            Inst libdbi-perl (1.643-4 Debian:12/stable [amd64])\n\
            Inst libmariadb3 [1:10.1] (1:10.11.14 Debian:12/stable [amd64])\n\
            Conf postgresql-15 (15.18-0+deb12u1 Debian-Security:12/stable [amd64])\n";
        assert_eq!(needed(simulated), ["postgresql-15", "libmariadb3"]);
    }
}
