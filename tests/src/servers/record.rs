//! What is written down of a server that was left running, so that it can be ended later.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::process;

/// A server left running: its process id, and the directory to remove once it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pid: u32,
    home: PathBuf,
}

impl Record {
    pub(super) fn new(pid: u32, home: PathBuf) -> Self {
        Self { pid, home }
    }

    /// Writes the record to `DIR/KIND.pid`.
    pub fn write(&self, dir: &Path, kind: &str) -> Result<()> {
        let path = dir.join(format!("{kind}.pid"));
        fs::write(&path, format!("{}\n{}\n", self.pid, self.home.display()))
            .with_context(|| format!("failed to write {}", path.display()))
    }

    /// Reads `DIR/KIND.pid`; `None` where there is none.
    pub fn read(dir: &Path, kind: &str) -> Result<Option<Self>> {
        let path = dir.join(format!("{kind}.pid"));
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        let mut lines = text.lines();
        match (lines.next().and_then(|pid| pid.parse().ok()), lines.next()) {
            (Some(pid), Some(home)) if is_home(Path::new(home)) => {
                Ok(Some(Self { pid, home: PathBuf::from(home) }))
            }
            _ => bail!("{} does not name a process and its directory", path.display()),
        }
    }

    /// Ends the server, if the process is still that server, and removes its data and the record.
    pub fn end(self, dir: &Path, kind: &str) -> Result<()> {
        if self.runs() {
            process::end_foreign(self.pid, stop_signal(kind))?;
        }
        if self.home.exists() {
            fs::remove_dir_all(&self.home)
                .with_context(|| format!("failed to remove {}", self.home.display()))?;
        }
        let path = dir.join(format!("{kind}.pid"));
        fs::remove_file(&path).with_context(|| format!("failed to remove {}", path.display()))
    }

    /// A process id is used again after a while: only a command line that names this home is ours.
    fn runs(&self) -> bool {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        process::is_alive(self.pid)
            && String::from_utf8_lossy(&line).contains(&self.home.display().to_string())
    }
}

fn stop_signal(kind: &str) -> Signal {
    match kind {
        "postgres" => super::postgres::STOP,
        _ => super::mariadb::STOP,
    }
}

/// Whether a directory is one that a server of ours was given: what is removed must look so.
fn is_home(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    path.is_absolute() && name.is_some_and(|name| name.starts_with("skein-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::new(4_000_000, PathBuf::from("/tmp/skein-pg-x"));
        record.write(dir.path(), "postgres").unwrap();
        assert_eq!(Record::read(dir.path(), "postgres").unwrap(), Some(record));
        assert_eq!(Record::read(dir.path(), "mariadb").unwrap(), None);
    }

    #[test]
    fn a_record_that_names_a_directory_of_somebody_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Record::new(1, PathBuf::from("/etc")).write(dir.path(), "postgres").unwrap();
        assert!(Record::read(dir.path(), "postgres").is_err());
    }

    #[test]
    fn a_process_that_is_not_the_server_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("skein-pg-gone");
        let record = Record::new(std::process::id(), home);
        record.write(dir.path(), "postgres").unwrap();
        record.end(dir.path(), "postgres").unwrap();
        assert_eq!(Record::read(dir.path(), "postgres").unwrap(), None);
    }
}
