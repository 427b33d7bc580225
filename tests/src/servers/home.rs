//! The private directory of one server: data, socket and log, owned by whom the server runs as.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::account::{self, Account};

/// A socket's path may have 107 bytes, and the longest file name in a home has about 30.
const PATH_MAX: usize = 60;

/// The variable that names where homes are made: `cargo xtask test` removes that directory at its
/// end, and with it what a test that was killed could not remove.
pub const HOMES: &str = "SKEIN_TEST_HOMES";

/// A directory that only the server's account (and root) can enter.
#[derive(Debug)]
pub(super) struct Home {
    dir: TempDir,
    account: Option<Account>,
}

impl Home {
    /// Makes `skein-KIND-…` under the temporary directory, for `preferred` where we are root.
    pub(super) fn create(kind: &str, preferred: &str) -> Result<Self> {
        let account = Account::unprivileged(preferred)?;
        let parent = parent();
        let dir = tempfile::Builder::new()
            .prefix(&format!("skein-{kind}-"))
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .with_context(|| format!("failed to make a directory in {}", parent.display()))?;
        if let Some(account) = account {
            account.own(dir.path())?;
        }
        Ok(Self { dir, account })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes `command` run in this home, as its owner.
    pub(super) fn dress(&self, command: &mut Command) {
        command.current_dir(self.path()).env("HOME", self.path());
        if let Some(account) = self.account {
            account.wear(command);
        }
    }

    /// Runs a command that prepares the home, to its end.
    pub(super) fn run(&self, mut command: Command) -> Result<()> {
        self.dress(&mut command);
        let program = command.get_program().display().to_string();
        let output = command.output().with_context(|| format!("failed to run {program}"))?;
        if !output.status.success() {
            bail!(
                "{program} ended with {}:\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
        }
        Ok(())
    }

    /// Leaves the directory behind, for a server that stays.
    pub(super) fn keep(self) -> PathBuf {
        self.dir.keep()
    }
}

/// Where homes are made. Another account must be able to walk there, and the path must be short.
fn parent() -> PathBuf {
    if let Some(homes) = std::env::var_os(HOMES) {
        return PathBuf::from(homes);
    }
    let asked = std::env::temp_dir();
    if account::is_root() || asked.as_os_str().len() > PATH_MAX {
        PathBuf::from("/tmp")
    } else {
        asked
    }
}

/// A directory for homes, for [`HOMES`]: others may walk through it, and not look into it.
pub fn homes() -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("skein-")
        .permissions(fs::Permissions::from_mode(0o711))
        .tempdir_in(parent())
        .context("failed to make a directory for the servers of tests")
}
