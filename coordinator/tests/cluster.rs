//! Nodes in one process, on real disks and loopback ports: elections, forwarding, restarts,
//! membership.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::net::TcpListener;
use std::time::Duration;

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use skein_coordinator::{Config, Running, charter, config};
use skein_proto::v1;
use skein_proto::v1::cluster_client::ClusterClient;
use skein_proto::v1::fleet_client::FleetClient;
use skein_proto::v1::planner_client::PlannerClient;
use skein_proto::v1::rollouts_client::RolloutsClient;
use tempfile::TempDir;
use tonic::transport::Channel;

/// Free ports: bound, read, released. Another process may take one in between; the test then fails
/// at its start and says so.
fn addresses(count: usize) -> Vec<String> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
}

fn configs(root: &TempDir, count: usize) -> Vec<Config> {
    let addresses = addresses(count);
    let members: Vec<(u64, String)> = (1..).zip(addresses.iter().cloned()).collect();
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
            charter_bound: "cdd01ef066bc6cf2".to_owned(),
            raft: config::Raft {
                heartbeat_ms: 100,
                election_min_ms: 400,
                election_max_ms: 800,
                ..config::Raft::default()
            },
            lease_ms: 2_000,
        })
        .collect()
}

fn asker() -> v1::Asker {
    v1::Asker {
        request_id: uuid::Uuid::now_v7().into_bytes().to_vec().into(),
        actor: "test".to_owned(),
        charter: charter::hash(charter::DEFAULT.as_bytes()).0.to_vec().into(),
    }
}

/// Waits until the answer is yes, for at most 20 seconds.
async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let wait = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("{what}"));
}

async fn leader(nodes: &[&Running]) -> u64 {
    let mut leader = 0;
    until("a leader is elected", || async {
        for node in nodes {
            let members = ClusterClient::new(node.channel())
                .members(v1::MembersRequest {})
                .await
                .unwrap()
                .into_inner();
            if members.leader == 0 || members.charter.iter().all(|byte| *byte == 0) {
                return false;
            }
        }
        true
    })
    .await;
    for node in nodes {
        let members = ClusterClient::new(node.channel()).members(v1::MembersRequest {}).await;
        leader = members.unwrap().into_inner().leader;
    }
    leader
}

fn bundle() -> (Vec<u8>, Vec<u8>) {
    let script = |text: &str| v1::Script {
        file: "0001_users.up.sql".to_owned(),
        line: 1,
        text: text.to_owned(),
        raw_digest: Sha256::digest(text).to_vec().into(),
        normalised_digest: Sha256::digest(text).to_vec().into(),
        facts: vec![v1::ScriptFacts {
            engine: v1::Engine::Sqlite.into(),
            mode: v1::TransactionMode::OneTransaction.into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let bundle = v1::Bundle {
        format: "golang-migrate".to_owned(),
        migrations: vec![v1::Migration {
            version: "1".to_owned(),
            name: "users".to_owned(),
            up: Some(script("CREATE TABLE users (id)")),
            down: Some(script("DROP TABLE users")),
            ..Default::default()
        }],
    }
    .encode_to_vec();
    let digest = Sha256::digest(&bundle).to_vec();
    (bundle, digest)
}

async fn put_bundle(channel: Channel) -> Vec<u8> {
    let (content, digest) = bundle();
    let part = v1::PutBundleRequest {
        asker: Some(asker()),
        digest: digest.clone().into(),
        total_bytes: content.len() as u64,
        data: content.into(),
    };
    FleetClient::new(channel).put_bundle(futures::stream::iter([part])).await.unwrap();
    digest
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_lead_forward_and_survive_a_restart() {
    let root = TempDir::new().unwrap();
    let configs = configs(&root, 3);
    let mut nodes = Vec::new();
    for config in &configs {
        nodes.push(skein_coordinator::start(config.clone()).await.unwrap());
    }
    let first = leader(&nodes.iter().collect::<Vec<_>>()).await;

    // Through each node, leader or not.
    for node in &nodes {
        let digest = put_bundle(node.channel()).await;
        assert_eq!(digest.len(), 32);
        let status = RolloutsClient::new(node.channel())
            .status(v1::StatusRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(status.leader, first);
        let compliance = status.compliance.unwrap();
        assert_eq!(compliance.events, compliance.under_charter);
        assert_eq!(status.charter_bound, "cdd01ef066bc6cf2");
    }

    // Nobody serves a target: a plan is refused, and says why.
    let spec = v1::PlanSpec {
        bundle: put_bundle(nodes[0].channel()).await.into(),
        direction: v1::Direction::Up.into(),
        goal: Some(v1::Goal { goal: Some(v1::goal::Goal::Latest(true)) }),
        strategy: Some(v1::Strategy { parallelism: 1, ..Default::default() }),
        ..Default::default()
    };
    let request = v1::PlanRequest { asker: Some(asker()), spec: Some(spec), dry: false };
    let refused = PlannerClient::new(nodes[1].channel()).plan(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound, "{refused}");
    assert_eq!(refused.metadata().get("skein-exit").unwrap(), "2");

    // The leader stops; another one takes over with everything in it.
    let gone = nodes.remove(usize::try_from(first).unwrap() - 1);
    gone.shutdown().await;
    until("another node leads", || async {
        let members = ClusterClient::new(nodes[0].channel()).members(v1::MembersRequest {}).await;
        let leader = members.unwrap().into_inner().leader;
        leader != 0 && leader != first
    })
    .await;
    put_bundle(nodes[0].channel()).await;

    // It comes back and catches up.
    let config = configs[usize::try_from(first).unwrap() - 1].clone();
    nodes.push(skein_coordinator::start(config).await.unwrap());
    let heads = || async {
        let mut heads = Vec::new();
        for node in &nodes {
            let head = v1::audit_client::AuditClient::new(node.channel())
                .head(v1::HeadRequest { size: 0 })
                .await
                .unwrap()
                .into_inner();
            heads.push((head.size, head.root));
        }
        heads
    };
    until("all histories are equal", || async {
        let heads = heads().await;
        heads.iter().all(|head| head == &heads[0])
    })
    .await;
    for node in nodes {
        node.shutdown().await;
    }
}
