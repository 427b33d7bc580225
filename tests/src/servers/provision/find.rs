//! Looks for the programs where distributions put them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::{Need, PROGRAMS, Program, Wanted};

/// The programs that were found, and where.
#[derive(Debug, Clone)]
pub struct Tools {
    found: BTreeMap<&'static str, PathBuf>,
    /// The root of the unpacked packages, where any program was found in it.
    unpacked: Option<PathBuf>,
}

impl Tools {
    /// Looks for every program; says nothing about those that are not there.
    pub fn find() -> Self {
        Self::find_in(&super::root())
    }

    /// As [`Tools::find`], with another directory of unpacked packages.
    pub fn find_in(root: &Path) -> Self {
        let places = places(root);
        let mut found = BTreeMap::new();
        for program in PROGRAMS {
            let path = places.iter().map(|place| place.join(program.name)).find(|path| runs(path));
            if let Some(path) = path {
                found.insert(program.name, path);
            }
        }
        let unpacked = found.values().any(|path| path.starts_with(root)).then(|| root.to_owned());
        Self { found, unpacked }
    }

    /// A command that runs one of the programs, with the libraries it was unpacked with.
    ///
    /// # Errors
    ///
    /// When the program was not found.
    pub fn command(&self, name: &str) -> Result<Command> {
        let Some(path) = self.found.get(name) else {
            bail!("{name} was not found; `cargo xtask servers` installs or unpacks it")
        };
        let mut command = Command::new(path);
        if let Some(root) = self.unpacked.as_deref().filter(|root| path.starts_with(root)) {
            command.env("LD_LIBRARY_PATH", libraries(root));
        }
        Ok(command)
    }

    /// Each program that was found, by name.
    pub fn found(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.found.iter().map(|(name, path)| (*name, path.as_path()))
    }

    /// The root of the unpacked packages, if programs come from there.
    pub fn unpacked(&self) -> Option<&Path> {
        self.unpacked.as_deref()
    }

    /// What a shell must set so that it finds the same programs: nothing, or `PATH` and, for
    /// unpacked ones, `LD_LIBRARY_PATH`.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let known: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let mut added: Vec<PathBuf> = Vec::new();
        for program in PROGRAMS {
            let dir = self.found.get(program.name).and_then(|path| path.parent());
            let on_path = known.iter().any(|place| runs(&place.join(program.name)));
            if let Some(dir) = dir
                && !on_path
                && !added.iter().any(|known| known == dir)
            {
                added.push(dir.to_owned());
            }
        }
        let mut set = Vec::new();
        if !added.is_empty() {
            added.extend(known);
            set.extend(std::env::join_paths(added).ok().map(|path| ("PATH", path)));
        }
        if let Some(root) = &self.unpacked {
            let mut dirs: Vec<PathBuf> = std::env::split_paths(&libraries(root)).collect();
            let before = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
            dirs.extend(std::env::split_paths(&before).filter(|dir| !dir.as_os_str().is_empty()));
            set.extend(std::env::join_paths(dirs).ok().map(|dirs| ("LD_LIBRARY_PATH", dirs)));
        }
        set
    }

    /// What is wanted and was not found: only what cannot be done without if `strictly`.
    pub(super) fn missing(&self, wanted: Wanted, strictly: bool) -> Vec<Program> {
        PROGRAMS
            .into_iter()
            .filter(|program| match program.need {
                Need::Tests => true,
                Need::Benches => !strictly,
                Need::Etcd => wanted.etcd,
            })
            .filter(|program| !self.found.contains_key(program.name))
            .collect()
    }
}

/// Where to look, best first. PostgreSQL's own directory comes before `PATH`: what Debian puts on
/// `PATH` are wrappers, and server and client programs should be of one version.
fn places(root: &Path) -> Vec<PathBuf> {
    let on_path: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let mut places = Vec::new();
    // A PostgreSQL that was put on PATH on purpose wins, from the directory it really is in.
    let chosen = on_path.iter().map(|place| place.join("postgres")).find(|path| runs(path));
    places.extend(chosen.and_then(|path| path.canonicalize().ok()?.parent().map(Path::to_owned)));
    places.extend(versions(Path::new("/usr/lib/postgresql")));
    places.extend(on_path);
    places.extend(
        ["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/usr/libexec"]
            .map(PathBuf::from),
    );
    places.extend(versions(&root.join("usr/lib/postgresql")));
    places.extend(["usr/bin", "usr/sbin"].map(|dir| root.join(dir)));
    places
}

/// `DIR/VERSION/bin`, the newest version first.
fn versions(dir: &Path) -> Vec<PathBuf> {
    let mut versions: Vec<u32> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.iter().map(|version| dir.join(version.to_string()).join("bin")).collect()
}

/// The library directories of the unpacked packages, in the form of `LD_LIBRARY_PATH`.
pub(super) fn libraries(root: &Path) -> OsString {
    let mut dirs = Vec::new();
    for base in [root.join("usr/lib"), root.join("lib")] {
        let triples = fs::read_dir(&base).into_iter().flatten().flatten().map(|entry| entry.path());
        dirs.extend(triples.filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("-linux-gnu"))
        }));
        dirs.push(base);
    }
    std::env::join_paths(dirs).unwrap_or_default()
}

/// Whether a path is a file that may be executed.
fn runs(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_postgresql_is_looked_at_first_by_number_not_by_letter() {
        let dir = tempfile::tempdir().unwrap();
        for version in ["9", "15", "notes"] {
            fs::create_dir(dir.path().join(version)).unwrap();
        }
        let expected = [dir.path().join("15/bin"), dir.path().join("9/bin")];
        assert_eq!(versions(dir.path()), expected);
    }

    #[test]
    fn a_file_that_cannot_be_executed_is_no_program() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("postgres");
        fs::write(&file, "").unwrap();
        assert!(!runs(&file));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(runs(&file));
        assert!(!runs(dir.path()));
    }

    #[test]
    fn an_unpacked_program_runs_with_the_libraries_it_came_with() {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("usr/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(root.path().join("usr/lib/x86_64-linux-gnu")).unwrap();
        // No distribution installs this name elsewhere on a machine that builds Rust.
        let etcd = bin.join("etcd");
        fs::write(&etcd, "").unwrap();
        fs::set_permissions(&etcd, fs::Permissions::from_mode(0o755)).unwrap();
        let tools = Tools { found: [("etcd", etcd)].into(), unpacked: Some(root.path().into()) };
        let command = tools.command("etcd").unwrap();
        let libraries = command.get_envs().find(|(name, _)| *name == "LD_LIBRARY_PATH");
        let libraries = libraries.and_then(|(_, value)| value).unwrap().to_string_lossy();
        assert!(libraries.contains("usr/lib/x86_64-linux-gnu"), "{libraries}");
        assert!(tools.command("postgres").is_err());
    }
}
