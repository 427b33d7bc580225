//! Nodes in one process, on real disks and loopback ports: elections, forwarding, restarts,
//! membership.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[expect(dead_code, reason = "shared with the tests of sessions")]
mod support;

use skein_coordinator::Config;
use skein_proto::v1;
use skein_proto::v1::planner_client::PlannerClient;
use skein_proto::v1::rollouts_client::RolloutsClient;
use support::fleet::{asker, put_bundle};
use support::node::{configs, formed, leader, until};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_lead_forward_and_survive_a_restart() {
    let root = TempDir::new().unwrap();
    let bound = |config| Config { charter_bound: "cdd01ef066bc6cf2".to_owned(), ..config };
    let configs: Vec<Config> = configs(&root, 3).into_iter().map(bound).collect();
    let mut nodes = Vec::new();
    for config in &configs {
        nodes.push(skein_coordinator::start(config.clone()).await.unwrap());
    }
    let mut first = 0;
    for node in &nodes {
        first = formed(node).await;
    }

    // Through each node, leader or not.
    for node in &nodes {
        let digest = put_bundle(node.channel(), 0).await;
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
        bundle: put_bundle(nodes[0].channel(), 0).await.into(),
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
    until("another node leads", || async { ![0, first].contains(&leader(&nodes[0]).await) }).await;
    put_bundle(nodes[0].channel(), 0).await;

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
