//! Nodes in this process.

use std::net::TcpListener;
use std::time::Duration;

use skein_coordinator::{Config, Running, charter, config};
use skein_proto::v1;
use skein_proto::v1::cluster_client::ClusterClient;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);

/// A node that is alone, without a port.
pub(crate) fn single(root: &TempDir, lease_ms: u32) -> Config {
    let charter = charter::DEFAULT.as_bytes().to_vec();
    Config { lease_ms, ..Config::embedded(&root.path().join("data"), charter) }
}

/// Nodes on ports that were free just now.
pub(crate) fn configs(root: &TempDir, count: u64) -> Vec<Config> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses = held.iter().map(|held| held.local_addr().unwrap().to_string());
    let members: Vec<(u64, String)> = (1..).zip(addresses).collect();
    members
        .iter()
        .map(|(node, address)| Config {
            node: *node,
            cluster: "test".to_owned(),
            data: root.path().join(format!("node-{node}")),
            listen: Some(address.parse().unwrap()),
            metrics: None,
            advertise: address.clone(),
            members: members.clone(),
            charter: charter::DEFAULT.as_bytes().to_vec(),
            charter_bound: String::new(),
            raft: config::Raft {
                heartbeat_ms: 100,
                election_min_ms: 400,
                election_max_ms: 800,
                ..config::Raft::default()
            },
            lease_ms: 5_000,
        })
        .collect()
}

/// Waits for it, for at most 20 seconds.
pub(crate) async fn limit<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("{what}: not in {LIMIT:?}"))
}

/// Waits until the answer is yes, for at most 20 seconds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    limit(what, async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn members(node: &Running) -> v1::MembersReply {
    let reply = ClusterClient::new(node.channel()).members(v1::MembersRequest {}).await;
    reply.unwrap().into_inner()
}

/// Who leads, as a node sees it; 0: nobody.
pub(crate) async fn leader(node: &Running) -> u64 {
    members(node).await.leader
}

/// Waits until a node knows a leader and the charter is adopted. Who leads.
pub(crate) async fn formed(node: &Running) -> u64 {
    until("the cluster is formed", || async {
        let mut events = v1::audit_client::AuditClient::new(node.channel());
        let head = events.head(v1::HeadRequest { size: 0 }).await.unwrap().into_inner();
        head.size >= 2 && members(node).await.leader != 0
    })
    .await;
    leader(node).await
}
