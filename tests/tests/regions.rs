//! Three regions, over real servers: region after region, one that nobody hears of, a leader that dies meanwhile. The
//! commands and files are those of `docs/regions.md`. How regions far apart are cut off from each other:
//! `chaos/process`.

mod support;

use std::sync::Arc;
use std::time::Duration;

use skein_proto::log::v1::event::Body;
use skein_proto::v1::RolloutStatus;
use support::{
    AgentSpec, Cli, Cluster, Project, Runbook, Server, World, blocks, databases, once_each, until,
};

const LIMIT: Duration = Duration::from_mins(1);
const PAGE: &str = "regions.md";

/// The rollout says of `us`, and of nothing else, that it is not heard of.
fn silent(status: &RolloutStatus) -> bool {
    let [silence] = &status.silent[..] else { return false };
    silence.region == "us" && silence.agents == ["agent-us"] && silence.targets == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_regions_is_followed() {
    let test = "the_page_about_regions_is_followed";
    let project = Arc::new(Project::new("regions"));
    let Some([sqlite, postgres, mariadb]) = Server::three(&project, test) else { return };
    for version in 1..=2 {
        project.table(version, &format!("t{version} (id int PRIMARY KEY)"));
    }
    let [strategy] = &blocks(PAGE, "regions", "toml")[..] else { panic!("one strategy") };
    project.write("strategy.toml", strategy);

    let targets = [
        ("eu-1", &postgres),
        ("eu-2", &sqlite),
        ("us-1", &mariadb),
        ("us-2", &sqlite),
        ("ap-1", &sqlite),
        ("ap-2", &sqlite),
    ];
    let cluster = Cluster::start(&project).await;
    let mut world = World::of(project, cluster, databases(&targets).await).await;
    for region in ["eu", "us", "ap"] {
        let mut spec = AgentSpec::new(&format!("agent-{region}")).serve_regions(&world.databases);
        spec.targets.retain(|(id, _, _)| id.starts_with(region));
        world.comes(&spec).await;
    }

    let mut runbook = Runbook::on(PAGE, "regions");
    until("the nodes have measured each other", LIMIT, || async {
        let members = world.client.members().await;
        members.is_ok_and(|it| it.members.iter().filter(|it| it.round_trip_us > 0).count() == 2)
    })
    .await;
    let ran = world.follow(&mut runbook, "skein cluster members").await;
    assert!(ran.stdout.contains("made for round trips up to 25 ms"), "{}", ran.stdout);
    let far = |line: &&str| line.contains("voter") && line.ends_with(" ms");
    assert_eq!(ran.stdout.lines().filter(far).count(), 2, "two distances:\n{}", ran.stdout);
    let ran = world.follow(&mut runbook, "skein plan").await;
    let waves = ["canary eu", "rest eu", "canary us", "rest us", "canary ap", "rest ap"];
    let mut rest = ran.stdout.as_str();
    for wave in waves {
        rest = rest.split_once(wave).unwrap_or_else(|| panic!("no {wave}:\n{}", ran.stdout)).1;
    }
    world.follow(&mut runbook, "skein apply").await;
    // Its turn comes when `eu` has been watched twice.
    world.agents[1].kill9();
    world.until_it("mig-0001", "the region is named", silent).await;
    let ran = world.follow(&mut runbook, "skein status").await;
    assert!(ran.stdout.contains("region us: last heard of"), "{}", ran.stdout);
    let ran = world.follow(&mut runbook, "skein explain").await;
    let line = "region us: agent agent-us has not been heard of for";
    assert!(ran.stdout.contains(line), "{}", ran.stdout);
    let ran = world.follow(&mut runbook, "skein explain").await;
    assert!(
        ran.stdout.contains("none of its agents is connected: agent-us (last heard of"),
        "{}",
        ran.stdout
    );
    let ran = world.follow(&mut runbook, "skein agents").await;
    assert!(ran.stdout.contains("away since"), "{}", ran.stdout);

    // The next leader has never heard of that agent.
    world.behead().await;
    world.until_it("mig-0001", "the next leader names it too", silent).await;
    let status = world.client.rollout("mig-0001").await.expect("it is there");
    assert_eq!(status.silent[0].since_ms, 0, "{status:?}");

    world.agents[1].restart();
    world.follow(&mut runbook, "skein watch").await;
    runbook.ends();

    let mut opened = Vec::new();
    let mut applied = Vec::new();
    for event in world.client.events(0).await.expect("the log can be read") {
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
    assert_eq!(once_each(applied), 12, "each step once");
    world.end().await;
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
