//! `skein VERB …`, as a user or a pipeline runs it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::cluster::Cluster;
use super::project::{Project, binary};
use super::runbook::Runbook;

/// A verb that has not ended after so long hangs.
const LIMIT: Duration = Duration::from_mins(3);

/// The command line, in a directory whose skein.toml names the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Cli {
    project: Arc<Project>,
    config: PathBuf,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub(crate) line: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Cli {
    /// Writes `cli.toml` with the cluster's addresses; `more` is added to it.
    pub(crate) fn new(project: &Arc<Project>, cluster: &Cluster, more: &str) -> Self {
        let addresses = cluster.addresses();
        let text = format!(
            "[coordinator]\naddresses = {addresses:?}\n\n[project]\nactor = \"test\"\n\n{more}\n"
        );
        let config = project.write("cli.toml", &text);
        Self { project: Arc::clone(project), config }
    }

    /// In a directory with a configuration of its own, and no cluster: each command is all by itself.
    pub(crate) fn alone(project: &Arc<Project>) -> Self {
        Self { project: Arc::clone(project), config: project.join("skein.toml") }
    }

    /// Runs one line of words; a word with spaces goes through [`Cli::run_words`].
    pub(crate) async fn run(&self, line: &str) -> Ran {
        self.run_words(&line.split_whitespace().collect::<Vec<_>>()).await
    }

    pub(crate) async fn run_words(&self, words: &[&str]) -> Ran {
        let config = self.config.display().to_string();
        let words: Vec<&str> = words.iter().copied().chain(["--config", &config]).collect();
        self.run_alone(&words).await
    }

    /// Runs the next command on a page, which begins so.
    pub(crate) async fn follow(&self, page: &mut Runbook, begins: &str) -> Ran {
        let words = page.next(begins);
        self.run_words(&words.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// Words, without the configuration of the cluster.
    pub(crate) async fn run_alone(&self, words: &[&str]) -> Ran {
        let mut command = tokio::process::Command::new(binary());
        command.args(words).current_dir(self.project.path());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let line = words.join(" ");
        let output = timeout(LIMIT, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("`skein {line}` hangs"));
        let output = output.expect("the program under test starts");
        Ran {
            line,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Itself, having ended with `code`.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "skein {}\n{}{}", self.line, self.stdout, self.stderr);
        self
    }

    /// stdout as the one JSON value that it has to be.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("skein {}: {error}\n{}{}", self.line, self.stdout, self.stderr)
        })
    }
}
