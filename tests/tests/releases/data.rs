//! The data directories of each release: verified, replayed, served, and gone on with.

use std::path::Path;
use std::sync::Arc;

use prost::Message as _;
use serde_json::Value;
use skein_agent::wire;
use skein_proto::log::v1 as log;
use skein_proto::v1;

use crate::support::{Agent, AgentSpec, Cli, Cluster, Project, Server, Timing};
use crate::{ADDRESSES, copy, each_release};

/// A cluster on what a release left, and what it must be.
pub(crate) async fn start(project: &Arc<Project>, release: &Path) -> (Cluster, Value) {
    copy(&release.join("data"), project.path(), &[]);
    let expected = std::fs::read(release.join("expected.json")).expect("it was written");
    let expected = serde_json::from_slice(&expected).expect("it is JSON");
    let addresses = ADDRESSES.map(str::to_owned).to_vec();
    let mut cluster = Cluster::configure(project, addresses, Timing::default(), "");
    for node in cluster.numbers() {
        cluster.start_node(node);
    }
    cluster.leader().await;
    (cluster, expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_each_release_is_read_and_gone_on_with() {
    for release in each_release() {
        let project = Arc::new(Project::new("release"));
        let (cluster, expected) = start(&project, &release).await;
        let client = cluster.client(cluster.leader().await);
        let size = expected["events"].as_u64().expect("a number");

        // The same history, event for event and byte for byte.
        let head = client.head(size).await.expect("the leader answers");
        let root = skein_tests::hex(&head.root);
        assert_eq!(expected["root"], root, "{}", release.display());
        let request = v1::EventsRequest::default();
        let mut stream = client.audit().events(request).await.expect("it answers").into_inner();
        let mut events = 0;
        while let Some(reply) = stream.message().await.expect("the stream goes on") {
            let event = log::Event::decode(reply.event.as_ref()).expect("an event can be read");
            assert!(event.body.is_some(), "event {} is of no known kind", reply.seq);
            assert_eq!(event.encode_to_vec(), reply.event, "event {} has unknown parts", reply.seq);
            events += 1;
        }
        assert!(events >= size, "{events} of {size}");
        bundles(&release.join("data/node-1/blobs"));

        // The same fleet, and it goes on.
        let server = Server::sqlite(&project.join("db"));
        let databases = [server.database("new/1").await];
        let agent = Agent::start(&project, &cluster, &AgentSpec::new("a9").serve(&databases));
        Agent::until_observed(&client, &["new/1"]).await;
        let cli = Cli::new(&project, &cluster, "");
        let status = cli.run("status -o json").await.exits(0).json();
        for ended in expected["rollouts"].as_array().expect("rollouts are listed") {
            let id = ended["id"].as_str().expect("an id");
            let now = cli.run(&format!("status {id} -o json")).await.exits(0).json();
            assert_eq!(now["state"], ended["state"], "{id} in {status}");
        }
        project.write("m/0001_new.up.sql", "CREATE TABLE new_1 (id integer primary key);\n");
        project.write("m/0001_new.down.sql", "DROP TABLE new_1;\n");
        cli.run("migrate m --on new/1").await.exits(0);
        assert_eq!(databases[0].in_force().await, ["1"]);
        cluster.settled().await;
        cli.run("history verify").await.exits(0);
        drop(agent);
    }
}

/// Bundles are named after their bytes, and come back as they were written.
fn bundles(dir: &Path) {
    let mut count = 0;
    for entry in std::fs::read_dir(dir).expect("there are bundles") {
        let path = entry.expect("they can be listed").path();
        let bytes = std::fs::read(&path).expect("a bundle can be read");
        let bundle = wire::decode(&bytes).expect("a bundle is understood");
        assert_eq!(wire::encode(&bundle), bytes, "{}", path.display());
        count += 1;
    }
    assert!(count > 0, "no bundle is in {}", dir.display());
}
