//! A cluster of three, an agent with its targets, and a user.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use skein_agent::db::{Session, Timeouts};

use crate::support::Runbook;
use crate::support::{
    Agent, AgentSpec, Cli, Client, Cluster, Database, Project, Ran, Server, Timing, until,
};

pub(crate) const LIMIT: Duration = Duration::from_secs(40);

pub(crate) struct Fleet {
    pub(crate) project: Arc<Project>,
    pub(crate) cluster: Cluster,
    pub(crate) databases: Vec<Database>,
    pub(crate) agent: Agent,
    pub(crate) cli: Cli,
}

impl Fleet {
    pub(crate) async fn start(name: &str, targets: usize) -> Self {
        let project = Arc::new(Project::new(name));
        let cluster = Cluster::start(&project).await;
        Self::beside(project, cluster, targets).await
    }

    /// An agent and its targets beside a cluster that runs.
    pub(crate) async fn beside(project: Arc<Project>, cluster: Cluster, targets: usize) -> Self {
        let server = Server::sqlite(&project.join("db"));
        let mut databases = Vec::new();
        for number in 1..=targets {
            databases.push(server.database(&format!("t/{number}")).await);
        }
        let agent = Agent::start(&project, &cluster, &AgentSpec::new("a1").serve(&databases));
        let cli = Cli::new(&project, &cluster, "");
        let fleet = Self { project, cluster, databases, agent, cli };
        fleet.until_observed().await;
        fleet
    }

    /// Waits until every target is connected and was looked at.
    pub(crate) async fn until_observed(&self) {
        let ids: Vec<&str> = self.databases.iter().map(|database| database.id.as_str()).collect();
        Agent::until_observed(&self.leader().await, &ids).await;
    }

    pub(crate) async fn leader(&self) -> Client {
        self.cluster.client(self.cluster.leader().await)
    }

    /// Writes a migration that makes a table.
    pub(crate) fn table(&self, version: u32) {
        let name = |way: &str| format!("migrations/{version:04}_step.{way}.sql");
        let up = format!("CREATE TABLE t{version} (id integer primary key);\n");
        self.project.write(&name("up"), &up);
        self.project.write(&name("down"), &format!("DROP TABLE t{version};\n"));
    }

    pub(crate) async fn json(&self, line: &str) -> Value {
        self.cli.run(&format!("{line} -o json")).await.exits(0).json()
    }

    /// Runs the next command of a runbook, which begins so.
    pub(crate) async fn follow(&self, book: &mut Runbook, begins: &str) -> Ran {
        let words = book.next(begins);
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.extend(["-o", "json"]);
        self.cli.run_words(&words).await
    }

    /// Holds a target, so that its leg waits.
    pub(crate) async fn hold(&self, target: usize) -> Session {
        let location = self.databases[target].location();
        Session::open(&location, &Timeouts::default()).await.expect("the target's lock is free")
    }

    /// Begins a rollout that goes on by itself; its id.
    pub(crate) async fn begin(&self, words: &str) -> String {
        let started = self.json(&format!("migrate migrations --detach {words}")).await;
        started["id"].as_str().expect("a rollout has an id").to_owned()
    }

    pub(crate) async fn until_done(&self, rollout: &str, count: usize) {
        let done = || async {
            let status = self.json(&format!("status {rollout}")).await;
            let lanes = status["lanes"].as_array().cloned().unwrap_or_default();
            lanes.iter().filter(|lane| lane["state"] == "done").count() >= count
        };
        until("so many targets are done", LIMIT, done).await;
    }

    /// Every target has every version, each applied once: its table is there, and its ledger has one row.
    pub(crate) async fn each_once(&self, versions: &[&str]) {
        for database in &self.databases {
            let ledger = database.observe().await.ledger;
            let steps: Vec<&str> = ledger.iter().map(|row| row.step.as_str()).collect();
            assert_eq!(steps, versions, "{}", database.id);
            let tables =
                database.column("SELECT name FROM sqlite_master WHERE name GLOB 't[0-9]*'");
            let mut tables = tables.await.expect("the target answers");
            tables.sort();
            let wanted: Vec<String> =
                versions.iter().map(|version| format!("t{version}")).collect();
            assert_eq!(tables, wanted, "{}", database.id);
        }
    }

    /// Points the agent and the user at the nodes that there are now, and starts the agent again. It serves its
    /// targets by then.
    pub(crate) async fn turn_to_the_cluster(&mut self) {
        self.agent.kill9();
        self.agent = Agent::start(
            &self.project,
            &self.cluster,
            &AgentSpec::new("a1").serve(&self.databases),
        );
        self.cli = Cli::new(&self.project, &self.cluster, "");
        let leader = self.leader().await;
        let served = || async {
            let known = leader.targets().await.unwrap_or_default();
            let connected = known.iter().filter(|target| target.connected).count();
            connected == self.databases.len()
        };
        until("every target has its agent", LIMIT, served).await;
    }

    /// A new node, started with an empty disk; added and given its vote by the runbook's own commands.
    pub(crate) async fn add(&mut self, number: u64, book: &mut Runbook) {
        self.cluster.newcomer(number, Timing::default());
        self.cluster.start_node(number);
        book.place("NODE", number.to_string());
        book.place("10.0.0.9:7411", self.cluster.address(number));
        let added = self.follow(book, "skein cluster add").await.exits(0).json();
        assert!(members(&added).contains(&(number, false)), "{added}");
        let promoted = self.follow(book, "skein cluster promote").await.exits(0).json();
        assert!(members(&promoted).contains(&(number, true)), "{promoted}");
    }
}

/// Numbers of the members, and whether each votes.
pub(crate) fn members(reply: &Value) -> Vec<(u64, bool)> {
    let nodes = reply["nodes"].as_array().expect("members are listed");
    let one = |node: &Value| (node["node"].as_u64(), node["voter"].as_bool());
    nodes.iter().map(one).filter_map(|(node, voter)| Some((node?, voter?))).collect()
}
