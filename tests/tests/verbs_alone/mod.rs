//! Skein in one process over a directory, as a newcomer uses it: no coordinator elsewhere.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::support::{Database, Project, Ran, binary};

/// A project whose log is in its own `.skein`.
pub(crate) struct Alone {
    pub(crate) project: Project,
}

/// Everything that a refused command has to leave as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// Events, and the root over them.
    pub(crate) history: (u64, String),
    /// Schema and ledger of each target, in order.
    pub(crate) targets: Vec<(String, Vec<String>)>,
}

impl Alone {
    /// A skein.toml with `more` at its top and one target for each database.
    pub(crate) fn within(project: Project, databases: &[Database], more: &str) -> Self {
        let mut text = format!("{more}\n");
        for database in databases {
            let target = format!("[[target]]\nid = {:?}\nurl = {:?}\n", database.id, database.url);
            text.push_str(&target);
        }
        project.write("skein.toml", &text);
        Self { project }
    }

    /// Writes `m/NAME.up.sql` and its down.
    pub(crate) fn migration(&self, name: &str, up: &str, down: &str) {
        self.project.write(&format!("m/{name}.up.sql"), up);
        self.project.write(&format!("m/{name}.down.sql"), down);
    }

    pub(crate) fn remove(&self, name: &str) {
        for way in ["up", "down"] {
            let path = self.project.join(&format!("m/{name}.{way}.sql"));
            std::fs::remove_file(path).expect("the migration was written");
        }
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        self.run_words(&line.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn run_words(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(binary());
        command.args(words).current_dir(self.project.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SKEIN_")) {
            command.env_remove(name);
        }
        let output = command.output().expect("the program under test starts");
        Ran {
            line: words.join(" "),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Size and root of the history, by the way that needs no running node.
    pub(crate) fn history(&self) -> (u64, String) {
        if !self.project.join(".skein/history").is_dir() {
            return (0, String::new());
        }
        let verified = self.run("history verify --data .skein -o json").exits(0).json();
        let node = &verified["nodes"][0];
        let root = node["root"].as_str().expect("a history has a root").to_owned();
        (node["events"].as_u64().expect("a history has a size"), root)
    }

    pub(crate) async fn state(&self, databases: &[Database]) -> State {
        let mut targets = Vec::new();
        for database in databases {
            targets.push((database.schema().await, database.in_force().await));
        }
        State { history: self.history(), targets }
    }

    /// Runs a command that has to be refused with this code, these words on stderr, a next step,
    /// and nothing changed: no event, no ledger row, no table.
    #[track_caller]
    pub(crate) fn refuses(&self, line: &str, code: i32, words: &[&str]) -> Ran {
        let before = self.history();
        let ran = self.run(line).exits(code);
        said(&ran, words);
        assert_eq!(self.history(), before, "the history has moved: {ran:?}");
        ran
    }

    /// What happened after the first so many events, by kind.
    pub(crate) fn events_since(&self, seq: u64) -> Vec<String> {
        let history = self.json(&format!("history --since-seq {seq}"), 0);
        let events = history["events"].as_array().expect("a history has events");
        let what = |event: &Value| event["what"].as_str().unwrap_or_default().to_owned();
        events.iter().map(what).collect()
    }

    /// Since `before` nothing happened but that files were sent to be looked at.
    pub(crate) async fn untouched_since(&self, before: &State, databases: &[Database]) {
        let after = self.state(databases).await;
        assert_eq!(after.targets, before.targets);
        for what in self.events_since(before.history.0) {
            assert_eq!(what, "bundle_stored");
        }
    }

    /// One object as JSON.
    #[track_caller]
    pub(crate) fn json(&self, line: &str, code: i32) -> Value {
        self.run(&format!("{line} -o json")).exits(code).json()
    }
}

/// An error that a tired person can act upon: what happened, and what to do next.
#[track_caller]
pub(crate) fn said(ran: &Ran, words: &[&str]) {
    for word in words.iter().chain(&["error: ", "next: "]) {
        assert!(ran.stderr.contains(word), "{word:?} is missing in {}\n{}", ran.line, ran.stderr);
    }
}
