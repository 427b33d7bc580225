//! `skein agent` beside its targets.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::cluster::Cluster;
use super::database::Database;
use super::process::{Process, Start};
use super::project::{Project, binary};
use super::wait::until;

/// How long an agent may take to connect and look at its targets.
const LIMIT: Duration = Duration::from_mins(1);

/// What an agent's configuration says.
#[derive(Debug, Clone)]
pub(crate) struct AgentSpec {
    pub(crate) id: String,
    pub(crate) slots: u32,
    /// Where it looks for coordinators; empty: at every node.
    pub(crate) addresses: Vec<String>,
    /// Lines of the section `[agent]`.
    pub(crate) more: String,
    /// Target id and URL, with labels in TOML (`{ region = "eu" }`; empty: none).
    pub(crate) targets: Vec<(String, String, String)>,
}

impl AgentSpec {
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            slots: 4,
            addresses: Vec::new(),
            more: String::new(),
            targets: Vec::new(),
        }
    }

    /// The target of each database is called as the database's `id`.
    pub(crate) fn serve(mut self, databases: &[Database]) -> Self {
        for database in databases {
            self.targets.push((database.id.clone(), database.url.clone(), String::new()));
        }
        self
    }

    /// The same, each with its region, which stands first in its id: `eu-1` is of `eu`.
    pub(crate) fn serve_regions(mut self, databases: &[Database]) -> Self {
        for database in databases {
            let (region, _) = database.id.split_once('-').expect("a region stands first");
            let labels = format!("{{ region = {region:?} }}");
            self.targets.push((database.id.clone(), database.url.clone(), labels));
        }
        self
    }
}

/// An agent's process. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: String,
    project: Arc<Project>,
    config: PathBuf,
    start: Start,
    process: Option<Process>,
}

impl Agent {
    /// Writes the configuration and starts the agent.
    pub(crate) fn start(project: &Arc<Project>, cluster: &Cluster, spec: &AgentSpec) -> Self {
        let mut agent = Self::prepare(project, cluster, spec, &[]);
        agent.restart();
        agent
    }

    /// Writes the configuration of an agent that will have these variables.
    pub(crate) fn prepare(
        project: &Arc<Project>,
        cluster: &Cluster,
        spec: &AgentSpec,
        variables: &[(&str, &str)],
    ) -> Self {
        let addresses =
            if spec.addresses.is_empty() { cluster.addresses() } else { spec.addresses.clone() };
        let mut text = format!(
            "[coordinator]\naddresses = {:?}\n\n[agent]\nid = {:?}\nslots = {}\n\
             backups = \"{}-backups\"\ncache = \"{}-cache\"\n{}\n",
            addresses, spec.id, spec.slots, spec.id, spec.id, spec.more
        );
        for (id, url, labels) in &spec.targets {
            write!(text, "\n[[target]]\nid = {id:?}\nurl = {url:?}\n")
                .expect("a string can be written to");
            if !labels.is_empty() {
                writeln!(text, "labels = {labels}").expect("a string can be written to");
            }
        }
        let config = project.write(&format!("{}.toml", spec.id), &text);
        let project = Arc::clone(project);
        let mut start = Start::of(&binary());
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        start.variables = variables.iter().map(owned).collect();
        Self { id: spec.id.clone(), project, config, start, process: None }
    }

    /// Starts it again, after killing it where it runs.
    pub(crate) fn restart(&mut self) {
        self.kill9();
        let config = self.config.display().to_string();
        let log = self.project.join(&format!("{}.log", self.id));
        let args = ["agent", "--config", &config];
        self.process = Some(Process::start_with(&self.start, &args, self.project.path(), &log));
    }

    /// From its next start on it runs so.
    pub(crate) fn starts(&mut self, start: &Start) {
        self.start = start.clone();
    }

    pub(crate) fn kill9(&mut self) {
        self.process = None;
    }

    /// The process, to stop and continue it; `None` after [`Agent::kill9`].
    pub(crate) fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        let path = self.project.join(&format!("{}.log", self.id));
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }

    /// Waits until the cluster knows `targets` connected targets, each looked at.
    pub(crate) async fn until_observed(client: &Client, targets: &[&str]) {
        let all = || async {
            let Ok(known) = client.targets().await else { return false };
            targets.iter().all(|id| {
                known.iter().any(|target| {
                    let name = target.description.as_ref().map(|described| described.id.as_str());
                    name == Some(id) && target.connected && target.observation.is_some()
                })
            })
        };
        until("every target is connected and was looked at", LIMIT, all).await;
    }
}
