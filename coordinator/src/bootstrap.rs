//! The first start of a cluster: its membership, its charter.

use openraft::async_runtime::WatchReceiver as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use skein_core::command::{Command, Request};
use skein_core::ids::Millis;
use skein_core::policy::Policy;
use skein_proto::raft::v1::{HistoryJointRequest, IntroduceReply, IntroduceRequest};
use skein_store::{Node, StoreId};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::config::Config;
use crate::raft::{Identity, Machine, Peers, Raft, wiped};
use crate::sequencer::{Failure, Handle};

/// Between two rounds of asking the members.
const AGAIN: Duration = Duration::from_millis(200);
/// How long one of them may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// What the members say to a node that holds nothing.
enum Round {
    /// All hold nothing: their stores.
    AllNew(BTreeMap<u64, StoreId>),
    /// The cluster is there, and knows this node by another store, or by none.
    Wiped(u64),
    /// The cluster is there and will name this node, or these did not answer.
    Open(Vec<u64>),
}

/// A node that holds nothing finds out whether it may take part. The member with the lowest number
/// proposes the membership once every member has said that it holds nothing; the others wait to be
/// named. A member that the cluster remembers lost its disk, and may not.
pub(crate) async fn bootstrap(
    config: Config,
    identity: Identity,
    raft: Raft,
    (peers, stop): (Peers, CancellationToken),
) {
    let first = config.members.iter().map(|(node, _)| *node).min();
    let mut said = None;
    while !identity.takes_part() && !config.members.is_empty() {
        match ask(&config, &identity, &peers).await {
            Round::Wiped(peer) => {
                identity.condemn(wiped(identity.node, &format!("node {peer}")));
                return;
            }
            Round::AllNew(stores) if first == Some(config.node) => {
                let members: BTreeMap<u64, Node> = config
                    .members
                    .iter()
                    .map(|(node, address)| {
                        let store = stores.get(node).copied().unwrap_or_default();
                        (*node, Node { addr: address.clone(), store })
                    })
                    .collect();
                identity.take_part();
                if let Err(error) = raft.initialize(members).await {
                    tracing::error!(%error, "the cluster could not be formed");
                }
                return;
            }
            Round::AllNew(_) => {}
            Round::Open(silent) => {
                if said.as_ref() != Some(&silent) && !silent.is_empty() {
                    tracing::info!(
                        ?silent,
                        "this node holds nothing and waits: all members must answer before a cluster is formed"
                    );
                }
                said = Some(silent);
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

async fn ask(config: &Config, identity: &Identity, peers: &Peers) -> Round {
    let mut stores = BTreeMap::from([(identity.node, identity.store())]);
    let mut silent = Vec::new();
    let mut exists = false;
    for (node, address) in config.members.iter().filter(|(node, _)| *node != config.node) {
        match introduce(peers, identity, (*node, address)).await {
            Ok(reply) if reply.remembers => {
                exists = true;
                let ours = StoreId::read(&reply.known_store) == Some(identity.store());
                if reply.member && !ours {
                    return Round::Wiped(*node);
                }
            }
            Ok(reply) => {
                stores.insert(*node, StoreId::read(&reply.store).unwrap_or_default());
            }
            // An older release: it cannot say what it knows of this node, but whether the cluster is there.
            Err(status) if status.code() == Code::Unimplemented => {
                silent.push(*node);
                if has_history(peers, identity, (*node, address)).await {
                    return Round::Wiped(*node);
                }
            }
            Err(_) => silent.push(*node),
        }
    }
    if exists || !silent.is_empty() { Round::Open(silent) } else { Round::AllNew(stores) }
}

/// Asks a node who it is, and what it knows of this one.
pub(crate) async fn introduce(
    peers: &Peers,
    identity: &Identity,
    (node, address): (u64, &str),
) -> Result<IntroduceReply, Status> {
    let mut client =
        peers.client(address).map_err(|error| Status::unavailable(error.to_string()))?;
    let route = Some(identity.route(node, StoreId::default()));
    let asked = client.introduce(IntroduceRequest { route });
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(reply) => reply.map(tonic::Response::into_inner),
        Err(_elapsed) => Err(Status::unavailable(format!("node {node} does not answer"))),
    }
}

async fn has_history(peers: &Peers, identity: &Identity, (node, address): (u64, &str)) -> bool {
    let Ok(mut client) = peers.client(address) else { return false };
    let route = Some(identity.route(node, StoreId::default()));
    let asked = client.history_joint(HistoryJointRequest { route });
    let asked = tokio::time::timeout(ANSWER, asked).await;
    asked.is_ok_and(|reply| reply.is_ok_and(|reply| reply.into_inner().size > 0))
}

/// The first events: whoever leads first says which charter the cluster stands under, and what it
/// demands.
pub(crate) async fn form(
    config: Config,
    policy: Policy,
    machine: Arc<Machine>,
    raft: Raft,
    (sequencer, stop): (Handle, CancellationToken),
) {
    let mut changes = machine.changes();
    let mut lead = raft.server_metrics();
    loop {
        let cluster = machine.fleet().cluster.clone();
        let command = match &cluster {
            Some(cluster) if cluster.policy.is_some() => return,
            Some(_) => Command::AdoptCharter {
                policy,
                text: String::from_utf8_lossy(&config.charter).into_owned(),
            },
            None => Command::FormCluster {
                cluster: config.cluster_id(),
                charter: config.charter_hash(),
                bound: config.charter_bound.clone(),
            },
        };
        let request = Request {
            id: None,
            digest: 0,
            actor: format!("coordinator/{}", config.node),
            charter: config.charter_hash(),
            now: Millis(0),
            command,
        };
        let mut taken = false;
        if !config.members.is_empty() {
            match sequencer.ask(request).await {
                Ok(_) => taken = true,
                Err(Failure::NotLeader | Failure::Unknown(_)) => {}
                Err(Failure::Refused(refusal)) => {
                    tracing::error!(%refusal, "the cluster stands under another charter");
                    return;
                }
            }
        }
        if taken {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changes.changed() => {}
            // Who leads is asked for again until the first events are there.
            changed = lead.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(Duration::from_millis(config.raft.heartbeat_ms)) => {}
        }
    }
}
