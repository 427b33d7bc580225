//! A machine: one process, one disk.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use skein_chaos::place;
use skein_chaos_disk::{Directories, Faults, Outcome, pull};

/// Where a machine's program and the layer are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `skein`.
    pub skein: PathBuf,
    /// The layer's shared object.
    pub preload: PathBuf,
}

/// One machine. What it runs is killed when this is dropped.
#[derive(Debug)]
pub struct Machine {
    /// What it is called.
    pub name: String,
    /// Its disk.
    pub root: PathBuf,
    side: PathBuf,
    log: PathBuf,
    words: Vec<String>,
    child: Option<Child>,
}

impl Machine {
    /// A machine in `dir` that runs `skein WORDS`.
    pub fn new(dir: &Path, name: &str, words: &[&str]) -> Result<Self> {
        let side = dir.join(format!("{name}-side"));
        let root = dir.join(name);
        std::fs::create_dir_all(&root)?;
        std::fs::create_dir_all(&side)?;
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let log = dir.join(format!("{name}.log"));
        Ok(Self { name: name.to_owned(), root, side, log, words, child: None })
    }

    /// Starts what it runs.
    pub fn start(&mut self, programs: &Programs) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&programs.skein);
        command.args(&self.words).current_dir(&self.root);
        command.env("NO_COLOR", "1").env("SKEIN_LOG", "info,openraft=error").stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        place::under(&mut command, &programs.preload, &self.root, &self.side);
        let child = command.spawn().with_context(|| format!("failed to start {}", self.name))?;
        self.child = Some(child);
        Ok(())
    }

    /// Whether it runs still.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Its disk is out of order from here on.
    pub fn fault(&self, faults: &Faults) -> Result<()> {
        Ok(faults.store(&self.side)?)
    }

    /// The signal that ends it. [`Machine::lose_power`] follows, after all that go at this moment got theirs.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(child) = &mut self.child {
            child.kill()?;
            child.wait()?;
        }
        self.child = None;
        Ok(())
    }

    /// What was not forced to its disk may be gone. The faults end.
    pub fn lose_power(&mut self, seed: u64) -> Result<Outcome> {
        self.kill()?;
        Ok(pull(&self.root, &self.side, seed, Directories::Strict)?)
    }

    /// What it has said, the end of it.
    pub fn said(&self) -> String {
        let text =
            String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.kill());
    }
}
