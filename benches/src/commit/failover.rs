//! The leader is killed with `kill -9` while requests keep coming: how long is nothing committed?
//!
//! Both get the same load and the same shortest election timeout. The gap is the
//! longest time between two answers around the kill; a request that is not answered is asked again, of
//! the next node.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::time::Instant;

use super::etcd::{self, Etcd, Members};
use super::node::Nodes;
use super::skein::Skein;
use crate::Options;
use crate::load::{self, Client};
use crate::machine::Window;
use crate::report::{Report, progress};
use crate::stats::{Spread, ms, round, short};

/// Requests a second.
const RATE: u32 = 500;
/// How long a request is asked again.
const PERSIST: Duration = Duration::from_secs(20);
/// Load before the kill.
const BEFORE: Duration = Duration::from_secs(1);
/// For etcd, milliseconds: the shortest election timeout of a coordinator, and the longest heartbeat that
/// etcd takes with it (a fifth; ours is 150).
const TIMING: (u32, u32) = (120, 600);
/// The longest election timeout, by default, milliseconds.
pub(super) const ELECTION_MAX: f64 = 900.0;

pub(crate) fn run(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(Box::pin(measure(options)))
}

async fn measure(options: Options) -> Result<()> {
    let window = Window::open();
    let mut report = Report::new("bench-failover");
    let root = tempfile::tempdir().context("failed to make a directory for the nodes")?;
    let rounds = if options.quick { 1 } else { options.pairs.max(3) * 2 };
    let mut nodes = Nodes::start(root.path())?;
    let skein = Skein::set_up(&nodes, PERSIST).await?;
    let mut members = if etcd::found() {
        let mut members = Members::start(root.path(), Some(TIMING))?;
        let client = members.client(PERSIST).await?;
        Some((members, client))
    } else {
        report.skip("etcd is not installed (Debian: etcd-server): nothing to compare with");
        None
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        progress(&format!("round {} of {rounds}", round + 1));
        ours.push(kill_ours(&mut nodes, &skein).await?);
        if let Some((members, client)) = &mut members {
            theirs.push(kill_theirs(members, client).await?);
        }
    }
    drop((nodes, members));
    let gap = Spread::of(ours.iter().copied());
    report.line(format!(
        "no commit for {gap} ms, {} times the longest election timeout (goal: the median ≤ 2.2)",
        short(gap.median / ELECTION_MAX)
    ));
    report.json("gap_ms", json!({ "skein": rounded(&ours), "etcd": rounded(&theirs) }));
    report.json("of_election_max", json!(round(gap.median / ELECTION_MAX)));
    if !theirs.is_empty() {
        let ratio = Spread::of_ratios(&ours, &theirs);
        report.line(format!(
            "etcd, heartbeat {} ms and election timeout {} ms: {} ms",
            TIMING.0,
            TIMING.1,
            Spread::of(theirs)
        ));
        report.line(format!("G19 ours/etcd: {ratio}, goal ≤ 1.00"));
        report.json("ratio", ratio.json());
    }
    report.print(window.close(options.quick))
}

fn rounded(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| round(*value)).collect()
}

async fn kill_ours(nodes: &mut Nodes, skein: &Skein) -> Result<f64> {
    let leader = nodes.settled().await?;
    skein.follow(leader);
    let gap = gap(skein, || nodes.kill(leader)).await?;
    nodes.spawn(leader)?;
    let leader = nodes.settled().await?;
    skein.follow(leader);
    Ok(gap)
}

async fn kill_theirs(members: &mut Members, client: &Etcd) -> Result<f64> {
    let leader = members.settled().await?;
    client.follow(leader);
    let gap = gap(client, || members.kill(leader)).await?;
    members.spawn(leader)?;
    let leader = members.settled().await?;
    client.follow(leader);
    Ok(gap)
}

/// The longest time between two answers, milliseconds.
async fn gap<C: Client>(client: &C, kill: impl FnOnce() -> Result<()>) -> Result<f64> {
    let mut answers = load::open(client, RATE, Duration::from_secs(12))?;
    let mut answered = Vec::new();
    let begun = Instant::now();
    let mut kill = Some(kill);
    let mut lost = 0;
    while let Some(shot) = answers.recv().await {
        if begun.elapsed() >= BEFORE
            && let Some(kill) = kill.take()
        {
            kill()?;
        }
        if shot.good {
            answered.push(shot.answered);
        } else {
            lost += 1;
        }
    }
    ensure!(lost == 0, "{lost} requests were not answered within {PERSIST:?}");
    answered.sort_unstable();
    let gaps = answered.windows(2).filter_map(|pair| Some(*pair.get(1)? - *pair.first()?));
    gaps.max().map(ms).context("nothing was answered")
}
