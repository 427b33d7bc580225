//! Every door, by what comes in at it.

mod bundles;
mod command_line;
mod config;
mod log;
mod sql;
mod store;
mod wire;

use std::fmt;
use std::path::{Path, PathBuf};

/// Whether the bytes were understood.
pub type Door = Box<dyn Fn(&[u8]) -> bool>;

/// A door, with seeds that it understands.
pub struct Target {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What is bent.
    pub seeds: Vec<Vec<u8>>,
    /// Words that mean something there.
    pub words: &'static [&'static str],
    /// Whether the bytes were understood. It must not panic.
    pub door: Door,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}, {} seeds)", self.name, self.seeds.len())
    }
}

/// All of them. `scratch` is a directory for the doors that read files.
pub fn all(scratch: &Path) -> Vec<Target> {
    let mut targets = bundles::targets(scratch);
    targets.extend(sql::targets());
    targets.extend(store::targets(scratch));
    targets.extend(log::targets());
    targets.extend(wire::targets());
    targets.extend(config::targets(scratch));
    targets.extend(command_line::targets());
    targets
}

/// The files of real projects, if they are here, with this ending.
fn corpus(ending: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut dirs: Vec<PathBuf> =
        std::env::var_os("SKEIN_CORPORA").map(PathBuf::from).into_iter().collect();
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.to_string_lossy().ends_with(ending)
                && let Ok(bytes) = std::fs::read(&path)
            {
                found.push(bytes);
            }
        }
    }
    found.sort();
    found
}
