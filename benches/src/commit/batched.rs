//! The way in which steps of a rollout really become durable: agents hold many legs, and report them in
//! messages of at most 64 over one stream each. The executor does nothing; everything else is real:
//! scheduling, leases, the order of reports, acknowledgement after the commit.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use skein_proto::agent::v1 as wire;
use skein_proto::agent::v1::session_client::SessionClient;
use skein_proto::v1;
use skein_proto::v1::rollouts_client::RolloutsClient;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::skein::{STEPS, bundle, description, events, plan_and_start, register, say};
use crate::load::{Outcome, histogram, record};

/// Agents, each with a stream.
pub(crate) const AGENTS: usize = 16;
/// Reports in one message, at most.
pub(crate) const BATCH: usize = 64;
/// Legs at one time.
const SLOTS: u32 = 64;
/// Messages under way that are not acknowledged.
const WINDOW: usize = 4;
/// No rollout of this size takes longer unless something hangs.
const PATIENCE: Duration = Duration::from_mins(5);

/// Carries `per_agent` targets of each agent through a rollout; `round` makes their names unique.
/// `done` are events, and latencies are those of messages from sending to acknowledgement.
pub(super) async fn run(channel: &Channel, round: u32, per_agent: usize) -> Result<Outcome> {
    let bundle = bundle(channel).await?;
    for agent in 0..AGENTS {
        let ids: Vec<String> = ids(round, agent, per_agent).collect();
        register(channel, &name(round, agent), &ids).await?;
    }
    let mut agents = tokio::task::JoinSet::new();
    for agent in 0..AGENTS {
        let attached = Agent::attach(channel.clone(), round, agent, per_agent).await?;
        agents.spawn(tokio::time::timeout(PATIENCE, attached.carry_out(per_agent)));
    }
    let before = events(channel).await?;
    let slots = u32::try_from(AGENTS)? * SLOTS;
    let started = Instant::now();
    let rollout = plan_and_start(channel, &bundle, &format!("batched-{round}/*"), slots).await?;
    let mut latency = histogram()?;
    while let Some(agent) = agents.join_next().await {
        latency.add(agent?.context("a rollout without work hangs")??)?;
    }
    let wall = started.elapsed();
    let done = events(channel).await? - before;
    ended_well(channel, &rollout, AGENTS * per_agent).await?;
    Ok(Outcome { done, wall, latency, failed: 0 })
}

fn name(round: u32, agent: usize) -> String {
    format!("agent-{round}-{agent:02}")
}

fn ids(round: u32, agent: usize, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |n| format!("batched-{round}/{agent:02}-{n:05}"))
}

/// Every step of every target is verified, and the log says so.
async fn ended_well(channel: &Channel, rollout: &str, targets: usize) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let request = v1::StatusRequest { rollout: rollout.to_owned(), ..Default::default() };
        let status = RolloutsClient::new(channel.clone()).status(request).await?.into_inner();
        let status = status.rollouts.first().context("the rollout is gone")?.clone();
        if status.state() == v1::RolloutState::Completed {
            let steps = u32::try_from(targets)? * STEPS;
            ensure!(
                status.steps_verified == steps,
                "{} of {steps} verified",
                status.steps_verified
            );
            return Ok(());
        }
        if Instant::now() > until {
            bail!("{rollout} has not completed: {:?}, {}", status.state(), status.reason);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What an agent tells of a leg whose steps all go well.
pub(crate) fn outcomes(leg: &wire::Leg) -> Vec<wire::report::Outcome> {
    use wire::report::Outcome;
    let exempt = Outcome::BackedUp(wire::BackedUp {
        scope: v1::BackupScope::BackupNone.into(),
        fingerprint: vec![0; 32].into(),
        exemption: "the plan asks for none".to_owned(),
        sha256: vec![0; 32].into(),
        ..Default::default()
    });
    let mut outcomes = vec![exempt];
    let last = leg.steps.last().map(|step| step.step);
    for step in &leg.steps {
        let applied = wire::Applied { step: step.step, ms: 1, ..wire::Applied::default() };
        outcomes.push(Outcome::Applied(applied));
        let fingerprint = if Some(step.step) == last { vec![1; 32] } else { Vec::new() };
        let verified = wire::Verified { step: step.step, fingerprint: fingerprint.into() };
        outcomes.push(Outcome::Verified(verified));
    }
    outcomes
}

struct Agent {
    outgoing: mpsc::Sender<wire::FromAgent>,
    incoming: tonic::Streaming<wire::FromCoordinator>,
    /// To be sent, in order.
    waiting: VecDeque<wire::Report>,
    /// The last report of each message under way, when it was sent, and how many it has.
    sent: BTreeMap<u64, (Instant, usize)>,
    held: BTreeMap<u64, u64>,
    next: u64,
    latency: Histogram<u64>,
}

impl Agent {
    async fn attach(channel: Channel, round: u32, agent: usize, count: usize) -> Result<Self> {
        let (outgoing, messages) = mpsc::channel(WINDOW + 2);
        let hello = wire::Hello {
            agent: name(round, agent),
            version: "bench".to_owned(),
            slots: SLOTS,
            targets: ids(round, agent, count).map(|id| description(&id)).collect(),
            ..Default::default()
        };
        outgoing.send(say(wire::from_agent::Message::Hello(hello))).await?;
        let session = SessionClient::new(channel).attach(ReceiverStream::new(messages)).await?;
        Ok(Self {
            outgoing,
            incoming: session.into_inner(),
            waiting: VecDeque::new(),
            sent: BTreeMap::new(),
            held: BTreeMap::new(),
            next: 0,
            latency: histogram()?,
        })
    }

    /// Until every one of `targets` legs is acknowledged.
    async fn carry_out(mut self, targets: usize) -> Result<Histogram<u64>> {
        let mut left = targets;
        let mut beat = tokio::time::interval(Duration::from_secs(2));
        while left > 0 {
            let message = tokio::select! {
                message = self.incoming.message() => message?.context("the session has ended")?,
                _ = beat.tick() => {
                    let fences = self.held.values().copied().collect();
                    let beat = wire::Heartbeat { fences, ..wire::Heartbeat::default() };
                    self.outgoing.send(say(wire::from_agent::Message::Heartbeat(beat))).await?;
                    continue;
                }
            };
            match message.message.context("an empty message")? {
                wire::from_coordinator::Message::Leg(leg) => self.take(&leg),
                wire::from_coordinator::Message::Acknowledged(acknowledged) => {
                    if let Some(refused) = acknowledged.refused.first() {
                        bail!("a report was refused: {}", refused.why);
                    }
                    let last = acknowledged.ids.iter().max().copied().unwrap_or_default();
                    let (sent, count) = self.sent.remove(&last).context("an unknown message")?;
                    ensure!(acknowledged.ids.len() == count, "a message is acknowledged in part");
                    record(&mut self.latency, sent.elapsed());
                    for id in acknowledged.ids {
                        left -= usize::from(self.held.remove(&id).is_some());
                    }
                }
                _ => {}
            }
            self.send().await?;
        }
        Ok(self.latency)
    }

    /// A leg whose steps all go well.
    fn take(&mut self, leg: &wire::Leg) {
        for outcome in outcomes(leg) {
            self.next += 1;
            self.waiting.push_back(wire::Report {
                id: self.next,
                fence: leg.fence,
                target: leg.target.clone(),
                outcome: Some(outcome),
            });
        }
        self.held.insert(self.next, leg.fence);
    }

    async fn send(&mut self) -> Result<()> {
        while self.sent.len() < WINDOW && !self.waiting.is_empty() {
            let count = self.waiting.len().min(BATCH);
            let reports: Vec<wire::Report> = self.waiting.drain(..count).collect();
            let last = reports.last().map_or(0, |report| report.id);
            self.sent.insert(last, (Instant::now(), count));
            let reports = wire::Reports { reports };
            self.outgoing.send(say(wire::from_agent::Message::Reports(reports))).await?;
        }
        Ok(())
    }
}
