//! `skein VERB …`, as a user or a pipeline runs it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::time::timeout;

use super::process::Launch;

/// The command line, with a configuration that names the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Cli {
    pub(crate) config: PathBuf,
    pub(crate) launch: Launch,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub(crate) line: String,
    /// `None`: it was ended from outside.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Cli {
    /// Runs words to their end; after `limit` the program is killed, as by somebody who has lost patience.
    pub(crate) async fn run(&self, words: &[&str], limit: Duration) -> Result<Ran> {
        let mut launch = self.launch.clone();
        launch.words = words.iter().map(|word| (*word).to_owned()).collect();
        launch.words.extend(["--config".to_owned(), self.config.display().to_string()]);
        let mut command = tokio::process::Command::from(launch.command()?);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn().context("failed to start the program under test")?;
        let line = words.join(" ");
        let Ok(output) = timeout(limit, child.wait_with_output()).await else {
            return Ok(Ran { line, code: None, stdout: String::new(), stderr: String::new() });
        };
        let output = output.context("failed to wait for the program under test")?;
        Ok(Ran {
            line,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl Ran {
    /// What it said, where it did not end well.
    pub(crate) fn told(&self) -> String {
        if self.code == Some(0) {
            return String::new();
        }
        format!("\nskein {} ended with {:?}: {}{}", self.line, self.code, self.stdout, self.stderr)
    }

    /// The rollout that it was about. `None` where it was about none: there was nothing to do, say.
    pub(crate) fn rollout(&self) -> Option<String> {
        let value: Value = serde_json::from_str(&self.stdout).ok()?;
        let id = value.get("id").and_then(Value::as_str)?;
        id.starts_with("mig-").then(|| id.to_owned())
    }
}
