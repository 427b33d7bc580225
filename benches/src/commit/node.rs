//! Coordinator nodes as processes of their own: this program, started again.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use skein_coordinator::{Config, charter, config};
use skein_proto::v1;
use skein_proto::v1::cluster_client::ClusterClient;
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::machine;

/// How long anything here may take until it counts as broken.
const PATIENCE: Duration = Duration::from_mins(1);

/// The nodes of one cluster.
#[derive(Debug)]
pub(crate) struct Nodes {
    root: PathBuf,
    addresses: Vec<String>,
    processes: Vec<Option<Child>>,
}

impl Nodes {
    /// Starts three with their data below `root`; they end when they are dropped.
    pub(crate) fn start(root: &Path) -> Result<Self> {
        Self::start_some(root, 3)
    }

    /// Starts so many.
    pub(crate) fn start_some(root: &Path, count: usize) -> Result<Self> {
        let addresses = free_addresses(count)?;
        let processes = (0..count).map(|_| None).collect();
        let mut nodes = Self { root: root.to_owned(), addresses, processes };
        for node in 0..count {
            nodes.spawn(node)?;
        }
        Ok(nodes)
    }

    /// Starts one (again), counted from 0.
    pub(crate) fn spawn(&mut self, node: usize) -> Result<()> {
        let program = std::env::current_exe().context("failed to find this program")?;
        let child = Command::new(program)
            .arg("role-node")
            .arg((node + 1).to_string())
            .arg(&self.root)
            .args(&self.addresses)
            // It ends when this end of the pipe is gone, also when this process is killed.
            .stdin(Stdio::piped())
            .spawn()
            .context("failed to start a node")?;
        if let Some(place) = self.processes.get_mut(node) {
            *place = Some(child);
        }
        Ok(())
    }

    /// Stops one in order, and waits until it has.
    pub(crate) fn stop(&mut self, node: usize) -> Result<()> {
        let Some(mut child) = self.processes.get_mut(node).and_then(Option::take) else {
            bail!("node {node} does not run")
        };
        drop(child.stdin.take());
        let status = child.wait().context("failed to wait for a node")?;
        anyhow::ensure!(status.success(), "node {node} ended with {status}");
        Ok(())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, node: usize) -> Result<()> {
        let Some(mut child) = self.processes.get_mut(node).and_then(Option::take) else {
            bail!("node {node} does not run")
        };
        child.kill().context("failed to kill a node")?;
        child.wait().context("failed to wait for a killed node")?;
        Ok(())
    }

    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    fn pids(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().flatten().map(Child::id)
    }

    /// What all of them have used by now.
    pub(crate) fn cpu(&self) -> Duration {
        self.pids().map(machine::cpu_of).sum()
    }

    /// Resident memory of each, MiB.
    pub(crate) fn rss(&self) -> Vec<f64> {
        self.pids()
            .filter_map(|pid| machine::memory(&pid.to_string()))
            .map(|(now, _)| now)
            .collect()
    }

    /// Waits until every node that runs knows one leader and has applied what that one has; gives the
    /// leader's place.
    pub(crate) async fn settled(&self) -> Result<usize> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut seen = Vec::new();
            for (address, process) in self.addresses.iter().zip(&self.processes) {
                if process.is_some() {
                    seen.push(members(address).await.ok());
                }
            }
            let first = seen.first().cloned().flatten();
            let agree = |one: &Option<v1::MembersReply>| {
                one.as_ref().zip(first.as_ref()).is_some_and(|(one, first)| {
                    one.leader != 0
                        && one.leader == first.leader
                        && one.applied_index.abs_diff(first.applied_index) < 100
                        && one.charter.iter().any(|byte| *byte != 0)
                })
            };
            if seen.iter().all(agree)
                && let Some(first) = first
            {
                return Ok(usize::try_from(first.leader)? - 1);
            }
            if Instant::now() > until {
                bail!("the nodes have not agreed on a leader within {PATIENCE:?}: {seen:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn members(address: &str) -> Result<v1::MembersReply> {
    let channel = connect(address).await?;
    Ok(ClusterClient::new(channel).members(v1::MembersRequest {}).await?.into_inner())
}

/// A connection to one node.
pub(crate) async fn connect(address: &str) -> Result<Channel> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?;
    Ok(endpoint.tcp_nodelay(true).connect_timeout(Duration::from_secs(2)).connect().await?)
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for mut child in self.processes.iter_mut().filter_map(Option::take) {
            // It may have ended by itself; its data are about to vanish either way.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Loopback addresses that were free a moment ago. All are held until all are known.
pub(crate) fn free_addresses(count: usize) -> Result<Vec<String>> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<std::io::Result<_>>()
        .context("failed to find free ports")?;
    held.iter().map(|listener| Ok(listener.local_addr()?.to_string())).collect()
}

/// The process of one node: `NODE ROOT ADDRESS…`. Everything but the addresses is the default.
pub(crate) fn role(words: &[String]) -> Result<()> {
    let [node, root, addresses @ ..] = words else { bail!("a node wants NODE ROOT ADDRESS…") };
    let node: u64 = node.parse().context("a node's number")?;
    let members: Vec<(u64, String)> = (1..).zip(addresses.iter().cloned()).collect();
    let address = members.iter().find(|(member, _)| *member == node).map(|(_, address)| address);
    let address = address.context("the node is no member")?;
    let config = Config {
        node,
        cluster: "bench".to_owned(),
        data: Path::new(root).join(format!("node-{node}")),
        listen: Some(address.parse().context("a node's address")?),
        metrics: None,
        advertise: address.clone(),
        members: members.clone(),
        charter: charter::DEFAULT.as_bytes().to_vec(),
        charter_bound: String::new(),
        raft: config::Raft::default(),
        lease_ms: config::LEASE_MS,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let running = Box::pin(skein_coordinator::start(config)).await?;
        let parent = tokio::task::spawn_blocking(|| {
            // Nothing is ever written: this returns when the parent is gone.
            drop(std::io::stdin().read(&mut [0; 1]));
        });
        tokio::select! {
            _ = parent => running.shutdown().await,
            why = running.failed() => bail!("node {node} cannot go on: {why}"),
        }
        Ok(())
    })
}
