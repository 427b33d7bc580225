//! Agents that answer at once: many targets each over one stream, every step of a leg told as soon as the
//! leg comes, in messages of at most [`BATCH`] reports.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use skein_proto::agent::v1 as wire;
use skein_proto::agent::v1::session_client::SessionClient;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::commit::batched::{BATCH, outcomes};
use crate::commit::skein::{description, say, seen};
use crate::load::{histogram, record};

/// Legs of an agent at one time: one, so that a hundred targets keep agents as busy as many do.
pub(super) const SLOTS: u32 = 1;
/// Messages under way that are not acknowledged.
const WINDOW: usize = 4;

/// What all agents of a run have seen.
#[derive(Debug)]
pub(super) struct Tally {
    /// Legs whose last report is acknowledged.
    pub(super) legs: AtomicU64,
    /// From the message that ends a leg to the arrival of the leg that takes its slot.
    pub(super) dispatch: Mutex<Histogram<u64>>,
}

impl Tally {
    pub(super) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self { legs: AtomicU64::new(0), dispatch: Mutex::new(histogram()?) }))
    }
}

/// A report that waits to be sent.
struct Waiting {
    report: wire::Report,
    /// The rollout, where it is the last report of its leg.
    ends: Option<String>,
}

pub(super) struct Agent {
    outgoing: mpsc::Sender<wire::FromAgent>,
    incoming: tonic::Streaming<wire::FromCoordinator>,
    tally: Arc<Tally>,
    /// To be sent, in order.
    waiting: VecDeque<Waiting>,
    /// How many reports each message under way has, by its last.
    sent: BTreeMap<u64, usize>,
    /// Fences by the last report of their legs.
    held: BTreeMap<u64, u64>,
    /// Slots that were freed, for which rollout and when.
    freed: VecDeque<(String, Instant)>,
    next: u64,
}

impl Agent {
    /// Comes with these targets and looks at each.
    pub(super) async fn attach(
        channel: Channel,
        name: String,
        targets: &[String],
        tally: Arc<Tally>,
    ) -> Result<Self> {
        let (outgoing, messages) = mpsc::channel(64);
        let hello = wire::Hello {
            agent: name,
            version: "bench".to_owned(),
            slots: SLOTS,
            targets: targets.iter().map(|id| description(id)).collect(),
            ..Default::default()
        };
        outgoing.send(say(wire::from_agent::Message::Hello(hello))).await?;
        let session = SessionClient::new(channel).attach(ReceiverStream::new(messages)).await?;
        for id in targets {
            outgoing.send(seen(id)).await?;
        }
        Ok(Self {
            outgoing,
            incoming: session.into_inner(),
            tally,
            waiting: VecDeque::new(),
            sent: BTreeMap::new(),
            held: BTreeMap::new(),
            freed: VecDeque::new(),
            next: 0,
        })
    }

    /// Carries out what comes, until the session ends.
    pub(super) async fn carry_out(mut self) -> Result<()> {
        let mut beat = tokio::time::interval(Duration::from_secs(2));
        loop {
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
                wire::from_coordinator::Message::Leg(leg) => self.take(&leg).await,
                wire::from_coordinator::Message::Acknowledged(acknowledged) => {
                    self.acknowledged(&acknowledged)?;
                }
                _ => {}
            }
            self.send().await?;
        }
    }

    async fn take(&mut self, leg: &wire::Leg) {
        let now = Instant::now();
        self.freed.retain(|(rollout, _)| *rollout == leg.rollout);
        if let Some((_, freed)) = self.freed.pop_front() {
            record(&mut *self.tally.dispatch.lock().await, now - freed);
        }
        for outcome in outcomes(leg) {
            self.next += 1;
            let report = wire::Report {
                id: self.next,
                fence: leg.fence,
                target: leg.target.clone(),
                outcome: Some(outcome),
            };
            self.waiting.push_back(Waiting { report, ends: None });
        }
        if let Some(last) = self.waiting.back_mut() {
            last.ends = Some(leg.rollout.clone());
        }
        self.held.insert(self.next, leg.fence);
    }

    fn acknowledged(&mut self, acknowledged: &wire::Acknowledged) -> Result<()> {
        if let Some(refused) = acknowledged.refused.first() {
            bail!("a report was refused: {}", refused.why);
        }
        let last = acknowledged.ids.iter().max().copied().unwrap_or_default();
        let count = self.sent.remove(&last).context("an unknown message")?;
        ensure!(acknowledged.ids.len() == count, "a message is acknowledged in part");
        for id in &acknowledged.ids {
            let ended = u64::from(self.held.remove(id).is_some());
            self.tally.legs.fetch_add(ended, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<()> {
        while self.sent.len() < WINDOW && !self.waiting.is_empty() {
            let count = self.waiting.len().min(BATCH);
            let now = Instant::now();
            let mut reports = Vec::with_capacity(count);
            for Waiting { report, ends } in self.waiting.drain(..count) {
                self.freed.extend(ends.map(|rollout| (rollout, now)));
                reports.push(report);
            }
            let last = reports.last().map_or(0, |report| report.id);
            self.sent.insert(last, count);
            let reports = wire::Reports { reports };
            self.outgoing.send(say(wire::from_agent::Message::Reports(reports))).await?;
        }
        Ok(())
    }
}
