//! `GET /metrics` of nodes and an agent while a rollout runs and its leader dies, held against the page that lists
//! them, `docs/metrics.md`.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use skein_agent::db::Engine;
use skein_proto::v1::{RolloutState, RolloutStatus};
use support::{
    AgentSpec, Cluster, Project, Runbook, Server, Timing, World, binary, blocks, until, until_some,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_mins(2);
const PAGE: &str = "metrics.md";
const TARGETS: usize = 6;

/// One answer: what each sample says, by its name with labels.
#[derive(Debug, Clone, Default)]
struct Scrape {
    /// Names as the page has them.
    names: BTreeSet<String>,
    samples: BTreeMap<String, String>,
    text: String,
}

/// What is served at an address; `None`: nobody is there.
async fn get(address: &str, path: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}

async fn scrape(address: &str) -> Option<Scrape> {
    let (head, text) = get(address, "/metrics").await?;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("application/openmetrics-text"), "{head}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut read = Scrape { text: text.clone(), ..Scrape::default() };
    let mut helped = BTreeSet::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a help has words");
            assert!(words.len() > 3, "{line}");
            assert!(helped.insert(name.to_owned()), "{name} stands twice");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type has a name");
            assert!(helped.contains(name), "{name} has no help before its type");
            read.names.insert(match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                "gauge" | "histogram" => name.to_owned(),
                kind => panic!("{name} is a {kind}"),
            });
        } else if line != "# EOF" {
            let (sample, value) = line.rsplit_once(' ').expect("a sample has a value");
            value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
            let before = read.samples.insert(sample.to_owned(), value.to_owned());
            assert_eq!(before, None, "{line} stands twice");
        }
    }
    Some(read)
}

impl Scrape {
    /// A number, by its name with labels; 0 where it is not there.
    fn of(&self, sample: &str) -> u64 {
        self.samples.get(sample).map_or(0, |value| whole(value))
    }

    /// A time, likewise.
    fn seconds(&self, sample: &str) -> f64 {
        self.samples.get(sample).and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    /// All numbers whose name and labels begin so.
    fn sum(&self, begins: &str) -> u64 {
        let found = self.samples.iter().filter(|(name, _)| name.starts_with(begins));
        found.map(|(_, value)| whole(value)).sum()
    }
}

fn whole(value: &str) -> u64 {
    value.trim_end_matches(".0").parse().unwrap_or_else(|_| panic!("{value} is no whole number"))
}

/// The names in the tables of the page.
fn listed() -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(PAGE);
    let page = std::fs::read_to_string(page).expect("the page is there");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).map(str::to_owned).collect()
}

/// Where a process says that it serves its metrics: the last word, after a restart.
fn served(log: &str) -> Option<String> {
    let (_, after) = log.rsplit_once("metrics are served at http://")?;
    after.split("/metrics").next().map(str::to_owned)
}

/// Targets with one agent beside them, all of which serve their metrics. `None`: the server is missing, which was said.
async fn start(test: &str) -> Option<World> {
    let server = Server::shared(Engine::Postgres, test)?;
    let project = Arc::new(Project::new(test));
    // Ports that are free.
    let any = |block: &String| block.replace("9464", "0").replace("9465", "0");
    let [node, agent] = &blocks(PAGE, "metrics", "toml")[..] else { panic!("two blocks") };
    let (node, agent) = (any(node), any(agent).replace("[agent]\n", ""));
    let mut databases = Vec::new();
    for number in 1..=TARGETS {
        databases.push(server.database(&format!("secret-{number}")).await);
    }
    let mut spec = AgentSpec::new("a1").serve(&databases);
    spec.more = agent;
    project.migration(
        "pg/0001_work",
        "CREATE TABLE done AS SELECT 1 AS n WHERE pg_sleep(0.4) IS NOT NULL;\n",
        "DROP TABLE done;\n",
    );
    project.write("strategy.toml", "parallelism = 1\nbackup = \"schema\"\n");
    let cluster = Cluster::start_with(&project, 3, Timing::default(), &node).await;
    let mut world = World::of(project, cluster, databases).await;
    world.comes(&spec).await;
    Some(world)
}

/// Of a node, from where it says last that it serves them.
async fn of_node(world: &World, node: u64) -> Scrape {
    let log = world.project.join(&format!("node-{node}.log"));
    until_some("a node serves its metrics", LIMIT, || async {
        let log = std::fs::read(&log).unwrap_or_default();
        scrape(&served(&String::from_utf8_lossy(&log))?).await
    })
    .await
}

async fn of_nodes(world: &World) -> BTreeMap<u64, Scrape> {
    let mut read = BTreeMap::new();
    for node in world.cluster.numbers() {
        read.insert(node, of_node(world, node).await);
    }
    read
}

/// So many of the rollout's targets are done.
async fn until_done(world: &World, rollout: &str, done: usize) {
    let of = |it: &RolloutStatus| it.lanes.iter().filter(|lane| lane.verified == 1).count();
    world.until_it(rollout, &format!("{done} targets are done"), |it| of(it) >= done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_what_the_page_says_whoever_leads() {
    let test = "metrics_are_what_the_page_says_whoever_leads";
    let Some(mut world) = start(test).await else { return };
    let leader = world.cluster.leader().await;
    until("the ways between nodes were measured", LIMIT, async || {
        of_node(&world, leader).await.text.contains("skein_peer_round_trip_seconds{")
    })
    .await;
    let mut page = Runbook::on(PAGE, "metrics");
    page.place("migrations", "pg");
    world.follow(&mut page, "skein apply").await;
    until_done(&world, "mig-0001", 1).await;

    page.done_by_hand("curl http://127.0.0.1:9464/metrics");
    let leader = world.cluster.leader().await;
    let nodes = of_nodes(&world).await;
    let leads = |nodes: &BTreeMap<u64, Scrape>| -> Vec<u64> {
        let leads = nodes.iter().filter(|(_, it)| it.of("skein_raft_leader") == 1);
        leads.map(|(node, _)| *node).collect()
    };
    assert_eq!(leads(&nodes), [leader]);
    let told = &nodes[&leader];
    assert_eq!(told.of("skein_rollouts{status=\"running\"}"), 1, "{}", told.text);
    assert_eq!(told.of("skein_agents_connected"), 1);
    assert_eq!(told.sum("skein_rollout_lanes{rollout=\"mig-0001\""), TARGETS as u64);
    assert_eq!(told.of("skein_rollout_steps{rollout=\"mig-0001\",state=\"planned\"}"), 6);
    assert!(told.of("skein_requests_total{kind=\"report\",result=\"accepted\"}") > 0);
    assert!(told.of("skein_commit_seconds_count") > 0, "{}", told.text);
    let records = told.of("skein_applied_records_total");
    assert!(records >= told.of("skein_commit_seconds_count"), "{}", told.text);
    assert!(told.of("skein_applied_events_total") >= records);
    let ends = told.seconds(
        "skein_rollout_forecast_end_timestamp_seconds{rollout=\"mig-0001\",bound=\"p95\"}",
    );
    assert!(ends > 1_700_000_000.0, "all that is left was measured once: {}", told.text);
    let term = told.of("skein_raft_term");

    page.done_by_hand("curl http://127.0.0.1:9465/metrics");
    let address = served(&world.agents[0].log()).expect("the agent says where");
    let (head, _) = get(&address, "/").await.expect("it answers");
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    let agent = scrape(&address).await.expect("it answers");
    assert!(agent.of("skein_agent_steps_total{result=\"applied\"}") >= 1, "{}", agent.text);
    assert_eq!(agent.of("skein_agent_targets"), TARGETS as u64);
    assert_eq!(agent.of("skein_agent_connected"), 1);
    assert!(agent.of("skein_agent_backup_bytes_total") > 0);
    assert!(agent.of("skein_agent_written_bytes_total") > 0);
    assert!(agent.seconds("skein_agent_step_seconds_sum") >= 0.4);

    // Everything that is served is on the page, and everything on the page is served.
    let mut names: BTreeSet<String> = nodes.values().flat_map(|it| it.names.clone()).collect();
    names.extend(agent.names.clone());
    assert_eq!(names, listed());
    // And no word about whose databases these are.
    for text in nodes.values().map(|it| &it.text).chain([&agent.text]) {
        for word in ["secret-", "postgres:", "\"a1\"", "0001_work"] {
            assert!(!text.contains(word), "{word} stands in\n{text}");
        }
    }

    world.behead().await;
    let words = page.next("skein watch");
    page.ends();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    world.cli.run_words(&words).await.exits(0);
    until_some("the rollout ends", LIMIT, || async {
        let status = world.client.rollout("mig-0001").await.ok()?;
        (status.state() == RolloutState::Completed).then_some(())
    })
    .await;
    let next = world.cluster.leader().await;
    let nodes = of_nodes(&world).await;
    assert_eq!(leads(&nodes), [next]);
    let told = &nodes[&next];
    assert!(told.of("skein_raft_term") > term, "somebody was elected");
    assert_eq!(told.of("skein_rollouts{status=\"completed\"}"), 1);
    assert_eq!(told.sum("skein_rollout_lanes"), 0, "what has ended has no series");
    let agent = scrape(&address).await.expect("it still answers");
    let done = ["applied", "found"]
        .map(|it| agent.of(&format!("skein_agent_steps_total{{result=\"{it}\"}}")));
    assert_eq!(done.iter().sum::<u64>(), TARGETS as u64, "{}", agent.text);

    world.cluster.settled().await;
    until("the followers have everything", LIMIT, async || {
        let told = of_node(&world, next).await;
        let followers = told.text.matches("skein_raft_follower_lag_entries{").count();
        followers == 2 && told.sum("skein_raft_follower_lag_entries") == 0
    })
    .await;
    world.all_at(&["1"]).await;
    world.end().await;
}

/// What cannot be served, or not there, is said before anything begins.
#[test]
fn an_address_that_cannot_serve_ends_the_start() {
    let project = Project::new("metrics-address");
    let node = "node = 1\ncluster = \"c\"\ndata = \"data\"\nlisten = \"127.0.0.1:0\"\n";
    project.write("coordinator.toml", node);
    let agent = "[coordinator]\naddresses = [\"http://127.0.0.1:1\"]\n\n[agent]\nid = \"a1\"\n";
    project.write("skein.toml", agent);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let beyond =
        [("coordinator", "plaintext_beyond_loopback"), ("agent", "metrics_beyond_loopback")];
    for (role, word) in beyond {
        let cases = [("0.0.0.0:9464", 2, word), (taken.as_str(), 1, "cannot serve metrics at")];
        for (address, exit, words) in cases {
            let mut command = Command::new(binary());
            command.args([role, "--metrics", address]).current_dir(project.path());
            let output = command.output().expect("the program under test starts");
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(exit), "{role} {address}: {stderr}");
            for said in [address, words, "next: "] {
                assert!(stderr.contains(said), "{role} {address}: {said:?} is missing: {stderr}");
            }
        }
    }
    for made in ["data", ".skein"] {
        assert!(!project.join(made).exists(), "{made} was made");
    }
}
