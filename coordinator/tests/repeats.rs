//! A request that was accepted, and whose answer was lost: asked again under its id it gets that answer, though the
//! fleet has gone on since and the same words would be refused by now.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[expect(dead_code, reason = "each file of tests uses its own part")]
mod support;

use skein_coordinator::Running;
use skein_proto::agent::v1 as wire;
use skein_proto::v1;
use skein_proto::v1::rollouts_client::RolloutsClient;
use support::agent::{Agent, attach, report};
use support::fleet::{asker, plan_in, start_rollout};
use support::node::{formed, single, until};
use tempfile::TempDir;
use wire::report::Outcome;

const TARGET: &str = "eu/orders-1";

async fn status(node: &Running, rollout: &str) -> v1::RolloutStatus {
    let request = v1::StatusRequest { rollout: rollout.to_owned(), ..Default::default() };
    let reply = RolloutsClient::new(node.channel()).status(request).await.unwrap().into_inner();
    reply.rollouts.into_iter().next().unwrap()
}

async fn comes_to(node: &Running, rollout: &str, state: v1::RolloutState) {
    let there = || async { status(node, rollout).await.state() == state };
    until(&format!("the rollout is {}", state.as_str_name()), there).await;
}

/// Carries a leg out, and waits until that is known.
async fn carried_out(agent: &mut Agent, outcomes: Vec<Outcome>) {
    let leg = agent.leg().await;
    let reports = (1..).zip(outcomes).map(|(id, outcome)| report(id, &leg, outcome));
    let reports: Vec<_> = reports.collect();
    let ids: Vec<u64> = reports.iter().map(|report| report.id).collect();
    agent.say(reports).await;
    assert_eq!(agent.acknowledged().await.ids, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_and_a_rollback_get_their_first_answer_again() {
    let root = TempDir::new().unwrap();
    let node = skein_coordinator::start(single(&root, 5_000)).await.unwrap();
    formed(&node).await;
    let mut agent = attach(node.channel(), "a", &[TARGET]).await;
    agent.observe(TARGET, node.channel()).await;
    let wave = v1::WaveSpec { name: "all".to_owned(), approval: true, ..Default::default() };
    let planned = plan_in(node.channel(), vec![wave]).await;
    let rollout = start_rollout(node.channel(), &planned).await;
    let mut rollouts = RolloutsClient::new(node.channel());

    // Whichever wave is the next: it is open when the question comes again.
    let approve = v1::ApproveRequest {
        asker: Some(asker()),
        rollout: rollout.clone(),
        reason: "looked at".to_owned(),
        wave: 0,
    };
    let first = rollouts.approve(approve.clone()).await.unwrap().into_inner();
    let again = rollouts.approve(approve.clone()).await.unwrap().into_inner();
    assert_eq!(first, again);
    let anew = v1::ApproveRequest { asker: Some(asker()), ..approve };
    let refused = rollouts.approve(anew).await.unwrap_err();
    assert!(refused.message().contains("waits for anybody's word"), "{refused}");

    let applied = Outcome::Applied(wire::Applied { ms: 1, ..Default::default() });
    let verified = wire::Verified { fingerprint: vec![8; 32].into(), ..Default::default() };
    let exempt = Outcome::BackedUp(wire::BackedUp {
        exemption: "no backup is asked for".to_owned(),
        scope: v1::BackupScope::BackupNone.into(),
        fingerprint: vec![7; 32].into(),
        ..Default::default()
    });
    carried_out(&mut agent, vec![exempt, applied, Outcome::Verified(verified)]).await;
    comes_to(&node, &rollout, v1::RolloutState::Completed).await;

    // Where version 1 is in force: nowhere, when it has been taken back.
    let selector = v1::Selector {
        labels: vec![v1::LabelMatch::default()],
        r#where: "version.at_least(\"1\")".to_owned(),
        ..Default::default()
    };
    let roll_back = v1::RollBackRequest {
        asker: Some(asker()),
        rollout: rollout.clone(),
        selector: Some(selector),
        ..Default::default()
    };
    let first = rollouts.roll_back(roll_back.clone()).await.unwrap().into_inner();
    assert_eq!(first.undo.len(), 1, "{first:?}");
    let rolled_back = wire::RolledBack { fingerprint: vec![7; 32].into(), ..Default::default() };
    carried_out(&mut agent, vec![Outcome::RolledBack(rolled_back)]).await;
    comes_to(&node, &rollout, v1::RolloutState::RolledBack).await;
    let again = rollouts.roll_back(roll_back.clone()).await.unwrap().into_inner();
    assert_eq!(again.rollout, first.rollout);
    let anew = v1::RollBackRequest { asker: Some(asker()), ..roll_back };
    let refused = rollouts.roll_back(anew).await.unwrap_err();
    assert!(refused.message().contains("did nothing on the selected targets"), "{refused}");
    node.shutdown().await;
}
