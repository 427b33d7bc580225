//! Nodes and agents are restarted one by one while rollouts go on, from the program of before to this one.
//!
//! `cargo xtask upgrade` builds the program of before and names it in `SKEIN_OLD_BIN`. Without it the nodes
//! begin on the data that the last release left, and are restarted with the program that they have.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use skein_proto::log::v1::event::Body;

use crate::support::{
    Agent, AgentSpec, Cli, Client, Cluster, Database, Process, Project, Server, Start, Timing,
    binary, until, within,
};
use crate::{data, each_release};

const LIMIT: Duration = Duration::from_mins(1);
const TARGETS: usize = 6;

struct Fleet {
    project: Arc<Project>,
    cluster: Cluster,
    databases: Vec<Database>,
    agents: Vec<Agent>,
    cli: Cli,
}

impl Fleet {
    async fn start(old: Option<&Start>) -> Self {
        let project = Arc::new(Project::new("rolling"));
        let cluster = if let Some(old) = old {
            Cluster::start_program(&project, 3, Timing::default(), old).await
        } else {
            let last = each_release().pop().expect("there is a release");
            data::start(&project, &last).await.0
        };
        let server = Server::sqlite(&project.join("db"));
        let mut databases = Vec::new();
        for number in 1..=TARGETS {
            databases.push(server.database(&format!("rolling/{number}")).await);
        }
        let mut agents = Vec::new();
        for id in ["b1", "b2"] {
            let mut agent = Agent::start(&project, &cluster, &AgentSpec::new(id).serve(&databases));
            if let Some(old) = old {
                agent.starts(old);
                agent.restart();
            }
            agents.push(agent);
        }
        let ids: Vec<&str> = databases.iter().map(|database| database.id.as_str()).collect();
        Agent::until_observed(&cluster.client(cluster.leader().await), &ids).await;
        let cli = Cli::new(&project, &cluster, "");
        Self { project, cluster, databases, agents, cli }
    }

    fn table(&self, version: u32) {
        let name = |way: &str| format!("r/{version:04}_step.{way}.sql");
        let up = format!("CREATE TABLE r{version} (id integer primary key);\n");
        self.project.write(&name("up"), &up);
        self.project.write(&name("down"), &format!("DROP TABLE r{version};\n"));
    }

    /// Ends a node in order, starts it with this program, and waits until it has everything.
    async fn restart(&mut self, node: u64) {
        let process = self.cluster.process(node).expect("it was started");
        assert_eq!(process.terminate(), Some(0), "node {node}");
        self.cluster.starts(node, &Start::of(&binary()));
        self.cluster.start_node(node);
        let leader = self.cluster.leader().await;
        let has = self.cluster.client(leader).head(0).await.expect("the leader answers").size;
        let client = self.cluster.client(node);
        let caught_up = || async { client.head(0).await.is_ok_and(|head| head.size >= has) };
        until("the restarted node has caught up", LIMIT, caught_up).await;
    }
}

/// Stores one bundle after another at whichever node answers; the digests that were acknowledged.
async fn load(project: Arc<Project>, clients: Vec<Client>, stop: Arc<AtomicBool>) -> Vec<Vec<u8>> {
    let mut acknowledged = Vec::new();
    for number in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let dir = format!("load-{number}");
        let up = format!("CREATE TABLE l{number} (id integer primary key);\n");
        project.write(&format!("{dir}/0001_l.up.sql"), &up);
        let client = &clients[number % clients.len()];
        // Without an answer it may have happened or not: nothing is claimed of it.
        if let Ok(digest) = client.put_bundle(&project.join(&dir)).await {
            acknowledged.push(digest);
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_nothing() {
    let old = std::env::var_os("SKEIN_OLD_BIN").map(PathBuf::from);
    let old = old.map(|program| Start::of(&program));
    let mut fleet = Fleet::start(old.as_ref()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients = fleet.cluster.numbers().into_iter().map(|node| fleet.cluster.client(node));
    let loading =
        tokio::spawn(load(Arc::clone(&fleet.project), clients.collect(), Arc::clone(&stop)));
    let mut versions = Vec::new();
    let mut done = BTreeSet::new();
    let leader = fleet.cluster.leader().await;
    let mut order: Vec<u64> =
        fleet.cluster.numbers().into_iter().filter(|node| *node != leader).collect();
    order.push(leader);
    for (node, version) in order.into_iter().zip(1_u32..) {
        fleet.table(version);
        versions.push(version.to_string());
        let line = "migrate r --detach --parallelism 2 --on rolling/* -o json";
        let started = fleet.cli.run(line).await.exits(0).json();
        let id = started["id"].as_str().expect("a rollout has an id").to_owned();
        fleet.restart(node).await;
        if let Some(agent) = fleet.agents.get_mut(version as usize - 1) {
            agent.starts(&Start::of(&binary()));
            agent.restart();
        }
        let ended = fleet.cli.run(&format!("watch {id} -o json")).await.exits(0).json();
        assert_eq!(ended["state"], "completed", "{ended}");
        done.insert(id);
    }
    assert_eq!(done.len(), 3);
    stop.store(true, Ordering::Relaxed);
    let acknowledged = loading.await.expect("the load ends");
    assert!(acknowledged.len() > 5, "there was no load: {}", acknowledged.len());

    // Nothing is lost, nothing is double, and all have one history.
    fleet.cluster.settled().await;
    fleet.cli.run("history verify").await.exits(0);
    let client = fleet.cluster.client(fleet.cluster.leader().await);
    let events = client.events(0).await.expect("the leader answers");
    let mut stored = BTreeSet::new();
    for event in &events {
        if let Some(Body::BundleStored(bundle)) = &event.body {
            assert!(stored.insert(bundle.digest.to_vec()), "a bundle was recorded twice");
        }
    }
    for digest in &acknowledged {
        assert!(stored.contains(digest), "an acknowledged bundle is gone");
    }
    assert!(events.iter().zip(0..).all(|(event, seq)| event.seq == seq));
    for database in &fleet.databases {
        let ledger = database.observe().await.ledger;
        let steps: Vec<&str> = ledger.iter().map(|row| row.step.as_str()).collect();
        assert_eq!(steps, versions, "{}", database.id);
    }
    if let Some(old) = old {
        back(&mut fleet, &old).await;
    }
}

/// A node goes back to the program of before. That works while nothing is in the log that it does not know;
/// else it ends, and says which program to start.
async fn back(fleet: &mut Fleet, old: &Start) {
    let leader = fleet.cluster.leader().await;
    let node = fleet.cluster.numbers().into_iter().find(|node| *node != leader);
    let node = node.expect("there are three");
    let process = fleet.cluster.process(node).expect("it was started");
    assert_eq!(process.terminate(), Some(0));
    fleet.cluster.starts(node, old);
    fleet.cluster.start_node(node);
    let client = fleet.cluster.client(node);
    let has = fleet.cluster.client(leader).head(0).await.expect("the leader answers");
    let same = || async { client.head(0).await.is_ok_and(|head| head.root == has.root) };
    if within(LIMIT, same).await {
        return;
    }
    let process: &mut Process = fleet.cluster.process(node).expect("it was started");
    assert!(!process.runs(), "it neither serves nor ends: {}", process.log());
    assert!(process.log().contains("newer release"), "{}", process.log());
}
