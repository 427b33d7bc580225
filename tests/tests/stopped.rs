//! A coordinator that is stopped, as a machine that hangs: its kernel takes connections, and nobody answers. Whoever
//! asked it turns to the next one, with the same request.

mod support;

use std::sync::Arc;
use std::time::Duration;

use skein_proto::log::v1::event::Body;
use support::{Agent, AgentSpec, Cli, Cluster, Process, Project, Ran, Server, Timing, until};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

const LIMIT: Duration = Duration::from_mins(1);
/// Well below the thirty seconds that a command looks for somebody who answers.
const SOON: Duration = Duration::from_secs(18);

/// The addresses of a cluster with one node's first.
fn first(cluster: &Cluster, number: u64) -> String {
    let mut numbers = cluster.numbers();
    numbers.sort_by_key(|other| *other != number);
    numbers.iter().map(|number| cluster.address(*number)).collect::<Vec<_>>().join(",")
}

async fn soon(cli: &Cli, addresses: &str, line: &str) -> Ran {
    let words = line.split_whitespace().chain(["--coordinator", addresses]);
    let words: Vec<&str> = words.collect();
    let began = Instant::now();
    let ran = cli.run_words(&words).await.exits(0);
    assert!(began.elapsed() < SOON, "{line} took {:?}", began.elapsed());
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_is_left_for_the_next() {
    let project = Arc::new(Project::new("stopped"));
    project.write("m/0001_a.up.sql", "CREATE TABLE a (id integer primary key);\n");
    project.write("m/0001_a.down.sql", "DROP TABLE a;\n");
    let mut cluster = Cluster::start(&project).await;
    let database = Server::sqlite(&project.join("db")).database("t/1").await;
    let spec = AgentSpec::new("a1").serve(std::slice::from_ref(&database));
    let _agent = Agent::start(&project, &cluster, &spec);
    Agent::until_observed(&cluster.client(cluster.leader().await), &["t/1"]).await;
    let cli = Cli::new(&project, &cluster, "");

    // A follower: what is read, and what is changed.
    let leader = cluster.leader().await;
    let follower = cluster.numbers().into_iter().find(|it| *it != leader).expect("one of three");
    let addresses = first(&cluster, follower);
    cluster.process(follower).expect("it runs").stop();
    soon(&cli, &addresses, "status").await;
    soon(&cli, &addresses, "apply m --soak 15s --yes --detach").await;
    cluster.process(follower).expect("it runs").cont();

    // It is stopped while somebody watches through it.
    let config = project.join("cli.toml").display().to_string();
    let words = ["watch", "mig-0001", "-o", "jsonl", "--config", &config];
    let words: Vec<&str> = words.into_iter().chain(["--coordinator", &addresses]).collect();
    let log = project.join("watch.log");
    let mut watch = Process::start(&words, project.path(), &log);
    let told = || async { std::fs::read_to_string(&log).is_ok_and(|it| it.contains("mig-0001")) };
    until("the watch tells of it", LIMIT, told).await;
    cluster.process(follower).expect("it runs").stop();
    let ended = async {
        until("the watch ends", LIMIT, || {
            let runs = watch.runs();
            async move { !runs }
        })
        .await;
    };
    timeout(SOON + SOON, ended).await.expect("the soak is over, and the watch hears of it");
    assert!(watch.log().contains("completed"), "{}", watch.log());
    cluster.process(follower).expect("it runs").cont();
    cluster.settled().await;

    // The leader: whatever became of the first time, it is done once.
    let leader = cluster.leader().await;
    let addresses = first(&cluster, leader);
    cluster.process(leader).expect("it runs").stop();
    soon(&cli, &addresses, "freeze --reason audit").await;
    cluster.process(leader).expect("it runs").cont();
    cluster.settled().await;
    let events = cluster.client(cluster.leader().await).events(0).await.expect("a log");
    let frozen = events.iter().filter(|it| matches!(it.body, Some(Body::ChangesFrozen(_))));
    assert_eq!(frozen.count(), 1);
    assert_eq!(database.in_force().await, ["1"]);
}

/// Its node is gone and it looks for another one, which takes as long as a command is patient: who follows a history is
/// let go at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_followed_is_left_while_nobody_answers() {
    let project = Arc::new(Project::new("followed"));
    let mut cluster = Cluster::start_with(&project, 1, Timing::default(), "").await;
    let log = project.join("history.log");
    let address = cluster.address(1);
    let args = ["history", "--follow", "--coordinator", &address];
    let mut history = Process::start(&args, project.path(), &log);
    until("it tells of events", LIMIT, async || history.log().contains("formed")).await;
    cluster.kill9(1);
    // In the node's place: takes a connection, and says nothing.
    let place = TcpListener::bind(&address).await.expect("the node has left it");
    let asked = timeout(LIMIT, place.accept()).await.expect("it asks again");
    let began = Instant::now();
    assert_eq!(history.interrupt(), Some(130));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    drop(asked);
}
