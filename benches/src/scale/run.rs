//! One fleet of one size on a fresh cluster: registered, carried through rollouts, copied, restarted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use skein_proto::v1;
use skein_proto::v1::cluster_client::ClusterClient;
use skein_proto::v1::rollouts_client::RolloutsClient;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

use super::agent::{Agent, SLOTS, Tally};
use crate::commit::batched::AGENTS;
use crate::commit::node::{Nodes, connect};
use crate::commit::skein::{STEPS, bundle, events, plan, start};
use crate::load::{self, histogram, record};
use crate::stats::{float, ms, round};

/// Status requests a second while a rollout runs.
const LOOKS: u32 = 200;
/// Nothing here takes longer unless something hangs.
const PATIENCE: Duration = Duration::from_mins(10);

/// What one run is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) targets: u32,
    /// Rollouts over all of them: up, and down again in turn.
    pub(super) rollouts: u32,
    pub(super) nodes: usize,
}

/// What it came to.
#[derive(Debug)]
pub(super) struct Found {
    /// By name, in the order of the table.
    pub(super) figures: Vec<(&'static str, f64)>,
    /// While rollouts ran, microseconds from the instant at which each was due.
    pub(super) status: Histogram<u64>,
    /// From a leg's last report to the arrival of the leg that takes its slot, microseconds.
    pub(super) dispatch: Histogram<u64>,
}

impl Found {
    pub(super) fn figure(&self, name: &str) -> f64 {
        let found = self.figures.iter().find(|(other, _)| *other == name);
        found.map_or(f64::NAN, |(_, value)| *value)
    }

    pub(super) fn json(&self) -> Value {
        let figures =
            self.figures.iter().map(|(name, value)| ((*name).to_owned(), json!(round(*value))));
        Value::Object(figures.collect())
    }
}

/// Times of one rollout.
struct Carried {
    plan: Duration,
    start: Duration,
    wall: Duration,
}

pub(super) async fn run(size: Size) -> Result<Found> {
    let root = tempfile::tempdir().context("failed to make a directory for the nodes")?;
    let mut nodes = Nodes::start_some(root.path(), size.nodes)?;
    let leader = nodes.settled().await?;
    let channel = connect(&nodes.addresses()[leader]).await?;
    let bundle = bundle(&channel).await?;
    let empty_mib = most(&nodes.rss());
    let tally = Tally::new()?;
    let mut agents = JoinSet::new();
    let (cpu, began) = (nodes.cpu(), Instant::now());
    register(&channel, size.targets, &tally, &mut agents).await?;
    let registered = (nodes.cpu().saturating_sub(cpu), began.elapsed());
    let registered_mib = most(&nodes.rss());

    let mut status = histogram()?;
    let (cpu, before) = (nodes.cpu(), events(&channel).await?);
    let (mut plans, mut starts, mut wall) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut full_mib = 0.0;
    for number in 0..size.rollouts {
        let carried = tokio::select! {
            carried = carry(&channel, &bundle, (size.targets, number), (&tally, &mut status)) => carried?,
            Some(ended) = agents.join_next() => {
                ended?.context("an agent")?;
                bail!("an agent has gone")
            }
        };
        plans += carried.plan;
        starts += carried.start;
        wall += carried.wall;
        if number == 0 {
            full_mib = most(&nodes.rss());
        }
    }
    let cpu = nodes.cpu().saturating_sub(cpu);
    let made = events(&channel).await? - before;
    let (bytes, copied) = copy(&channel).await?;
    agents.shutdown().await;
    drop(channel);
    let (restarted, restarted_mib) = restart(&mut nodes).await?;

    let targets = f64::from(size.targets);
    let legs = targets * f64::from(size.rollouts);
    let kib = |now: f64| (now - empty_mib) * 1024.0 / targets;
    let dispatch = tally.dispatch.lock().await.clone();
    let figures = vec![
        ("events_per_s", float(made) / wall.as_secs_f64()),
        ("events_per_leg", float(made) / legs),
        ("cpu_us_per_leg", ms(cpu) * 1_000.0 / legs),
        ("register_cpu_us_per_target", ms(registered.0) * 1_000.0 / targets),
        ("register_s", registered.1.as_secs_f64()),
        ("empty_mib", empty_mib),
        ("registered_kib_per_target", kib(registered_mib)),
        ("kib_per_target", kib(full_mib)),
        ("full_mib", full_mib),
        ("status_p50_ms", quantile(&status, 0.5)),
        ("status_p99_ms", quantile(&status, 0.99)),
        ("status_max_ms", quantile(&status, 1.0)),
        ("dispatch_p50_ms", quantile(&dispatch, 0.5)),
        ("dispatch_p99_ms", quantile(&dispatch, 0.99)),
        ("plan_ms", ms(plans) / f64::from(size.rollouts)),
        ("start_ms", ms(starts) / f64::from(size.rollouts)),
        ("rollout_s", wall.as_secs_f64() / f64::from(size.rollouts)),
        ("snapshot_mib", float(bytes) / 1024.0 / 1024.0),
        ("snapshot_ms", ms(copied)),
        ("events", float(made)),
        ("restart_ms", ms(restarted)),
        ("restarted_mib", restarted_mib),
    ];
    Ok(Found { figures, status, dispatch })
}

/// Of several nodes, the one with most.
fn most(of: &[f64]) -> f64 {
    of.iter().copied().fold(0.0, f64::max)
}

/// Milliseconds out of a histogram of microseconds.
pub(super) fn quantile(of: &Histogram<u64>, quantile: f64) -> f64 {
    float(of.value_at_quantile(quantile)) / 1_000.0
}

/// Every agent comes with its share of the targets and looks at them, all at one time.
async fn register(
    channel: &Channel,
    targets: u32,
    tally: &Arc<Tally>,
    agents: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let before = events(channel).await?;
    let mut coming = JoinSet::new();
    for agent in 0..AGENTS {
        let share: Vec<String> = (0..targets)
            .filter(|n| *n as usize % AGENTS == agent)
            .map(|n| format!("scale/{agent:02}-{n:06}"))
            .collect();
        let (channel, tally) = (channel.clone(), Arc::clone(tally));
        coming.spawn(async move {
            Agent::attach(channel, format!("agent-{agent:02}"), &share, tally).await
        });
    }
    while let Some(agent) = coming.join_next().await {
        agents.spawn(agent??.carry_out());
    }
    // Registered and looked at: two events each, and one for each agent.
    let wanted = before + 2 * u64::from(targets) + AGENTS as u64;
    let until = Instant::now() + PATIENCE;
    while events(channel).await? < wanted {
        ensure!(Instant::now() < until, "the targets were not registered in {PATIENCE:?}");
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// One rollout over the whole fleet, looked at all the while.
async fn carry(
    channel: &Channel,
    bundle: &[u8],
    (targets, number): (u32, u32),
    (tally, status): (&Tally, &mut Histogram<u64>),
) -> Result<Carried> {
    let planning = Instant::now();
    let parallelism = u32::try_from(AGENTS)? * SLOTS;
    let up = number.is_multiple_of(2);
    let plan = plan(channel, bundle, "scale/*", (up, parallelism)).await?;
    let plan_time = planning.elapsed();
    let wanted = tally.legs.load(Ordering::Relaxed) + u64::from(targets);
    let looker = Looker { channel: channel.clone(), rollout: format!("mig-{:04}", number + 1) };
    let running = Arc::new(AtomicBool::new(true));
    let goes_on = Arc::clone(&running);
    let mut looks = load::open_while(&looker, LOOKS, move |_| goes_on.load(Ordering::Relaxed))?;
    // The pace is set before the rollout starts, so that short ones are looked at as often as long ones.
    sleep(Duration::from_millis(60)).await;
    let starting = Instant::now();
    let rollout = start(channel, plan).await?;
    let started = Instant::now();
    ensure!(rollout == looker.rollout, "{rollout} was started instead of {}", looker.rollout);
    let until = started + PATIENCE;
    while tally.legs.load(Ordering::Relaxed) < wanted {
        ensure!(Instant::now() < until, "{rollout} has not ended in {PATIENCE:?}");
        sleep(Duration::from_millis(1)).await;
    }
    let wall = starting.elapsed();
    let ended = Instant::now();
    running.store(false, Ordering::Relaxed);
    while let Some(look) = looks.recv().await {
        ensure!(look.good, "a status was not answered");
        if look.due >= starting && look.due < ended {
            record(status, look.answered - look.due);
        }
    }
    completed(channel, &rollout, targets, until).await?;
    Ok(Carried { plan: plan_time, start: started - starting, wall })
}

/// Every step of every target is verified, and the log says so.
async fn completed(channel: &Channel, rollout: &str, targets: u32, until: Instant) -> Result<()> {
    loop {
        let request = v1::StatusRequest { rollout: rollout.to_owned(), ..Default::default() };
        let reply = RolloutsClient::new(channel.clone()).status(request).await?.into_inner();
        let status = reply.rollouts.first().context("the rollout is gone")?.clone();
        if status.state() == v1::RolloutState::Completed {
            let steps = targets * STEPS;
            ensure!(
                status.steps_verified == steps,
                "{} of {steps} verified",
                status.steps_verified
            );
            return Ok(());
        }
        ensure!(Instant::now() < until, "{rollout}: {:?}, {}", status.state(), status.reason);
        sleep(Duration::from_millis(1)).await;
    }
}

/// Asks for the status of a rollout, as `skein status` does.
#[derive(Debug, Clone)]
struct Looker {
    channel: Channel,
    rollout: String,
}

impl load::Client for Looker {
    async fn ask(&self, _who: usize) -> Result<()> {
        let request = v1::StatusRequest { rollout: self.rollout.clone(), ..Default::default() };
        RolloutsClient::new(self.channel.clone()).status(request).await?;
        Ok(())
    }

    fn answered(&self) -> u64 {
        0
    }
}

/// Everything that a new node would be sent: its size, and the time until the last byte is here.
async fn copy(channel: &Channel) -> Result<(u64, Duration)> {
    let began = Instant::now();
    let mut client =
        ClusterClient::new(channel.clone()).max_decoding_message_size(64 * 1024 * 1024);
    let mut parts = client.backup(v1::BackupRequest {}).await?.into_inner();
    let mut bytes = 0;
    while let Some(part) = parts.message().await? {
        bytes += match part.part {
            Some(v1::backup_reply::Part::Frame(frame)) => frame.len() as u64,
            Some(v1::backup_reply::Part::Bundle(piece)) => piece.data.len() as u64,
            Some(v1::backup_reply::Part::Manifest(_)) | None => 0,
        };
    }
    Ok((bytes, began.elapsed()))
}

/// Stopped in order and started again, until it answers; the memory that it has then.
async fn restart(nodes: &mut Nodes) -> Result<(Duration, f64)> {
    let count = nodes.addresses().len();
    for node in 0..count {
        nodes.stop(node)?;
    }
    let began = Instant::now();
    for node in 0..count {
        nodes.spawn(node)?;
    }
    nodes.settled().await?;
    let time = began.elapsed();
    Ok((time, most(&nodes.rss())))
}
