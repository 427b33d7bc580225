//! Three regions, over real servers: region after region, one that nobody hears of, a leader that dies meanwhile. The
//! commands and files are those of `docs/regions.md`. How regions far apart are cut off from each other:
//! `chaos/process`.

mod support;

use std::sync::Arc;
use std::time::Duration;

use skein_agent::db::Engine;
use skein_proto::log::v1::event::Body;
use skein_proto::v1::RolloutStatus;
use support::{
    Agent, AgentSpec, Cli, Client, Cluster, Database, Project, Ran, Runbook, Server, blocks, until,
};

const LIMIT: Duration = Duration::from_mins(1);
const PAGE: &str = "regions.md";

async fn run(cli: &Cli, runbook: &mut Runbook, begins: &str) -> Ran {
    let words = runbook.next(begins);
    cli.run_words(&words.iter().map(String::as_str).collect::<Vec<_>>()).await.exits(0)
}

async fn until_it(client: &Client, what: &str, holds: impl Fn(&RolloutStatus) -> bool) {
    until(what, LIMIT, || async { client.rollout("mig-0001").await.is_ok_and(|it| holds(&it)) })
        .await;
}

/// The rollout says of `us`, and of nothing else, that it is not heard of.
fn silent(status: &RolloutStatus) -> bool {
    let [silence] = &status.silent[..] else { return false };
    silence.region == "us" && silence.agents == ["agent-us"] && silence.targets == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_regions_is_followed() {
    let test = "the_page_about_regions_is_followed";
    let Some(postgres) = Server::shared(Engine::Postgres, test) else { return };
    let Some(mariadb) = Server::shared(Engine::Mysql, test) else { return };
    let project = Arc::new(Project::new("regions"));
    let sqlite = Server::sqlite(&project.join("db"));
    for version in 1..=2 {
        let name = |way: &str| format!("migrations/{version:04}_table.{way}.sql");
        project.write(&name("up"), &format!("CREATE TABLE t{version} (id int PRIMARY KEY);\n"));
        project.write(&name("down"), &format!("DROP TABLE t{version};\n"));
    }
    let [strategy] = &blocks(PAGE, "regions", "toml")[..] else { panic!("one strategy") };
    project.write("strategy.toml", strategy);

    let mut cluster = Cluster::start(&project).await;
    let mut client = cluster.client(cluster.leader().await);
    let cli = Cli::new(&project, &cluster, "");
    let targets = [
        ("eu", vec![postgres.database("eu-1").await, sqlite.database("eu-2").await]),
        ("us", vec![mariadb.database("us-1").await, sqlite.database("us-2").await]),
        ("ap", vec![sqlite.database("ap-1").await, sqlite.database("ap-2").await]),
    ];
    let mut agents: Vec<Agent> = Vec::new();
    for (region, databases) in &targets {
        let mut spec = AgentSpec::new(&format!("agent-{region}"));
        let labels = format!("{{ region = {region:?} }}");
        let target = |it: &Database| (it.id.clone(), it.url.clone(), labels.clone());
        spec.targets = databases.iter().map(target).collect();
        agents.push(Agent::start(&project, &cluster, &spec));
    }
    Agent::until_observed(&client, &["eu-1", "eu-2", "us-1", "us-2", "ap-1", "ap-2"]).await;

    let mut runbook = Runbook::on(PAGE, "regions");
    until("the nodes have measured each other", LIMIT, || async {
        let members = client.members().await;
        members.is_ok_and(|it| it.members.iter().filter(|it| it.round_trip_us > 0).count() == 2)
    })
    .await;
    let ran = run(&cli, &mut runbook, "skein cluster members").await;
    assert!(ran.stdout.contains("made for round trips up to 25 ms"), "{}", ran.stdout);
    let far = |line: &&str| line.contains("voter") && line.ends_with(" ms");
    assert_eq!(ran.stdout.lines().filter(far).count(), 2, "two distances:\n{}", ran.stdout);
    let ran = run(&cli, &mut runbook, "skein plan").await;
    let waves = ["canary eu", "rest eu", "canary us", "rest us", "canary ap", "rest ap"];
    let mut rest = ran.stdout.as_str();
    for wave in waves {
        rest = rest.split_once(wave).unwrap_or_else(|| panic!("no {wave}:\n{}", ran.stdout)).1;
    }
    run(&cli, &mut runbook, "skein apply").await;
    // Its turn comes when `eu` has been watched twice.
    agents[1].kill9();
    until_it(&client, "the region is named", silent).await;
    let ran = run(&cli, &mut runbook, "skein status").await;
    assert!(ran.stdout.contains("region us: last heard of"), "{}", ran.stdout);
    let ran = run(&cli, &mut runbook, "skein explain").await;
    let line = "region us: agent agent-us has not been heard of for";
    assert!(ran.stdout.contains(line), "{}", ran.stdout);
    let ran = run(&cli, &mut runbook, "skein explain").await;
    assert!(
        ran.stdout.contains("none of its agents is connected: agent-us (last heard of"),
        "{}",
        ran.stdout
    );
    let ran = run(&cli, &mut runbook, "skein agents").await;
    assert!(ran.stdout.contains("away since"), "{}", ran.stdout);

    // The next leader has never heard of that agent.
    client = cluster.behead().await;
    until_it(&client, "the next leader names it too", silent).await;
    let status = client.rollout("mig-0001").await.expect("it is there");
    assert_eq!(status.silent[0].since_ms, 0, "{status:?}");

    agents[1].restart();
    run(&cli, &mut runbook, "skein watch").await;
    runbook.ends();

    let mut opened = Vec::new();
    let mut applied = Vec::new();
    for event in client.events(0).await.expect("the log can be read") {
        match event.body {
            Some(Body::WaveStarted(started)) => opened.push(started.wave),
            Some(Body::LegAssigned(leg)) => {
                let wave = opened.last().copied().expect("a wave is open");
                let region = waves[usize::try_from(wave).expect("small")].split(' ').nth(1);
                assert_eq!(leg.target.split('-').next(), region, "{}", leg.target);
            }
            Some(Body::StepApplied(step)) => applied.push((step.target, step.version)),
            _ => {}
        }
    }
    assert_eq!(opened, [0, 1, 2, 3, 4, 5]);
    applied.sort_unstable();
    applied.dedup();
    assert_eq!(applied.len(), 12, "each step once: {applied:?}");
    cluster.settled().await;
    cli.run("history verify").await.exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_far_away_is_configured_by_one_number() {
    let project = Arc::new(Project::new("regions-node"));
    let cli = Cli::alone(&project);
    let [node] = &blocks(PAGE, "regions-node", "toml")[..] else { panic!("one file") };
    let check = async |text: &str| {
        project.write("coordinator.toml", text);
        cli.run_alone(&["coordinator", "--config", "coordinator.toml", "--check"]).await
    };
    check(node).await.exits(0);
    for (more, words) in [
        ("lease_ms = 1500\n", ["line 7", "`lease_ms` is 1500", "2280 or more"]),
        ("raft.heartbeat_ms = 120\n", ["line 7", "`heartbeat_ms` is 120", "140 or more"]),
        ("raft.election_min_ms = 600\n", ["line 7", "`election_min_ms` is 600", "800 or more"]),
    ] {
        let text = node.replacen("\n\n[[member]]", &format!("\n{more}\n[[member]]"), 1);
        let ran = check(&text).await.exits(2);
        for word in words {
            assert!(ran.stderr.contains(word), "{word:?} is missing:\n{}", ran.stderr);
        }
    }
    let ran = check(&node.replace("= 120 ", "= 4000 ")).await.exits(2);
    assert!(
        ran.stderr.contains("line 6") && ran.stderr.contains("from 1 to 1000"),
        "{}",
        ran.stderr
    );
    assert!(!project.join("data").exists(), "nothing was begun");
}
