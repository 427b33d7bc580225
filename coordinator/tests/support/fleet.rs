//! Something to roll out.

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use skein_coordinator::charter;
use skein_proto::v1;
use skein_proto::v1::fleet_client::FleetClient;
use skein_proto::v1::planner_client::PlannerClient;
use skein_proto::v1::rollouts_client::RolloutsClient;
use tonic::transport::Channel;

/// A test, with a request id of its own.
pub(crate) fn asker() -> v1::Asker {
    v1::Asker {
        request_id: uuid::Uuid::now_v7().into_bytes().to_vec().into(),
        actor: "test".to_owned(),
        charter: charter::hash(charter::DEFAULT.as_bytes()).0.to_vec().into(),
    }
}

/// Stores the bundle of that number, with one migration in it. Its digest.
pub(crate) async fn put_bundle(channel: Channel, number: usize) -> Vec<u8> {
    let script = |text: String| v1::Script {
        file: "0001_users.sql".to_owned(),
        line: 1,
        raw_digest: Sha256::digest(&text).to_vec().into(),
        normalised_digest: Sha256::digest(&text).to_vec().into(),
        text,
        facts: vec![v1::ScriptFacts {
            engine: v1::Engine::Sqlite.into(),
            mode: v1::TransactionMode::OneTransaction.into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let content = v1::Bundle {
        format: "golang-migrate".to_owned(),
        migrations: vec![v1::Migration {
            version: "1".to_owned(),
            name: "users".to_owned(),
            up: Some(script(format!("CREATE TABLE users{number} (id)"))),
            down: Some(script(format!("DROP TABLE users{number}"))),
            ..Default::default()
        }],
    }
    .encode_to_vec();
    let digest = Sha256::digest(&content).to_vec();
    let part = v1::PutBundleRequest {
        asker: Some(asker()),
        digest: digest.clone().into(),
        total_bytes: content.len() as u64,
        data: content.into(),
    };
    FleetClient::new(channel).put_bundle(futures::stream::iter([part])).await.unwrap();
    digest
}

/// Plans everything everywhere, without a backup. The rollout's id.
pub(crate) async fn plan(channel: Channel) -> String {
    plan_in(channel, Vec::new()).await
}

/// The same, in these waves.
pub(crate) async fn plan_in(channel: Channel, waves: Vec<v1::WaveSpec>) -> String {
    let spec = v1::PlanSpec {
        bundle: put_bundle(channel.clone(), 0).await.into(),
        direction: v1::Direction::Up.into(),
        goal: Some(v1::Goal { goal: Some(v1::goal::Goal::Latest(true)) }),
        strategy: Some(v1::Strategy {
            waves,
            parallelism: 4,
            backup: v1::BackupScope::BackupNone.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = v1::PlanRequest { asker: Some(asker()), spec: Some(spec), dry: false };
    PlannerClient::new(channel).plan(request).await.unwrap().into_inner().rollout
}

/// Starts a planned rollout. Its id.
pub(crate) async fn start_rollout(channel: Channel, plan: &str) -> String {
    let request =
        v1::StartRequest { asker: Some(asker()), plan: plan.to_owned(), waivers: Vec::new() };
    RolloutsClient::new(channel).start(request).await.unwrap().into_inner().rollout
}
