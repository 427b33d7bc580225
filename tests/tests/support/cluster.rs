//! Coordinator nodes, each a process with its own disk.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::client::Client;
use super::process::{Process, Start};
use super::project::{Project, binary};
use super::wait::until_some;

/// How long anything about the cluster itself may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Consensus timing, short enough for tests and long enough for two busy cores.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "units stand last in a name")]
pub(crate) struct Timing {
    pub(crate) heartbeat_ms: u32,
    pub(crate) election_min_ms: u32,
    pub(crate) election_max_ms: u32,
    pub(crate) lease_ms: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self { heartbeat_ms: 100, election_min_ms: 400, election_max_ms: 800, lease_ms: 2_000 }
    }
}

/// Three nodes of one cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    project: Arc<Project>,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    number: u64,
    address: String,
    config: PathBuf,
    log: PathBuf,
    start: Start,
    process: Option<Process>,
}

impl Cluster {
    /// Starts three nodes in the project's directory; returns when they have a leader.
    pub(crate) async fn start(project: &Arc<Project>) -> Self {
        Self::start_with(project, 3, Timing::default(), "").await
    }

    /// The same with `size` nodes, and more lines at the top of each configuration.
    pub(crate) async fn start_with(
        project: &Arc<Project>,
        size: usize,
        timing: Timing,
        more: &str,
    ) -> Self {
        let mut cluster = Self::configure(project, free_addresses(size), timing, more);
        for number in cluster.numbers() {
            cluster.start_node(number);
        }
        cluster.leader().await;
        cluster
    }

    /// The same, of another program.
    pub(crate) async fn start_program(
        project: &Arc<Project>,
        size: usize,
        timing: Timing,
        start: &Start,
    ) -> Self {
        let mut cluster = Self::configure(project, free_addresses(size), timing, "");
        for number in cluster.numbers() {
            cluster.starts(number, start);
            cluster.start_node(number);
        }
        cluster.leader().await;
        cluster
    }

    /// Writes the configurations of nodes at these addresses, and starts none.
    pub(crate) fn configure(
        project: &Arc<Project>,
        addresses: Vec<String>,
        timing: Timing,
        more: &str,
    ) -> Self {
        let mut members = String::new();
        for (number, address) in (1..).zip(&addresses) {
            writeln!(members, "[[member]]\nnode = {number}\naddress = \"{address}\"")
                .expect("a string can be written to");
        }
        let Timing { heartbeat_ms, election_min_ms, election_max_ms, lease_ms } = timing;
        let mut nodes = Vec::new();
        for (number, address) in (1_u64..).zip(addresses) {
            let text = format!(
                "node = {number}\ncluster = \"test\"\ndata = \"node-{number}\"\n\
                 listen = \"{address}\"\nlease_ms = {lease_ms}\n{more}\n\
                 [raft]\nheartbeat_ms = {heartbeat_ms}\nelection_min_ms = {election_min_ms}\n\
                 election_max_ms = {election_max_ms}\n{members}"
            );
            let config = project.write(&format!("node-{number}.toml"), &text);
            let log = project.join(&format!("node-{number}.log"));
            let start = Start::of(&binary());
            nodes.push(Node { number, address, config, log, start, process: None });
        }
        Self { project: Arc::clone(project), nodes }
    }

    /// A node that is not of those that form the cluster: its configuration is written, nothing else.
    /// It listens at an address of its own.
    pub(crate) fn newcomer(&mut self, number: u64, timing: Timing) {
        let address = free_addresses(1).remove(0);
        let Timing { heartbeat_ms, election_min_ms, election_max_ms, lease_ms } = timing;
        let text = format!(
            "node = {number}\ncluster = \"test\"\ndata = \"node-{number}\"\nlisten = \"{address}\"\n\
             lease_ms = {lease_ms}\n\n[raft]\nheartbeat_ms = {heartbeat_ms}\n\
             election_min_ms = {election_min_ms}\nelection_max_ms = {election_max_ms}\n"
        );
        let config = self.project.write(&format!("node-{number}.toml"), &text);
        let log = self.project.join(&format!("node-{number}.log"));
        let start = Start::of(&binary());
        self.nodes.push(Node { number, address, config, log, start, process: None });
    }

    /// From its next start on a node runs so.
    pub(crate) fn starts(&mut self, number: u64, start: &Start) {
        self.node(number).start = start.clone();
    }

    /// A node that is gone for good.
    pub(crate) fn forget(&mut self, number: u64) {
        self.nodes.retain(|node| node.number != number);
    }

    /// The configuration file of a node.
    pub(crate) fn config(&self, number: u64) -> PathBuf {
        let node = self.nodes.iter().find(|node| node.number == number);
        node.expect("nodes are numbered from 1").config.clone()
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.number).collect()
    }

    fn node(&mut self, number: u64) -> &mut Node {
        let node = self.nodes.iter_mut().find(|node| node.number == number);
        node.expect("nodes are numbered from 1")
    }

    /// Starts a node that does not run, on whatever its disk holds.
    pub(crate) fn start_node(&mut self, number: u64) {
        let dir = self.project.path().to_owned();
        let node = self.node(number);
        let config = node.config.display().to_string();
        let args = ["coordinator", "--config", &config];
        node.process = Some(Process::start_with(&node.start, &args, &dir, &node.log));
    }

    pub(crate) fn kill9(&mut self, number: u64) {
        self.node(number).process = None;
    }

    /// The process of a node, to stop and continue it.
    pub(crate) fn process(&mut self, number: u64) -> Option<&mut Process> {
        self.node(number).process.as_mut()
    }

    /// `http://…` of every node.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("http://{}", node.address)).collect()
    }

    /// `host:port` of a node.
    pub(crate) fn address(&self, number: u64) -> String {
        let node = self.nodes.iter().find(|node| node.number == number);
        node.expect("nodes are numbered from 1").address.clone()
    }

    /// The leader dies, and is started again when another one leads, whose client this is.
    pub(crate) async fn behead(&mut self) -> Client {
        let leader = self.leader().await;
        self.kill9(leader);
        let next = self.client(self.leader().await);
        self.start_node(leader);
        next
    }

    /// A client of one node.
    pub(crate) fn client(&self, number: u64) -> Client {
        Client::new(&self.address(number))
    }

    /// Where a node keeps everything.
    pub(crate) fn data(&self, number: u64) -> PathBuf {
        self.project.join(&format!("node-{number}"))
    }

    /// Everything that a node has on its disk, as far as sizes and times tell.
    pub(crate) fn written(&self, number: u64) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
        let (mut found, mut open) = (Vec::new(), vec![self.data(number)]);
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let Ok(about) = entry.metadata() else { continue };
                if about.is_dir() {
                    open.push(entry.path());
                } else {
                    found.push((entry.path(), about.len(), about.modified().ok()));
                }
            }
        }
        found.sort();
        found
    }

    /// Stops all nodes but one, so that it can commit nothing; they are continued by [`Cluster::cont`].
    pub(crate) fn stop_others(&mut self, number: u64) {
        for other in self.numbers().into_iter().filter(|other| *other != number) {
            self.process(other).expect("it runs").stop();
        }
    }

    /// Whoever runs goes on.
    pub(crate) fn cont(&mut self) {
        for number in self.running() {
            self.process(number).expect("it runs").cont();
        }
    }

    fn running(&self) -> Vec<u64> {
        let running = self.nodes.iter().filter(|node| node.process.is_some());
        running.map(|node| node.number).collect()
    }

    /// The leader that all running nodes agree on, once it serves.
    pub(crate) async fn leader(&self) -> u64 {
        let running = self.running();
        until_some("all running nodes know the same leader", LIMIT, async || {
            let mut leaders = BTreeSet::new();
            for number in &running {
                let members = self.client(*number).members().await.ok()?;
                if members.charter.iter().all(|byte| *byte == 0) {
                    return None;
                }
                leaders.insert(members.leader);
            }
            match (leaders.len(), leaders.first()) {
                (1, Some(leader)) if running.contains(leader) => Some(*leader),
                _ => None,
            }
        })
        .await
    }

    /// Waits until every running node has the same history; gives its size and root.
    pub(crate) async fn settled(&self) -> (u64, Vec<u8>) {
        let running = self.running();
        until_some("all running nodes have one history", LIMIT, async || {
            let mut heads = BTreeSet::new();
            for number in &running {
                let head = self.client(*number).head(0).await.ok()?;
                heads.insert((head.size, head.root.to_vec()));
            }
            if heads.len() == 1 { heads.into_iter().next() } else { None }
        })
        .await
    }
}

/// Ports that nobody listens on, from below the range out of which outgoing connections get theirs:
/// a node that was killed finds its port free when it starts again.
fn free_addresses(count: usize) -> Vec<String> {
    let mut held: Vec<TcpListener> = Vec::new();
    let free = || {
        let port = rand::random_range(12_000..32_000_u16);
        TcpListener::bind(("127.0.0.1", port)).ok()
    };
    for _ in 0..1_000 {
        if held.len() == count {
            break;
        }
        held.extend(free());
    }
    assert_eq!(held.len(), count, "no free ports were found on loopback");
    let address = |listener: &TcpListener| listener.local_addr().expect("it is bound").to_string();
    held.iter().map(address).collect()
}
