//! Nothing runs outside of the charter: a request under another one is refused, by whomever and
//! however it is made, and leaves nothing behind.

mod support;

use std::sync::Arc;
use std::time::Duration;

use skein_proto::agent::v1 as session;
use skein_proto::agent::v1::session_client::SessionClient;
use skein_proto::v1;
use support::{Agent, AgentSpec, Cli, Client, Cluster, Project, Server, until};
use tonic::{Code, Status};

const LIMIT: Duration = Duration::from_secs(20);

/// A denial, with what a program needs to act upon it.
#[track_caller]
fn denied<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let status = answer.expect_err("a request under another charter was carried out");
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    let exit = status.metadata().get("skein-exit").and_then(|value| value.to_str().ok());
    assert_eq!(exit, Some("51"), "{status:?}");
    assert!(status.metadata().contains_key("skein-next-bin"), "{status:?}");
    assert!(status.message().contains("charter"), "{status:?}");
}

/// Bytes in a directory, at any depth.
fn weight(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("a data directory can be read");
    let of = |entry: std::fs::DirEntry| {
        let about = entry.metadata().expect("a file has metadata");
        if about.is_dir() { weight(&entry.path()) } else { about.len() }
    };
    entries.filter_map(Result::ok).map(of).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_another_charter_is_refused_and_leaves_nothing() {
    let project = Arc::new(Project::new("charter"));
    project.write("m/0001_a.up.sql", "CREATE TABLE a (id integer primary key);\n");
    project.write("m/0001_a.down.sql", "DROP TABLE a;\n");
    let cluster = Cluster::start(&project).await;
    let server = Server::sqlite(&project.join("db"));
    let databases = [server.database("t/1").await];
    let spec = AgentSpec::new("a1").serve(&databases);
    let agent = Agent::start(&project, &cluster, &spec);
    let leader = cluster.leader().await;
    let client = cluster.client(leader);
    Agent::until_observed(&client, &["t/1"]).await;
    let cli = Cli::new(&project, &cluster, "");
    cli.run("migrate m -o json").await.exits(0);
    project.write("m/0002_b.up.sql", "CREATE TABLE b (id integer primary key);\n");
    project.write("m/0002_b.down.sql", "DROP TABLE b;\n");
    let plan = cli.run("plan m -o json").await.exits(0).json();
    let plan = plan["id"].as_str().expect("a plan has an id").to_owned();
    let before = (cluster.settled().await, databases[0].schema().await);

    // By the command line: each verb that changes something, or makes others do something.
    let other = "0".repeat(64);
    for line in [
        "plan m".to_owned(),
        "plan m --dry-run".to_owned(),
        "migrate m".to_owned(),
        "migrate m --direction down".to_owned(),
        format!("apply --plan {plan}"),
        "pause mig-0001".to_owned(),
        "resume mig-0001".to_owned(),
        "rollback mig-0001 --yes".to_owned(),
        "rollback mig-0001 --dry-run".to_owned(),
        "verify".to_owned(),
        "targets observe".to_owned(),
        "targets retire t/1 --reason gone".to_owned(),
        "cluster add 9 127.0.0.1:1".to_owned(),
        "cluster promote 2".to_owned(),
        "cluster remove 3".to_owned(),
        "cluster transfer 2".to_owned(),
    ] {
        let ran = cli.run(&format!("{line} --charter-hash {other}")).await.exits(51);
        for word in ["error: ", "charter", "next: "] {
            assert!(ran.stderr.contains(word), "{word:?} is missing in {line}\n{}", ran.stderr);
        }
    }
    // A file that differs by one letter is another charter.
    let text = skein_coordinator::charter::DEFAULT.replacen("# The", "# A", 1);
    project.write("other.toml", &text);
    let path = project.write(
        "under-other.toml",
        &format!(
            "[coordinator]\naddresses = {:?}\n[project]\ncharter = \"other.toml\"\n",
            cluster.addresses()
        ),
    );
    let words = ["plan", "m", "--config", path.to_str().expect("a path in words")];
    let mut command = tokio::process::Command::new(support::binary());
    let output = command.args(words).current_dir(project.path()).output().await;
    assert_eq!(output.expect("the program under test starts").status.code(), Some(51));

    over_grpc(&client, &plan).await;
    agents(&client).await;
    an_agent_process(&project, &cluster, &client).await;

    assert_eq!((cluster.settled().await, databases[0].schema().await), before);
    assert_eq!(databases[0].in_force().await, ["1"]);
    let members = client.members().await.expect("the leader answers");
    assert_eq!(members.members.len(), 3);
    a_denied_bundle_reaches_no_disk(&cluster, &client).await;

    // Under the right one all of it is possible, and every event stands under it.
    cli.run(&format!("apply --plan {plan} -o json")).await.exits(0);
    let status = cli.run("status -o json").await.exits(0).json();
    assert_eq!(status["events"], status["events_under_charter"], "{status}");
    drop(agent);
}

fn stranger() -> v1::Asker {
    v1::Asker { charter: vec![7; 32].into(), ..Client::asker() }
}

async fn over_grpc(client: &Client, plan: &str) {
    let asker = Some(stranger());
    let rollout = "mig-0001".to_owned();
    let start = v1::StartRequest { asker: asker.clone(), plan: plan.to_owned(), waivers: vec![] };
    denied(client.rollouts().start(start).await);
    let pause =
        v1::PauseRequest { asker: asker.clone(), rollout: rollout.clone(), ..Default::default() };
    denied(client.rollouts().pause(pause).await);
    let resume = v1::ResumeRequest {
        asker: asker.clone(),
        rollout: rollout.clone(),
        part: None,
        rolled_back: false,
    };
    denied(client.rollouts().resume(resume).await);
    let resumption = v1::ResumptionRequest {
        asker: asker.clone(),
        rollout: rollout.clone(),
        rolled_back: false,
    };
    denied(client.rollouts().resumption(resumption).await);
    for dry in [true, false] {
        let back = v1::RollBackRequest {
            asker: asker.clone(),
            rollout: rollout.clone(),
            dry,
            ..Default::default()
        };
        denied(client.rollouts().roll_back(back).await);
        let plan =
            v1::PlanRequest { asker: asker.clone(), spec: Some(v1::PlanSpec::default()), dry };
        denied(client.planner().plan(plan).await);
    }
    let retire = v1::RetireTargetRequest {
        asker: asker.clone(),
        target: "t/1".to_owned(),
        reason: "gone".to_owned(),
    };
    denied(client.fleet().retire_target(retire).await);
    let look = v1::ObserveRequest { asker: asker.clone(), selector: None, timeout_ms: 100 };
    denied(client.fleet().observe(look).await);
    let mut cluster = client.cluster();
    let add =
        v1::AddLearnerRequest { asker: asker.clone(), node: 9, address: "127.0.0.1:1".to_owned() };
    denied(cluster.add_learner(add).await);
    denied(cluster.promote(v1::PromoteRequest { asker: asker.clone(), node: 2 }).await);
    denied(cluster.remove(v1::RemoveRequest { asker: asker.clone(), node: 2 }).await);
    let transfer = v1::TransferLeadershipRequest { asker, node: 2 };
    denied(cluster.transfer_leadership(transfer).await);

    // Nobody at all is no charter either.
    let nameless =
        client.rollouts().pause(v1::PauseRequest { rollout, ..Default::default() }).await;
    assert_eq!(nameless.expect_err("nobody asked").code(), Code::InvalidArgument);
}

/// An agent that goes by another charter gets no welcome; one that names none goes by any.
async fn agents(client: &Client) {
    let hello = |charter: Vec<u8>| session::FromAgent {
        message: Some(session::from_agent::Message::Hello(session::Hello {
            agent: "stranger".to_owned(),
            charter: charter.into(),
            ..Default::default()
        })),
    };
    for charter in [vec![7; 32], vec![7; 3]] {
        let mut agents = SessionClient::new(client.channel());
        let words = futures::stream::iter([hello(charter)]);
        denied(agents.attach(words).await);
    }
}

/// The same, as a process: it says why it has no work, and asks again.
async fn an_agent_process(project: &Arc<Project>, cluster: &Cluster, client: &Client) {
    let mut spec = AgentSpec::new("a9");
    "\n[project]\ncharter = \"other.toml\"\n".clone_into(&mut spec.more);
    let mut agent = Agent::start(project, cluster, &spec);
    let told = || async { agent.log().contains("goes by another charter") };
    until("the agent says why nobody welcomes it", LIMIT, told).await;
    let known = client.fleet().list_agents(v1::ListAgentsRequest {}).await;
    let known = known.expect("the leader answers").into_inner().agents;
    assert!(known.iter().all(|agent| agent.id != "a9"), "{known:?}");
    assert!(agent.process().expect("it was started").runs());
}

/// A bundle's bytes go through the log before its event does; not a stranger's.
async fn a_denied_bundle_reaches_no_disk(cluster: &Cluster, client: &Client) {
    const BYTES: usize = 12 * 1024 * 1024;
    let before: u64 = cluster.numbers().into_iter().map(|node| weight(&cluster.data(node))).sum();
    // A valid bundle in everything but who sends it.
    let script = v1::Script { text: "x".repeat(BYTES), ..Default::default() };
    let migration =
        v1::Migration { version: "1".to_owned(), up: Some(script), ..Default::default() };
    let bundle = v1::Bundle { format: "sqlx".to_owned(), migrations: vec![migration] };
    let content = prost::Message::encode_to_vec(&bundle);
    let digest = skein_agent::wire::digest(&content).to_vec();
    let total_bytes = content.len() as u64;
    let parts: Vec<v1::PutBundleRequest> = content
        .chunks(1024 * 1024)
        .enumerate()
        .map(|(at, chunk)| v1::PutBundleRequest {
            asker: (at == 0).then(stranger),
            digest: digest.clone().into(),
            total_bytes,
            data: chunk.to_vec().into(),
        })
        .collect();
    denied(client.fleet().put_bundle(futures::stream::iter(parts)).await);
    cluster.settled().await;
    let after: u64 = cluster.numbers().into_iter().map(|node| weight(&cluster.data(node))).sum();
    let grown = after.saturating_sub(before);
    assert!(grown < 1024 * 1024, "a bundle that was refused took {grown} bytes of disk");
}
