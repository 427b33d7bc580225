//! Members whose store is not on record, put on record by the leader. Memberships from before stores
//! had ids name none: after an upgrade each member is asked once, and counts from then on as the node with
//! that store.

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver as _;
use std::collections::BTreeMap;
use std::time::Duration;

use skein_store::{Node, StoreId};
use tokio_util::sync::CancellationToken;

use crate::bootstrap::introduce;
use crate::raft::{Identity, Peers, Raft};

/// Between two looks: nothing waits for it.
const AGAIN: Duration = Duration::from_secs(2);

/// Runs until the node stops.
pub(crate) async fn call_the_roll(
    identity: Identity,
    raft: Raft,
    peers: Peers,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
        let unknown = unknown(&raft, identity.node);
        let mut found = BTreeMap::new();
        for (number, node) in unknown {
            let store = if number == identity.node {
                identity.store()
            } else {
                match introduce(&peers, &identity, (number, &node.addr)).await {
                    // A store that holds nothing is not the one that the member had.
                    Ok(reply) if reply.remembers => StoreId::read(&reply.store).unwrap_or_default(),
                    Ok(_) | Err(_) => continue,
                }
            };
            found.insert(number, Node { store, ..node });
        }
        if found.is_empty() {
            continue;
        }
        let numbers: Vec<u64> = found.keys().copied().collect();
        match raft.change_membership(ChangeMembers::SetNodes(found), true).await {
            Ok(_) => tracing::info!(?numbers, "the stores of these members are on record now"),
            // Another change of membership is under way, or the lead is lost.
            Err(error) => tracing::info!(%error, "stores could not be put on record yet"),
        }
    }
}

/// The members whose store is not on record; none where another node leads.
fn unknown(raft: &Raft, own: u64) -> Vec<(u64, Node)> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    if metrics.current_leader != Some(own) {
        return Vec::new();
    }
    let membership = metrics.membership_config.membership();
    let unknown = membership.nodes().filter(|(_, node)| !node.store.is_known());
    unknown.map(|(number, node)| (*number, node.clone())).collect()
}
