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

    /// Reads every record of a directory, by kind; none where there is no such directory.
    pub fn read_all(dir: &Path) -> Result<Vec<(String, Self)>> {
        if !dir.exists() {
            return Ok(Vec::new());
        }
        let mut records = Vec::new();
        let entries =
            fs::read_dir(dir).with_context(|| format!("failed to list {}", dir.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("failed to list {}", dir.display()))?.path();
            if path.extension().is_some_and(|extension| extension == "pid")
                && let Some(kind) = path.file_stem()
            {
                records.push((kind.to_string_lossy().into_owned(), Self::read(&path)?));
            }
        }
        Ok(records)
    }

    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        let mut lines = text.lines();
        match (lines.next().and_then(|pid| pid.parse().ok()), lines.next()) {
            (Some(pid), Some(home)) if is_home(Path::new(home)) => {
                Ok(Self { pid, home: PathBuf::from(home) })
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
        assert_eq!(Record::read_all(&dir.path().join("none")).unwrap(), []);
        let record = Record::new(4_000_000, PathBuf::from("/tmp/skein-pg-x"));
        record.write(dir.path(), "postgres").unwrap();
        assert_eq!(Record::read_all(dir.path()).unwrap(), [("postgres".to_owned(), record)]);
    }

    #[test]
    fn a_record_that_names_a_directory_of_somebody_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Record::new(1, PathBuf::from("/etc")).write(dir.path(), "postgres").unwrap();
        let error = Record::read_all(dir.path()).unwrap_err();
        assert!(error.to_string().contains("postgres.pid"), "{error}");
    }

    #[test]
    fn a_process_that_is_not_the_server_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        // This very process: a signal to it would end the test.
        let record = Record::new(std::process::id(), dir.path().join("skein-pg-gone"));
        record.write(dir.path(), "postgres").unwrap();
        record.end(dir.path(), "postgres").unwrap();
        assert_eq!(Record::read_all(dir.path()).unwrap(), []);
    }
}
