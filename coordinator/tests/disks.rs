//! What a node does when its disk fails it, and what it fetches when it was away for long.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[expect(dead_code, reason = "shared with the tests of sessions")]
mod support;

use std::time::Duration;

use skein_coordinator::config;
use skein_proto::v1;
use support::fleet::put_bundle;
use support::node::{configs, formed, limit, single, until};
use tempfile::TempDir;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_fails_says_so_and_still_stops() {
    let root = TempDir::new().unwrap();
    let config = single(&root, 5_000);
    let blobs = config.data.join("blobs");
    let node = skein_coordinator::start(config).await.unwrap();
    formed(&node).await;
    // A file in the directory's place: nothing can be written there.
    std::fs::remove_dir_all(&blobs).unwrap();
    std::fs::write(&blobs, b"").unwrap();
    let channel = node.channel();
    let put = tokio::spawn(async move { put_bundle(channel, 1).await });
    let why = limit("the failure is told", node.failed()).await;
    assert!(!why.is_empty());
    assert!(put.await.is_err(), "what was not stored was acknowledged");
    timeout(Duration::from_secs(10), node.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_while_the_log_was_purged_has_the_history_and_the_bundles() {
    let root = TempDir::new().unwrap();
    let mut configs = configs(&root, 3);
    for config in &mut configs {
        config.raft = config::Raft { snapshot_after: 10, keep_entries: 2, ..config.raft.clone() };
    }
    let mut nodes = Vec::new();
    for config in &configs {
        nodes.push(skein_coordinator::start(config.clone()).await.unwrap());
    }
    for node in &nodes {
        formed(node).await;
    }
    // A follower that stops does not wait for its leader, which goes on sending to it.
    let stopped = timeout(Duration::from_secs(8), nodes.remove(2).shutdown()).await;
    assert!(stopped.is_ok(), "the follower did not stop in time");
    until("the others lead", || async {
        ![0, 3].contains(&support::node::leader(&nodes[0]).await)
    })
    .await;
    let mut digests = Vec::new();
    for number in 1..=60 {
        digests.push(put_bundle(nodes[0].channel(), number).await);
    }
    nodes.push(skein_coordinator::start(configs[2].clone()).await.unwrap());
    let head = |at: usize| {
        let channel = nodes[at].channel();
        async move {
            let mut audit = v1::audit_client::AuditClient::new(channel);
            let head = audit.head(v1::HeadRequest { size: 0 }).await.unwrap().into_inner();
            (head.size, head.root)
        }
    };
    until("the histories are equal", || async { head(0).await == head(2).await }).await;
    let hex = |digest: &Vec<u8>| {
        let digest = <[u8; 32]>::try_from(digest.as_slice()).unwrap();
        skein_store::Digest(digest).to_string()
    };
    let blobs = configs[2].data.join("blobs");
    until("the bundles are there", || async {
        digests.iter().all(|digest| blobs.join(hex(digest)).is_file())
    })
    .await;
    for node in nodes {
        node.shutdown().await;
    }
}
