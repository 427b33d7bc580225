//! As root: `apt-get install`, with a lid on it. Packages of servers like to start them and to make
//! a first cluster; for the time of the installation both are switched off, and afterwards the
//! machine's own settings are as they were.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::apt;

/// Asked by `invoke-rc.d` before it starts a service; 101 means "do not".
const POLICY: (&str, &str, u32) = ("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755);

/// Read when a PostgreSQL server package is installed. A file beside the packaged one, which dpkg
/// would ask about if it were changed.
const CLUSTER: (&str, &str, u32) = (
    "/etc/postgresql-common/createcluster.d/skein-tests.conf",
    "create_main_cluster = false\n",
    0o644,
);

/// Installs the packages, and what they depend on, without starting anything.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let policy = Lid::put(Path::new(POLICY.0), POLICY.1, POLICY.2)?;
    let cluster = Lid::put(Path::new(CLUSTER.0), CLUSTER.1, CLUSTER.2)?;
    // A list that cannot be refreshed (a dead third-party source, say) may still do.
    let refreshed = apt::run(Command::new("apt-get").args(["update", "-qq"]));
    let installed = apt::run(
        Command::new("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(["-o", "Dpkg::Options::=--force-confold"])
            .args(["-o", "DPkg::Lock::Timeout=300"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    );
    policy.lift()?;
    cluster.lift()?;
    match (installed, refreshed) {
        (Ok(()), _) => Ok(()),
        (Err(install), Err(refresh)) => Err(install.context(format!("{refresh:#}"))),
        (Err(install), Ok(())) => Err(install),
    }
}

/// A file put in place for a while.
#[derive(Debug)]
struct Lid {
    path: PathBuf,
    before: Before,
    lifted: bool,
}

#[derive(Debug)]
enum Before {
    File(Vec<u8>, Permissions),
    /// The directories that had to be made for it, the deepest first.
    Nothing(Vec<PathBuf>),
}

impl Lid {
    fn put(path: &Path, text: &str, mode: u32) -> Result<Self> {
        let before = match fs::read(path) {
            Ok(bytes) => Before::File(bytes, fs::metadata(path)?.permissions()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Before::Nothing(
                path.ancestors()
                    .skip(1)
                    .take_while(|dir| !dir.exists())
                    .map(Path::to_owned)
                    .collect(),
            ),
            Err(error) => {
                return Err(error).with_context(|| format!("failed to read {}", path.display()));
            }
        };
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("failed to make {}", dir.display()))?;
        }
        let lid = Self { path: path.to_owned(), before, lifted: false };
        write(path, text.as_bytes(), Permissions::from_mode(mode))?;
        Ok(lid)
    }

    /// Puts back what was there.
    fn lift(mut self) -> Result<()> {
        self.lifted = true;
        self.restore()
    }

    fn restore(&self) -> Result<()> {
        match &self.before {
            Before::File(bytes, permissions) => write(&self.path, bytes, permissions.clone()),
            Before::Nothing(dirs) => {
                fs::remove_file(&self.path)
                    .with_context(|| format!("failed to remove {}", self.path.display()))?;
                for dir in dirs {
                    // Not empty: the packages have put something of theirs in it by now.
                    if fs::remove_dir(dir).is_err() {
                        break;
                    }
                }
                Ok(())
            }
        }
    }
}

impl Drop for Lid {
    fn drop(&mut self) {
        if !self.lifted {
            // On the way out of another failure, which is the one to tell.
            drop(self.restore());
        }
    }
}

fn write(path: &Path, bytes: &[u8], permissions: Permissions) -> Result<()> {
    fs::write(path, bytes)
        .and_then(|()| fs::set_permissions(path, permissions))
        .with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_there_comes_back_with_its_bytes_and_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy");
        write(&path, b"theirs", Permissions::from_mode(0o640)).unwrap();
        let lid = Lid::put(&path, "ours", 0o755).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "ours");
        lid.lift().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_file_that_was_not_there_goes_with_the_directories_made_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/policy");
        let lid = Lid::put(&path, "ours", 0o755).unwrap();
        assert!(path.exists());
        drop(lid);
        assert!(!dir.path().join("a").exists());
        assert!(dir.path().exists());
    }

    #[test]
    fn a_directory_that_others_have_filled_meanwhile_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/policy");
        let lid = Lid::put(&path, "ours", 0o755).unwrap();
        fs::write(dir.path().join("a/theirs"), "").unwrap();
        lid.lift().unwrap();
        assert!(!path.exists());
        assert!(dir.path().join("a/theirs").exists());
    }
}
