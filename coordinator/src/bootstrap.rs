//! The first start of a cluster: its membership, its charter.

use openraft::async_runtime::WatchReceiver as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use skein_core::command::{Command, Request};
use skein_core::ids::Millis;
use skein_core::policy::Policy;
use skein_proto::raft::v1::HistoryJointRequest;
use skein_store::Node;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::node::StartError;
use crate::raft::{Identity, Machine, Peers, Raft};
use crate::sequencer::{Failure, Handle};

/// The first start of a cluster: the member with the lowest number proposes the membership, unless a
/// member says that the cluster exists.
pub(crate) async fn bootstrap(
    config: &Config,
    identity: Identity,
    raft: &Raft,
    peers: &Peers,
) -> Result<(), StartError> {
    let pristine =
        !raft.is_initialized().await.map_err(|error| StartError::Raft(error.to_string()))?;
    let first = config.members.iter().map(|(node, _)| *node).min();
    if !pristine || first != Some(config.node) {
        return Ok(());
    }
    for (node, address) in config.members.iter().filter(|(node, _)| *node != config.node) {
        let Ok(mut client) = peers.client(address) else { continue };
        let request = HistoryJointRequest { route: Some(identity.route(*node)) };
        let asked = tokio::time::timeout(Duration::from_secs(2), client.history_joint(request));
        if let Ok(Ok(reply)) = asked.await
            && reply.into_inner().size > 0
        {
            return Err(StartError::Wiped { peer: *node });
        }
    }
    let members: BTreeMap<u64, Node> = config
        .members
        .iter()
        .map(|(node, address)| (*node, Node { addr: address.clone() }))
        .collect();
    raft.initialize(members).await.map_err(|error| StartError::Raft(error.to_string()))
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
