//! etcd in the same seat: three members as processes on loopback, on the same disk, asked over the
//! same kind of connection.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use skein_tests::servers::provision::Tools;
use tokio::time::Instant;
use tonic::transport::Channel;

use self::api::kv_client::KvClient;
use self::api::maintenance_client::MaintenanceClient;
use super::node::{connect, free_addresses};
use super::skein::CONNECTIONS;
use crate::load::{self, Client};
use crate::machine;

mod api {
    #![expect(
        clippy::allow_attributes_without_reason,
        unreachable_pub,
        unused_qualifications,
        reason = "generated"
    )]
    tonic::include_proto!("etcdserverpb");
}

/// How long a start may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes of a value.
const VALUE: usize = 256;

/// The members.
#[derive(Debug)]
pub(super) struct Members {
    root: PathBuf,
    /// For clients and for peers.
    addresses: Vec<(String, String)>,
    processes: Vec<Option<Child>>,
    /// Heartbeat and election timeout, milliseconds; none: the defaults.
    timing: Option<(u32, u32)>,
}

/// Whether etcd is there.
pub(super) fn found() -> bool {
    Tools::find().found().any(|(name, _)| name == "etcd")
}

impl Members {
    pub(super) fn start(root: &Path, timing: Option<(u32, u32)>) -> Result<Self> {
        let ports = free_addresses(6)?;
        let addresses =
            ports.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let mut members =
            Self { root: root.to_owned(), addresses, processes: vec![None, None, None], timing };
        for member in 0..3 {
            members.spawn(member)?;
        }
        Ok(members)
    }

    /// Starts one (again). A log that is there already is what it goes on with.
    pub(super) fn spawn(&mut self, member: usize) -> Result<()> {
        let cluster: Vec<String> = self
            .addresses
            .iter()
            .enumerate()
            .map(|(n, (_, peers))| format!("m{n}=http://{peers}"))
            .collect();
        let (clients, peers) = self.addresses.get(member).context("no such member")?;
        let etcd = Tools::find().command("etcd")?;
        // It shall not outlive this program, also when that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(etcd.get_program());
        for (name, value) in etcd.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command
            .arg(format!("--name=m{member}"))
            .arg(format!("--data-dir={}", self.root.join(format!("m{member}")).display()))
            .arg(format!("--listen-client-urls=http://{clients}"))
            .arg(format!("--advertise-client-urls=http://{clients}"))
            .arg(format!("--listen-peer-urls=http://{peers}"))
            .arg(format!("--initial-advertise-peer-urls=http://{peers}"))
            .arg(format!("--initial-cluster={}", cluster.join(",")))
            .args(["--initial-cluster-state=new", "--log-level=error"]);
        if let Some((heartbeat, election)) = self.timing {
            command
                .arg(format!("--heartbeat-interval={heartbeat}"))
                .arg(format!("--election-timeout={election}"));
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start etcd")?;
        if let Some(place) = self.processes.get_mut(member) {
            *place = Some(child);
        }
        Ok(())
    }

    pub(super) fn kill(&mut self, member: usize) -> Result<()> {
        let Some(mut child) = self.processes.get_mut(member).and_then(Option::take) else {
            bail!("member {member} does not run")
        };
        child.kill().context("failed to kill a member")?;
        child.wait().context("failed to wait for a killed member")?;
        Ok(())
    }

    fn pids(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().flatten().map(Child::id)
    }

    pub(super) fn cpu(&self) -> Duration {
        self.pids().map(machine::cpu_of).sum()
    }

    pub(super) fn rss(&self) -> Vec<f64> {
        self.pids()
            .filter_map(|pid| machine::memory(&pid.to_string()))
            .map(|(now, _)| now)
            .collect()
    }

    /// Waits until every member that runs knows one leader; gives its place.
    pub(super) async fn settled(&mut self) -> Result<usize> {
        let until = Instant::now() + PATIENCE;
        loop {
            for child in self.processes.iter_mut().flatten() {
                if let Some(status) = child.try_wait().context("failed to look at a member")? {
                    bail!("a member of etcd has ended by itself, with {status}");
                }
            }
            let mut ids = Vec::new();
            for ((address, _), process) in self.addresses.iter().zip(&self.processes) {
                ids.push(if process.is_some() { status(address).await.ok() } else { None });
            }
            let up = self.pids().count();
            let known: Vec<(u64, u64)> = ids.iter().flatten().copied().collect();
            let leader = known.first().map_or(0, |(_, leader)| *leader);
            if known.len() == up && leader != 0 && known.iter().all(|(_, other)| *other == leader) {
                let place = ids.iter().position(|id| id.is_some_and(|(id, _)| id == leader));
                if let Some(place) = place {
                    return Ok(place);
                }
            }
            if Instant::now() > until {
                bail!("the members of etcd have not agreed on a leader within {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A client that asks the leader first.
    pub(super) async fn client(&mut self, persist: Duration) -> Result<Etcd> {
        let leader = self.settled().await?;
        let mut members = Vec::new();
        for (address, _) in &self.addresses {
            let mut some = Vec::new();
            for _ in 0..CONNECTIONS {
                some.push(connect(address).await?);
            }
            members.push(Arc::from(some));
        }
        Ok(Etcd {
            inner: Arc::new(Inner {
                members,
                leader: AtomicUsize::new(leader),
                next: AtomicU64::new(0),
                puts: 1,
                persist,
                answered: AtomicU64::new(0),
            }),
        })
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for mut child in self.processes.iter_mut().filter_map(Option::take) {
            // Its data are about to vanish.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A member's id, and whom it takes for the leader.
async fn status(address: &str) -> Result<(u64, u64)> {
    let ask = async {
        let channel = connect(address).await?;
        let reply = MaintenanceClient::new(channel).status(api::StatusRequest {}).await?;
        let reply = reply.into_inner();
        Ok((reply.header.map_or(0, |header| header.member_id), reply.leader))
    };
    tokio::time::timeout(Duration::from_secs(2), ask).await?
}

/// Puts of 256 bytes under keys that are never used twice.
#[derive(Debug, Clone)]
pub(super) struct Etcd {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    members: Vec<Arc<[Channel]>>,
    leader: AtomicUsize,
    next: AtomicU64,
    /// In one request; more than one go as a transaction.
    puts: usize,
    persist: Duration,
    /// Requests acknowledged.
    answered: AtomicU64,
}

impl Etcd {
    /// The same with `puts` in one transaction: the nearest that etcd has to a batch.
    pub(super) fn batched(&self, puts: usize) -> Self {
        let inner = &self.inner;
        Self {
            inner: Arc::new(Inner {
                members: inner.members.clone(),
                leader: AtomicUsize::new(inner.leader.load(Ordering::Relaxed)),
                // Another range of keys.
                next: AtomicU64::new(inner.next.load(Ordering::Relaxed) + (1 << 40)),
                puts,
                persist: inner.persist,
                answered: AtomicU64::new(0),
            }),
        }
    }

    pub(super) fn follow(&self, leader: usize) {
        self.inner.leader.store(leader, Ordering::Relaxed);
    }
}

impl Inner {
    fn put(&self) -> api::PutRequest {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        api::PutRequest { key: format!("bench/{key:016x}").into_bytes(), value: vec![b'x'; VALUE] }
    }

    async fn once(&self, who: usize, member: usize) -> Result<()> {
        let channels = self.members.get(member).context("no such member")?;
        let mut client = KvClient::new(load::spread(channels, who).context("no connection")?);
        if self.puts == 1 {
            client.put(self.put()).await?;
            return Ok(());
        }
        let success = (0..self.puts).map(|_| api::RequestOp {
            request: Some(api::request_op::Request::RequestPut(self.put())),
        });
        let reply = client.txn(api::TxnRequest { success: success.collect() }).await?;
        anyhow::ensure!(reply.into_inner().succeeded, "the transaction did not go through");
        Ok(())
    }
}

impl Client for Etcd {
    fn answered(&self) -> u64 {
        self.inner.answered.load(Ordering::Relaxed)
    }

    async fn ask(&self, who: usize) -> Result<()> {
        let inner = &self.inner;
        let until = Instant::now() + inner.persist;
        loop {
            let member = inner.leader.load(Ordering::Relaxed);
            let error = match inner.once(who, member).await {
                Ok(()) => {
                    inner.answered.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) => error,
            };
            if Instant::now() >= until {
                return Err(error);
            }
            let next = (member + 1) % inner.members.len();
            // Only the first of many that failed moves on.
            if inner.leader.load(Ordering::Relaxed) == member {
                inner.leader.store(next, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
