//! The make-believe fleet: real programs on machines that exist for the time of a run.
//!
//! ```text
//! space     machines: network namespaces on a bridge
//! wire      what lies between them, in this program
//! process   one `skein`: killed, stopped, continued; its log
//! target    databases, and their servers
//! replica   a replica that falls behind     web       a shop, a signal and Prometheus over HTTP
//! tenants   targets that an agent finds by itself: they come late, and go
//! make      all of it, put together
//! client    questions over gRPC      cli   `skein VERB …`      wait   until a condition holds
//! ```

pub(crate) mod cli;
pub(crate) mod client;
pub(crate) mod make;
pub(crate) mod process;
pub(crate) mod replica;
pub(crate) mod space;
pub(crate) mod target;
pub(crate) mod tenants;
pub(crate) mod wait;
pub(crate) mod web;
pub(crate) mod wire;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use cli::Cli;
use client::Client;
use process::Process;
use replica::Replica;
use space::Space;
use target::{Servers, Target};
use tenants::Tenants;
use wait::until_some;
use web::Web;
use wire::Wire;

use crate::enclose::run;

/// How a run stands in its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Machines are namespaces, and everything can be done to them.
    Spaces,
    /// Everything is on loopback, as an ordinary user.
    Loopback,
}

/// Consensus timing, short enough for many rounds and long enough for two busy cores: a heartbeat that
/// does not come through in its interval counts as lost.
pub(crate) const HEARTBEAT_MS: u32 = 250;
pub(crate) const ELECTION_MS: (u32, u32) = (1_000, 2_000);
/// A takeover waits for the lease of the dead.
pub(crate) const LEASE_MS: u32 = 3_000;

/// What the nodes' configurations say of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timing {
    /// Everything is near.
    Near,
    /// No two nodes are further apart than this and back, milliseconds; with a lease of its own, so that a run
    /// need not wait for the usual one.
    Far { round_trip_ms: u64, lease_ms: u32 },
}

impl Timing {
    fn lines(self) -> String {
        let (min, max) = ELECTION_MS;
        match self {
            Self::Near => format!(
                "lease_ms = {LEASE_MS}\n\n[raft]\nheartbeat_ms = {HEARTBEAT_MS}\nelection_min_ms = {min}\n\
                 election_max_ms = {max}"
            ),
            Self::Far { round_trip_ms, lease_ms } => {
                format!("lease_ms = {lease_ms}\nround_trip_ms = {round_trip_ms}\n\n[raft]")
            }
        }
    }
}
/// How long an answer to the checker may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A member's place in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Node(usize),
    Agent(usize),
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(place) => f.write_str(make::NODES.get(*place).unwrap_or(&"?")),
            Self::Agent(place) => f.write_str(make::REGIONS.get(*place).unwrap_or(&"?")),
        }
    }
}

/// A coordinator or an agent.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) space: Option<Space>,
    pub(crate) process: Process,
    /// What it writes: a file system of its own, where there may be mounts.
    pub(crate) disk: PathBuf,
    /// The file that says how wrong its clock is; `None` where clocks cannot be set wrong.
    pub(crate) clock: Option<PathBuf>,
    /// Where its disk is a layer that can fail: what is below it, and the layer's own directory.
    pub(crate) layer: Option<(PathBuf, PathBuf)>,
    /// Its disk is full or fails just now: it may end by itself at any moment.
    pub(crate) ailing: bool,
    /// Where it really listens. Empty for an agent.
    pub(crate) listen: String,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) ground: Ground,
    pub(crate) dir: PathBuf,
    /// Three.
    pub(crate) nodes: Vec<Member>,
    /// One in each region.
    pub(crate) agents: Vec<Member>,
    pub(crate) wires: Vec<Wire>,
    pub(crate) servers: Servers,
    pub(crate) web: Web,
    /// `None`: none could be started.
    pub(crate) replica: Option<Replica>,
    pub(crate) tenants: Tenants,
    /// Those that are migrated.
    pub(crate) targets: Vec<Target>,
    /// Those whose agent stays away: rollouts on them stand still until somebody asks for something.
    pub(crate) still: Vec<Target>,
    pub(crate) cli: Cli,
    /// What this machine does not allow.
    pub(crate) left_out: Vec<String>,
}

impl World {
    /// A client that asks one node directly, past every wire.
    pub(crate) fn direct(&self, node: usize) -> Result<Client> {
        let member = self.nodes.get(node).context("nodes are numbered from 0")?;
        Client::new(&member.listen, ANSWER)
    }

    /// The way that users take to a node.
    pub(crate) fn doors(&self) -> Vec<String> {
        let ways = self.wires.iter().filter(|wire| wire.from == make::USER);
        ways.map(|wire| wire.at.to_string()).collect()
    }

    /// The leader that all nodes agree on, once it serves; and how long that took.
    pub(crate) async fn leader(&self, limit: Duration) -> Result<(usize, Duration)> {
        let clients: Vec<Client> =
            (0..self.nodes.len()).map(|node| self.direct(node)).collect::<Result<_>>()?;
        until_some("all nodes know the same leader", limit, async || {
            let mut leaders = BTreeSet::new();
            for client in &clients {
                let members = client.members().await.ok()?;
                if members.charter.iter().all(|byte| *byte == 0) {
                    return None;
                }
                leaders.insert(members.leader);
            }
            let leader = leaders.pop_first().filter(|_| leaders.is_empty())?;
            usize::try_from(leader).ok()?.checked_sub(1)
        })
        .await
    }

    /// The node that leads as far as any node knows, without waiting.
    pub(crate) async fn leader_now(&self) -> Option<usize> {
        for node in 0..self.nodes.len() {
            let client = self.direct(node).ok()?;
            let members = tokio::time::timeout(Duration::from_millis(300), client.members()).await;
            if let Ok(Ok(members)) = members
                && let Some(leader) = usize::try_from(members.leader).ok()?.checked_sub(1)
            {
                return Some(leader);
            }
        }
        None
    }

    /// Waits until every agent is connected and each of its targets was looked at.
    pub(crate) async fn agents_here(&self, limit: Duration) -> Result<Duration> {
        let client = self.direct(self.leader(limit).await?.0)?;
        let ((), took) = until_some("all agents are connected", limit, async || {
            let known = client.targets().await.ok()?;
            let here = |id: &str| {
                known.iter().any(|target| {
                    let name = target.description.as_ref().map(|described| described.id.as_str());
                    name == Some(id) && target.connected && target.observation.is_some()
                })
            };
            let mut named = self.targets.iter().filter(|target| self.tenants.serves(&target.id));
            named.all(|target| here(&target.id)).then_some(())
        })
        .await?;
        Ok(took)
    }

    /// Waits until every node has the same history; gives its size and root.
    pub(crate) async fn settled(&self, limit: Duration) -> Result<(u64, Vec<u8>)> {
        let clients: Vec<Client> =
            (0..self.nodes.len()).map(|node| self.direct(node)).collect::<Result<_>>()?;
        let (head, _) = until_some("all nodes have one history", limit, async || {
            let mut heads = BTreeSet::new();
            for client in &clients {
                let head = client.head(0).await.ok()?;
                heads.insert((head.size, head.root.to_vec()));
            }
            heads.pop_first().filter(|_| heads.is_empty())
        })
        .await?;
        Ok(head)
    }

    /// What everybody wrote is kept beside the logs: disks that are mounted here are gone with this program.
    pub(crate) fn keep(&self) -> Result<()> {
        if self.ground == Ground::Loopback {
            return Ok(());
        }
        for member in self.nodes.iter().chain(&self.agents) {
            let mut kept = member.disk.as_os_str().to_owned();
            kept.push(".kept");
            let (disk, kept) = (member.disk.display(), kept.display());
            run("cp", &["-a", &disk.to_string(), &kept.to_string()])?;
        }
        Ok(())
    }

    pub(crate) fn everybody(&self) -> impl Iterator<Item = Who> + use<> {
        let nodes = (0..self.nodes.len()).map(Who::Node);
        nodes.chain((0..self.agents.len()).map(Who::Agent))
    }

    pub(crate) fn member(&self, who: Who) -> Result<&Member> {
        let member = match who {
            Who::Node(place) => self.nodes.get(place),
            Who::Agent(place) => self.agents.get(place),
        };
        member.context("a member has a place")
    }

    pub(crate) fn member_mut(&mut self, who: Who) -> Result<&mut Member> {
        let member = match who {
            Who::Node(place) => self.nodes.get_mut(place),
            Who::Agent(place) => self.agents.get_mut(place),
        };
        member.context("a member has a place")
    }

    pub(crate) fn members(&mut self) -> impl Iterator<Item = &mut Member> {
        self.nodes.iter_mut().chain(&mut self.agents)
    }
}
