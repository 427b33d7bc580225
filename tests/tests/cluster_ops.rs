//! What happens to coordinator nodes while work goes on: they come and go, lose their disk's space,
//! fall behind a purged log, are all started anew, and are pointed at data that is not theirs.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use skein_agent::db::{Session, Timeouts};
use skein_proto::v1;
use support::{
    Agent, AgentSpec, Cli, Client, Cluster, Database, Process, Project, Server, Timing, Tmpfs,
    binary, until, until_some,
};

const LIMIT: Duration = Duration::from_secs(40);

struct Fleet {
    project: Arc<Project>,
    cluster: Cluster,
    databases: Vec<Database>,
    agent: Agent,
    cli: Cli,
}

impl Fleet {
    async fn start(project: Arc<Project>, targets: usize) -> Self {
        let cluster = Cluster::start(&project).await;
        let server = Server::sqlite(&project.join("db"));
        let mut databases = Vec::new();
        for number in 1..=targets {
            databases.push(server.database(&format!("t/{number}")).await);
        }
        let agent = Agent::start(&project, &cluster, &AgentSpec::new("a1").serve(&databases));
        let ids: Vec<&str> = databases.iter().map(|database| database.id.as_str()).collect();
        Agent::until_observed(&cluster.client(cluster.leader().await), &ids).await;
        let cli = Cli::new(&project, &cluster, "");
        Self { project, cluster, databases, agent, cli }
    }

    fn table(&self, version: u32) {
        let up = format!("CREATE TABLE t{version} (id integer primary key);\n");
        let name = format!("m/{version:04}_step");
        self.project.migration(&name, &up, &format!("DROP TABLE t{version};\n"));
    }

    async fn json(&self, line: &str) -> Value {
        self.cli.run(&format!("{line} -o json")).await.exits(0).json()
    }

    /// Holds a target, so that its leg waits.
    async fn hold(&self, target: usize) -> Session {
        let location = self.databases[target].location();
        Session::open(&location, &Timeouts::default()).await.expect("the target's lock is free")
    }

    async fn until_done(&self, rollout: &str, count: usize) {
        let done = || async {
            let status = self.json(&format!("status {rollout}")).await;
            let lanes = status["lanes"].as_array().cloned().unwrap_or_default();
            lanes.iter().filter(|lane| lane["state"] == "done").count() >= count
        };
        until("so many targets are done", LIMIT, done).await;
    }

    /// Every target has every version, each applied once.
    async fn each_once(&self, versions: &[&str]) {
        for database in &self.databases {
            let ledger = database.observe().await.ledger;
            let steps: Vec<&str> = ledger.iter().map(|row| row.step.as_str()).collect();
            assert_eq!(steps, versions, "{}", database.id);
        }
    }

    async fn begin(&self, words: &str) -> String {
        let started = self.json(&format!("migrate m --detach {words}")).await;
        started["id"].as_str().expect("a rollout has an id").to_owned()
    }
}

/// Ends by itself, at once: code and what it said.
async fn refuses_to_start(project: &Project, config: &Path) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(binary());
    command.arg("coordinator").arg("--config").arg(config).current_dir(project.path());
    command.kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await;
    let output = output.expect("a node that may not start ends").expect("the program starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn rewrite(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).expect("a configuration can be read");
    assert!(text.contains(from), "{from:?} is not in {text}");
    std::fs::write(path, text.replacen(from, to, 1)).expect("a configuration can be written");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_come_and_go_while_a_rollout_runs() {
    let mut fleet = Fleet::start(Arc::new(Project::new("members")), 6).await;
    fleet.table(1);
    fleet.table(2);
    let (third, fifth) = (fleet.hold(2).await, fleet.hold(4).await);
    let id = fleet.begin("--parallelism 2").await;
    fleet.until_done(&id, 2).await;

    // A fourth node comes: it gets the log, then a vote, then the lead.
    let address = free_address();
    let three = std::fs::read_to_string(fleet.project.join("node-3.toml")).expect("it was written");
    let (top, _) = three.split_once("[[member]]").expect("it names the members");
    let listen = top.lines().find(|line| line.starts_with("listen")).expect("it listens");
    let config = top
        .replace("node = 3", "node = 4")
        .replace("node-3", "node-4")
        .replace(listen, &format!("listen = \"{address}\""));
    let config = fleet.project.write("node-4.toml", &config);
    let log = fleet.project.join("node-4.log");
    let words = ["coordinator", "--config", config.to_str().expect("a path in words")];
    let mut fourth = Process::start(&words, fleet.project.path(), &log);
    let added = fleet.json(&format!("cluster add 4 {address}")).await;
    let member = |members: &Value, node: u64| -> Option<Value> {
        let nodes = members["nodes"].as_array().expect("members are listed");
        nodes.iter().find(|member| member["node"] == node).cloned()
    };
    assert_eq!(member(&added, 4).expect("it was added")["voter"], false, "{added}");
    let promoted = fleet.json("cluster promote 4").await;
    assert_eq!(member(&promoted, 4).expect("it is there")["voter"], true, "{promoted}");
    let old = fleet.cluster.leader().await;
    fleet.cli.run(&format!("cluster remove {old}")).await.exits(21);
    let led = fleet.json("cluster transfer 4").await;
    assert_eq!(led["leader"], 4, "{led}");

    // Under the new leader the rollout goes on, with the agent that found it by itself.
    third.close().await;
    fleet.until_done(&id, 4).await;
    let removed = fleet.json(&format!("cluster remove {old}")).await;
    assert_eq!(member(&removed, old), None, "{removed}");
    assert_eq!(removed["nodes"].as_array().map(Vec::len), Some(3), "{removed}");
    fleet.cluster.kill9(old);
    fifth.close().await;
    let done = fleet.json(&format!("watch {id}")).await;
    assert_eq!(done["state"], "completed", "{done}");
    fleet.each_once(&["1", "2"]).await;
    let verified = fleet.json("history verify").await;
    assert_eq!(verified["nodes"].as_array().map(Vec::len), Some(3), "{verified}");
    for gone in ["cluster remove 9", "cluster transfer 9"] {
        fleet.cli.run(gone).await.exits(2);
    }
    // Its number is never given again: it could come back without what it had promised.
    let again = fleet.cli.run(&format!("cluster add {old} {}", free_address())).await.exits(21);
    for words in ["no number is ever used twice", "number 5"] {
        assert!(again.stderr.contains(words), "{words:?} is missing: {again:?}");
    }
    assert!(fourth.runs());
    assert_eq!(fourth.terminate(), Some(0));
}

fn free_address() -> String {
    let held = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    held.local_addr().expect("it is bound").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_started_anew_goes_on_with_its_rollout() {
    let mut fleet = Fleet::start(Arc::new(Project::new("anew")), 4).await;
    for version in 1..=3 {
        fleet.table(version);
    }
    let held = fleet.hold(3).await;
    let id = fleet.begin("--parallelism 4").await;
    fleet.until_done(&id, 3).await;
    let (size, _) = fleet.cluster.settled().await;
    for node in fleet.cluster.numbers() {
        fleet.cluster.kill9(node);
    }
    let away = fleet.cli.run("status --connect-timeout 1").await.exits(50);
    assert!(away.stderr.contains("can be run again"), "{away:?}");
    fleet.agent.kill9();
    for node in fleet.cluster.numbers() {
        fleet.cluster.start_node(node);
    }
    let client = fleet.cluster.client(fleet.cluster.leader().await);
    assert!(client.head(0).await.expect("the leader answers").size >= size, "events are gone");
    held.close().await;
    fleet.agent.restart();
    let done = fleet.json(&format!("watch {id}")).await;
    assert_eq!(done["state"], "completed", "{done}");
    fleet.each_once(&["1", "2", "3"]).await;
    fleet.cluster.settled().await;
    fleet.cli.run("history verify").await.exits(0);
}

/// The log that a follower lacks was purged: it gets the history instead, and the bundles that the
/// history names; and it is good enough to lead.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_away_for_long_catches_up_and_leads() {
    let mut fleet = Fleet::start(Arc::new(Project::new("snapshot")), 2).await;
    for node in fleet.cluster.numbers() {
        let config = fleet.project.join(&format!("node-{node}.toml"));
        rewrite(&config, "[raft]\n", "[raft]\nsnapshot_after = 20\nkeep_entries = 4\n");
        fleet.cluster.kill9(node);
        fleet.cluster.start_node(node);
    }
    let leader = fleet.cluster.leader().await;
    let away = fleet.cluster.numbers().into_iter().find(|node| *node != leader);
    let away = away.expect("there are three");
    fleet.table(1);
    fleet.cli.run("migrate m").await.exits(0);
    fleet.cluster.settled().await;
    fleet.cluster.kill9(away);

    fleet.table(2);
    let plan = fleet.json("plan m").await;
    let plan = plan["id"].as_str().expect("a plan has an id").to_owned();
    let project = Arc::clone(&fleet.project);
    let blobs = |node: u64| files(&project.join(&format!("node-{node}/blobs")));
    let unseen: Vec<PathBuf> =
        blobs(leader).into_iter().filter(|name| !blobs(away).contains(name)).collect();
    assert_eq!(unseen.len(), 1, "the second bundle came when the follower was away");
    // More of them, until both nodes that run have purged what the third one would need.
    let client = fleet.cluster.client(leader);
    let needed = client.members().await.expect("the leader answers").applied_index;
    let running: Vec<u64> =
        fleet.cluster.numbers().into_iter().filter(|node| *node != away).collect();
    let mut number = 0;
    until_some("the log is purged", LIMIT, || {
        number += 1;
        let logs =
            running.iter().map(|node| fleet.cluster.process(*node).expect("it was started").log());
        let purged = logs.map(|log| purged(&log)).min().unwrap_or_default() > needed;
        let (project, client) = (Arc::clone(&fleet.project), client.clone());
        async move {
            if purged {
                return Some(());
            }
            put(&project, &client, number).await;
            None
        }
    })
    .await;

    fleet.cluster.start_node(away);
    let head = fleet.cluster.settled().await;
    // Its own log begins behind what it had missed: that came as history, and the bundle by itself.
    let log = fleet.cluster.process(away).expect("it was started").log();
    assert!(purged(&log) > needed, "it got the log after all: nothing was tested\n{log}");
    let whole = || std::future::ready(blobs(away).contains(&unseen[0]));
    until("the bundle was fetched from a peer", LIMIT, whole).await;
    let led = fleet.json(&format!("cluster transfer {away}")).await;
    assert_eq!(led["leader"], away, "{led}");
    // Another agent, with nothing in its cache, asks the new leader for the bundle.
    fleet.agent.kill9();
    let agent =
        Agent::start(&fleet.project, &fleet.cluster, &AgentSpec::new("a2").serve(&fleet.databases));
    let client = fleet.cluster.client(away);
    let served = || async {
        let targets = client.targets().await.unwrap_or_default();
        targets.len() == 2
            && targets.iter().all(|target| target.connected && target.agents.len() == 2)
    };
    until("the other agent serves the targets", LIMIT, served).await;
    let done = fleet.json(&format!("apply --plan {plan}")).await;
    assert_eq!(done["state"], "completed", "{done}");
    fleet.each_once(&["1", "2"]).await;
    assert!(fleet.cluster.settled().await.0 > head.0);
    fleet.cli.run("history verify").await.exits(0);
    drop(agent);
}

/// Up to which entry a node has purged its log, by its own words.
fn purged(log: &str) -> u64 {
    let last = log.rsplit("purge upto: ").next().filter(|rest| rest.len() < log.len());
    let index = last.and_then(|rest| rest.split("index: ").nth(1));
    index.and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or_default()
}

/// Names in a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<PathBuf> = entries.map(|entry| PathBuf::from(entry.file_name())).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_full_stops_and_comes_back() {
    let test = "a_node_whose_disk_is_full_stops_and_comes_back";
    let project = Arc::new(Project::new("full"));
    // One that will not lead is not known before; each of the three has a small disk.
    let mut disks = BTreeMap::new();
    for node in 1..=3 {
        let dir = project.join(&format!("node-{node}"));
        let Some(disk) = Tmpfs::mount(&dir, "16m", test) else { return };
        disks.insert(node, disk);
    }
    let mut fleet = Fleet::start(project, 1).await;
    let leader = fleet.cluster.leader().await;
    let full = fleet.cluster.numbers().into_iter().find(|node| *node != leader);
    let full = full.expect("there are three");
    let ballast = disks[&full].fill();

    // The others go on; the one that cannot keep what it would promise ends, and says why.
    let client = fleet.cluster.client(leader);
    let mut number = 0;
    until_some("the node with the full disk has ended", LIMIT, || {
        number += 1;
        let ended = !fleet.cluster.process(full).expect("it was started").runs();
        let (project, client) = (Arc::clone(&fleet.project), client.clone());
        async move {
            if ended {
                return Some(());
            }
            put(&project, &client, number).await;
            None
        }
    })
    .await;
    let log = fleet.cluster.process(full).expect("it was started").log();
    assert!(log.contains("No space left") || log.contains("StorageFull"), "{log}");
    fleet.table(1);
    let done = fleet.json("migrate m").await;
    assert_eq!(done["state"], "completed", "{done}");
    // Without space it ends again rather than serving.
    fleet.cluster.start_node(full);
    let process = fleet.cluster.process(full).expect("it was started");
    until("it ends again", LIMIT, || std::future::ready(!process.runs())).await;

    std::fs::remove_file(&ballast).expect("the ballast can be removed");
    fleet.cluster.kill9(full);
    fleet.cluster.start_node(full);
    fleet.cluster.leader().await;
    fleet.cluster.settled().await;
    fleet.cli.run("history verify").await.exits(0);
    fleet.each_once(&["1"]).await;
    for node in fleet.cluster.numbers() {
        fleet.cluster.kill9(node);
    }
    drop(disks);
}

/// Something to be written: a bundle that nobody had before.
async fn put(project: &Project, client: &Client, number: u32) {
    let dir = format!("filler-{number}");
    let up =
        format!("CREATE TABLE f{number} (id integer primary key);\n-- {}\n", "x".repeat(50_000));
    project.write(&format!("{dir}/0001_f.up.sql"), &up);
    client.put_bundle(&project.join(&dir)).await.expect("two of three nodes go on");
}

/// A node that is pointed at what is not its own ends before it changes anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_does_not_start_on_what_is_not_its_own() {
    let project = Arc::new(Project::new("strange"));
    let mut cluster = Cluster::start_with(&project, 3, Timing::default(), "").await;
    let client = cluster.client(cluster.leader().await);
    let formed = || async { client.head(0).await.is_ok_and(|head| head.size >= 2) };
    until("the cluster has its charter", LIMIT, formed).await;
    let (size, root) = cluster.settled().await;
    let good = std::fs::read_to_string(project.join("node-3.toml")).expect("it was written");

    // While the node runs, nobody else gets at its data.
    let address = cluster.address(3);
    let second = good.replace(&address, "127.0.0.1:0");
    let second = project.write("second.toml", &second.replace("advertise", "ad"));
    let (code, said) = refuses_to_start(&project, &second).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("in use by another process") && said.contains("next: "), "{said}");

    cluster.kill9(3);
    project.write("other-charter.toml", "[undo]\nirreversible = \"refuse\"\n");
    for (from, to, code, words) in [
        ("cluster = \"test\"", "cluster = \"other\"", 1, "holds the data of node 3 of cluster"),
        ("data = \"node-3\"", "data = \"node-2\"", 1, "in use by another process"),
        ("node = 3\ncluster", "charter = \"other-charter.toml\"\nnode = 3\ncluster", 51, "charter"),
    ] {
        let bad = project.write("bad.toml", &good.replacen(from, to, 1));
        let (ended, said) = refuses_to_start(&project, &bad).await;
        assert_eq!(ended, Some(code), "{to}: {said}");
        for word in [words, "error: ", "next: "] {
            assert!(said.contains(word), "{word:?} is missing: {said}");
        }
    }
    // Another node's number, on this node's data.
    cluster.kill9(2);
    let two = std::fs::read_to_string(project.join("node-2.toml")).expect("it was written");
    let bad = project.write("bad.toml", &two.replacen("data = \"node-2\"", "data = \"node-3\"", 1));
    let (ended, said) = refuses_to_start(&project, &bad).await;
    assert_eq!(ended, Some(1), "{said}");
    assert!(said.contains("holds the data of node 3") && said.contains("not of node 2"), "{said}");
    cluster.start_node(2);
    cluster.start_node(3);
    cluster.leader().await;
    assert_eq!(cluster.settled().await, (size, root));

    // The first node with its data gone: to begin anew could forget what it had promised.
    cluster.kill9(1);
    let kept = project.join("node-1-kept");
    std::fs::rename(cluster.data(1), &kept).expect("a directory can be moved");
    cluster.leader().await;
    let (ended, said) = refuses_to_start(&project, &project.join("node-1.toml")).await;
    assert_eq!(ended, Some(1), "{said}");
    assert!(said.contains("new number"), "{said}");
    std::fs::remove_dir_all(cluster.data(1)).expect("a directory can be removed");
    std::fs::rename(&kept, cluster.data(1)).expect("a directory can be moved");
    cluster.start_node(1);
    cluster.leader().await;
    cluster.settled().await;
    let whole = client_of(&cluster, 1).verify_disk(v1::VerifyDiskRequest {}).await;
    assert_eq!(whole.expect("the node answers").into_inner().fault, "");
}

fn client_of(
    cluster: &Cluster,
    node: u64,
) -> v1::audit_client::AuditClient<tonic::transport::Channel> {
    cluster.client(node).audit()
}
