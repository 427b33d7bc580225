//! Writing what the release under way leaves behind. Asked for by `cargo xtask fixtures`, which names the
//! directory in `SKEIN_WRITE_RELEASE`; without it nothing is written.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{Agent, AgentSpec, Cli, Cluster, Project, Server, Timing};
use crate::{ADDRESSES, copy, releases, schema, session};

/// What a node makes again by itself, or holds only while it runs.
const DERIVED: [&str; 3] = ["index", "lock", "LOCK"];

#[tokio::test(flavor = "multi_thread")]
async fn the_release_under_way_is_written_when_asked_for() {
    let Ok(version) = std::env::var("SKEIN_WRITE_RELEASE") else { return };
    let place = releases().join(&version);
    assert!(!place.exists(), "{} is there: what a release wrote is never changed", place.display());
    let project = Arc::new(Project::new("release"));
    let addresses = ADDRESSES.map(str::to_owned).to_vec();
    let mut cluster = Cluster::configure(&project, addresses, Timing::default(), "");
    for node in cluster.numbers() {
        cluster.start_node(node);
    }
    cluster.leader().await;
    let server = Server::sqlite(&project.join("db"));
    let mut databases = Vec::new();
    for number in 1..=3 {
        databases.push(server.database(&format!("t/{number}")).await);
    }
    let agent = Agent::start(&project, &cluster, &AgentSpec::new("a1").serve(&databases));
    let ids: Vec<&str> = databases.iter().map(|database| database.id.as_str()).collect();
    Agent::until_observed(&cluster.client(cluster.leader().await), &ids).await;
    let cli = Cli::new(&project, &cluster, "");
    rollouts(&project, &cli, &databases[2]).await;

    let (size, root) = cluster.settled().await;
    let status = cli.run("status -o json").await.exits(0).json();
    let root = skein_tests::hex(&root);
    let ends: Vec<Value> = status["rollouts"]
        .as_array()
        .expect("rollouts are listed")
        .iter()
        .map(|rollout| json!({ "id": rollout["id"], "state": rollout["state"] }))
        .collect();
    let expected = json!({ "events": size, "root": root, "rollouts": ends });
    drop(agent);
    for node in cluster.numbers() {
        let process = cluster.process(node).expect("it was started");
        assert_eq!(process.terminate(), Some(0));
        copy(&cluster.data(node), &place.join(format!("data/node-{node}")), &DERIVED);
    }
    let text = serde_json::to_string_pretty(&expected).expect("JSON can be written");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(place.join(name), bytes).expect("a fixture can be written");
    };
    write("expected.json", format!("{text}\n").as_bytes());
    write("session.bin", &session::messages());
    write("schema.txt", schema::schema().as_bytes());
}

/// Rollouts that end in each way: completed, rolled back by itself and by hand, halted.
async fn rollouts(project: &Project, cli: &Cli, odd: &crate::support::Database) {
    let table = |version: u32| {
        let up = format!("CREATE TABLE t{version} (id integer primary key);\n");
        project.write(&format!("m/{version:04}_step.up.sql"), &up);
        let down = format!("DROP TABLE t{version};\n");
        project.write(&format!("m/{version:04}_step.down.sql"), &down);
    };
    table(1);
    table(2);
    cli.run("migrate m").await.exits(0);
    // Fails on one target: all are unwound.
    odd.raw("CREATE TABLE t3 (id integer)").await.expect("a table can be made");
    table(3);
    cli.run("migrate m --accept-drift --on-breach rollback-rollout --retries 0").await.exits(30);
    cli.run("migrate m --accept-drift --on-breach halt --retries 0").await.exits(31);
    odd.raw("DROP TABLE t3").await.expect("a table can be dropped");
    cli.run("targets observe").await.exits(0);
    cli.run("migrate m --accept-drift").await;
    cli.run("targets retire t/3 --reason sold").await;
}
