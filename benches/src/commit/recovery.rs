//! The leader is killed with `kill -9`, again and again: how long until a write is accepted, and until
//! every agent is in session with the new leader?
//!
//! Nodes are processes; agents are the real ones, in this process, each with a target of its own. They
//! are left in peace between two kills for as long as a session has to last to count as settled.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use serde_json::json;
use skein_agent::config::File;
use skein_agent::{Coordinators, Running};
use skein_proto::v1;
use skein_proto::v1::fleet_client::FleetClient;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::transport::Channel;

use super::failover::ELECTION_MAX;
use super::node::{Nodes, connect};
use super::skein::Skein;
use crate::Options;
use crate::load::{Client as _, histogram, record};
use crate::machine::Window;
use crate::report::{Report, progress};
use crate::stats::{float, round, short};

const AGENTS: usize = 12;
/// Kills, unless less is asked for.
const ROUNDS: u32 = 50;
/// A session that lasted so long is dialled again at once when it ends.
const PEACE: Duration = Duration::from_secs(5);
/// Between two looks at whether agents are there.
const LOOK: Duration = Duration::from_millis(10);
/// How long anything may take until it counts as broken.
const PATIENCE: Duration = Duration::from_secs(30);
/// Goals: of the median, in longest election timeouts; of each, milliseconds.
const WRITES_GOAL: f64 = 2.2;
const AGENTS_GOAL_MS: f64 = 3_000.0;

pub(crate) fn run(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(Box::pin(measure(options)))
}

async fn measure(options: Options) -> Result<()> {
    let window = Window::open();
    let mut report = Report::new("bench-recovery");
    let root = tempfile::tempdir().context("failed to make a directory for the nodes")?;
    let rounds = if options.quick { 2 } else { ROUNDS };
    let mut nodes = Nodes::start(root.path())?;
    let skein = Skein::set_up(&nodes, PATIENCE).await?;
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        agents.push(agent(root.path(), number, nodes.addresses()).await?);
    }
    let (mut writes, mut resumed) = (histogram()?, histogram()?);
    for number in 1..=rounds {
        progress(&format!("round {number} of {rounds}"));
        let leader = nodes.settled().await?;
        skein.follow(leader);
        all_here(nodes.addresses(), None).await?;
        let peace = Instant::now() + PEACE;
        skein.ask(0).await.context("a write with everybody up")?;
        sleep_until(peace).await;
        nodes.kill(leader)?;
        let killed = Instant::now();
        let write = async {
            skein.ask(0).await.context("no write was accepted")?;
            Ok::<_, anyhow::Error>(killed.elapsed())
        };
        let here = async {
            all_here(nodes.addresses(), Some(leader)).await?;
            Ok::<_, anyhow::Error>(killed.elapsed())
        };
        let (write, here) = tokio::try_join!(write, here)?;
        record(&mut writes, write);
        record(&mut resumed, here);
        nodes.spawn(leader)?;
    }
    drop(agents);
    report.line(format!("{rounds} kills of the leader, {AGENTS} agents"));
    let rows = [
        ["ms", "p50", "p90", "p99", "max"].map(str::to_owned).to_vec(),
        row("until a write is accepted", &writes),
        row("until all agents are in session", &resumed),
    ];
    report.table("After kill -9 of the leader", &rows);
    let median = ms(writes.value_at_quantile(0.5)) / ELECTION_MAX;
    report.line(format!(
        "writes: the median is {} times the longest election timeout ({ELECTION_MAX} ms), goal ≤ {WRITES_GOAL}: {}",
        short(median),
        verdict(median <= WRITES_GOAL)
    ));
    let longest = ms(resumed.max());
    report.line(format!(
        "agents: all back within {} ms in every round, goal ≤ {AGENTS_GOAL_MS}: {}",
        short(longest),
        verdict(longest <= AGENTS_GOAL_MS)
    ));
    report.json("writes_ms", figures(&writes));
    report.json("agents_ms", figures(&resumed));
    report.json("of_election_max", json!(round(median)));
    report.print(window.close(options.quick))
}

fn verdict(held: bool) -> &'static str {
    if held { "reached" } else { "missed" }
}

/// Microseconds as milliseconds.
fn ms(us: u64) -> f64 {
    float(us) / 1_000.0
}

const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 1.0];

fn row(what: &str, times: &Histogram<u64>) -> Vec<String> {
    let quantiles = QUANTILES.map(|quantile| short(ms(times.value_at_quantile(quantile))));
    std::iter::once(what.to_owned()).chain(quantiles).collect()
}

fn figures(times: &Histogram<u64>) -> serde_json::Value {
    let at = |quantile| round(ms(times.value_at_quantile(quantile)));
    let [p50, p90, p99, max] = QUANTILES.map(at);
    json!({ "p50": p50, "p90": p90, "p99": p99, "max": max })
}

/// A real agent with one SQLite target.
async fn agent(root: &Path, number: usize, addresses: &[String]) -> Result<Running> {
    let dir: PathBuf = root.join(format!("agent-{number}"));
    std::fs::create_dir_all(&dir)?;
    let database = dir.join("target.db");
    std::fs::write(&database, "").context("failed to make a target")?;
    let text = format!(
        "[agent]\nid = \"recovery-{number}\"\nslots = 1\nbackups = \"backups\"\ncache = \"cache\"\n\n\
         [[target]]\nid = \"recovery/{number}\"\nurl = \"sqlite:{}\"\n",
        database.display()
    );
    let path = dir.join("skein.toml");
    std::fs::write(&path, text)?;
    let config = File::read(&path)?.agent_config()?;
    let addresses = addresses.iter().map(|address| format!("http://{address}")).collect();
    Ok(skein_agent::start(config, Coordinators::Addresses(addresses)).await?)
}

/// Waits until the leader has every agent in session, asked through any node but the dead one.
async fn all_here(addresses: &[String], dead: Option<usize>) -> Result<()> {
    let alive = addresses.iter().enumerate().filter(|(node, _)| Some(*node) != dead);
    let mut ways: Vec<Channel> = Vec::new();
    for (_, address) in alive {
        ways.push(connect(address).await?);
    }
    let until = Instant::now() + PATIENCE;
    for way in ways.iter().cycle() {
        let mut fleet = FleetClient::new(way.clone());
        let asked = timeout(Duration::from_secs(1), fleet.list_agents(v1::ListAgentsRequest {}));
        if let Ok(Ok(reply)) = asked.await {
            let here = reply.into_inner().agents.into_iter();
            let count =
                here.filter(|agent| agent.connected && agent.id.starts_with("recovery-")).count();
            if count == AGENTS {
                return Ok(());
            }
        }
        if Instant::now() > until {
            bail!("not all agents were back within {PATIENCE:?}");
        }
        sleep(LOOK).await;
    }
    bail!("there is no node to ask")
}
