//! The legs in this agent's hands: which wait, which run, and which have only their last report to be
//! acknowledged.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use skein_proto::agent::v1::report::Outcome;
use skein_proto::agent::v1::{Batched, Failed, Leg, Released, Throttled, Verdict};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::lease::{Control, Lease, Renewed};
use super::mailbox::Mailbox;
use crate::leg::{self, Reports, Site};
use crate::throttle::Pace;

/// Owned by the session's task.
pub(crate) struct Hands {
    site: Arc<Site>,
    mailbox: Arc<Mailbox>,
    renewed: watch::Receiver<Renewed>,
    /// Legs at one time.
    slots: usize,
    held: BTreeMap<u64, Held>,
    running: JoinSet<Finished>,
    /// Why no leg is taken any more.
    closing: Option<String>,
}

struct Held {
    leg: Leg,
    control: watch::Sender<Control>,
    pace: watch::Sender<Pace>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// For a slot, or for the end of another leg on the same target.
    Waiting,
    Running,
    /// It is over, with this report as the last.
    Reported(u64),
}

/// Where a leg ends that is not wanted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelling {
    AfterStep,
    /// Or behind the batch under way.
    AfterBatch,
    /// The statement that runs is killed.
    Kill,
}

/// A leg that is over, and its last report; none where the lease was lost.
pub(crate) struct Finished {
    fence: u64,
    last: Option<u64>,
}

impl Hands {
    pub(crate) fn new(
        site: Arc<Site>,
        mailbox: Arc<Mailbox>,
        renewed: watch::Receiver<Renewed>,
        slots: usize,
    ) -> Self {
        Self {
            site,
            mailbox,
            renewed,
            slots,
            held: BTreeMap::new(),
            running: JoinSet::new(),
            closing: None,
        }
    }

    /// Takes a leg that was handed out. Being handed one twice changes nothing but what it waits for.
    pub(crate) fn take(&mut self, leg: Leg) {
        let fence = leg.fence;
        if self.held.contains_key(&fence) {
            // Another leader hands it out, and may know better what it waits for.
            self.pace(fence, Pace::of(leg));
            return;
        }
        if let Some(why) = &self.closing {
            // One that others may have begun is left to run out: to give it back unseen would say
            // that nothing of it stands.
            if !leg::is_taken_over(&leg) {
                let why = why.clone();
                self.mailbox.post(fence, &leg.target, Outcome::Released(Released { why }));
            }
            return;
        }
        let rivals: Vec<u64> = self
            .held
            .values()
            .filter(|held| held.leg.target == leg.target)
            .map(|held| held.leg.fence)
            .collect();
        if rivals.iter().any(|rival| *rival > fence) {
            tracing::warn!(fence, target = leg.target, "a leg older than the one in hand is left");
            return;
        }
        for rival in rivals {
            self.lose(rival, &format!("lease {fence} on the same target came after it"));
        }
        tracing::info!(fence, target = leg.target, rollout = leg.rollout, "a leg was taken");
        let (control, _) = watch::channel(Control::Go);
        let (pace, _) = watch::channel(Pace::of(leg.clone()));
        self.held.insert(fence, Held { leg, control, pace, phase: Phase::Waiting });
        self.start_ready();
    }

    fn start_ready(&mut self) {
        while self.running.len() < self.slots {
            let busy = |target: &str| {
                self.held
                    .values()
                    .any(|held| held.phase == Phase::Running && held.leg.target == target)
            };
            let ready = self
                .held
                .iter()
                .find(|(_, held)| held.phase == Phase::Waiting && !busy(&held.leg.target))
                .map(|(fence, _)| *fence);
            let Some(held) = ready.and_then(|fence| self.held.get_mut(&fence)) else { return };
            held.phase = Phase::Running;
            let lease = Lease { control: held.control.subscribe(), renewed: self.renewed.clone() };
            let (leg, pace) = (held.leg.clone(), held.pace.subscribe());
            let reports = Reports::new(self.mailbox.clone(), self.site.counted.clone(), &leg);
            let run = carry_out(self.site.clone(), leg, (lease, pace), reports);
            self.running.spawn(run);
        }
    }

    /// Waits for the end of a leg; for ever where none runs.
    pub(crate) async fn finished(&mut self) -> Finished {
        loop {
            match self.running.join_next().await {
                Some(Ok(finished)) => return finished,
                // Panics are caught inside, and nobody aborts a leg but by dropping everything.
                Some(Err(error)) => tracing::error!(%error, "a leg's task ended by itself"),
                None => std::future::pending().await,
            }
        }
    }

    /// Puts a leg away that is over. Returns its target where nothing was reported of it: what it did
    /// there, the coordinator has to learn by a look.
    pub(crate) fn settle(&mut self, Finished { fence, last }: Finished) -> Option<String> {
        let unreported =
            last.is_none().then(|| self.held.get(&fence).map(|it| it.leg.target.clone()));
        match last.filter(|last| self.mailbox.holds(*last)) {
            Some(last) => {
                if let Some(held) = self.held.get_mut(&fence) {
                    held.phase = Phase::Reported(last);
                }
            }
            None => {
                self.held.remove(&fence);
            }
        }
        self.start_ready();
        unreported.flatten()
    }

    /// What a leg waits for has changed, or how it goes over its batches.
    pub(crate) fn pace(&mut self, fence: u64, pace: Pace) {
        let Some(held) = self.held.get(&fence) else { return };
        held.pace.send_if_modified(|now| {
            let changed = *now != pace;
            *now = pace;
            changed
        });
    }

    /// Its legs with a statement in batches under way.
    pub(crate) fn batched(&self) -> Vec<Batched> {
        self.site.progress.told()
    }

    /// Its legs that wait for a throttle.
    pub(crate) fn throttled(&self) -> Vec<Throttled> {
        self.site.waits.told()
    }

    /// A report was answered: a leg whose last one it was is forgotten.
    pub(crate) fn acknowledged(&mut self, fence: u64, id: u64) {
        if self.held.get(&fence).is_some_and(|held| held.phase == Phase::Reported(id)) {
            self.held.remove(&fence);
        }
    }

    /// The lease is another's: the leg stops before its next write.
    pub(crate) fn lose(&mut self, fence: u64, why: &str) {
        let Some(held) = self.held.get_mut(&fence) else { return };
        tracing::warn!(fence, target = held.leg.target, why, "the lease is lost");
        match held.phase {
            Phase::Running => {
                held.control.send_replace(Control::Lost(why.to_owned()));
            }
            Phase::Waiting | Phase::Reported(_) => {
                self.held.remove(&fence);
            }
        }
    }

    /// The same, heard otherwise than in an answer to a report: a leg that has reported its end is told by that answer.
    pub(crate) fn leave(&mut self, fence: u64, why: &str) {
        if self.held.get(&fence).is_some_and(|held| !matches!(held.phase, Phase::Reported(_))) {
            self.lose(fence, why);
        }
    }

    /// The leg is not wanted any more: it ends behind the step under way and is given back.
    /// Where it ends sooner, `how` says.
    pub(crate) fn cancel(&mut self, fence: u64, (why, how): (&str, Cancelling)) {
        let Some(held) = self.held.get_mut(&fence) else { return };
        match held.phase {
            Phase::Waiting if !leg::is_taken_over(&held.leg) => {
                let released = Outcome::Released(Released { why: why.to_owned() });
                let id = self.mailbox.post(fence, &held.leg.target, released);
                held.phase = Phase::Reported(id);
            }
            // A leg that waits is cancelled when its turn comes: what others did of it has to be seen.
            Phase::Running | Phase::Waiting => {
                // A lost lease stays lost.
                held.control.send_if_modified(|control| {
                    let why = || why.to_owned();
                    let next = match (&*control, how) {
                        (Control::Killed(_) | Control::Lost(_), _) => None,
                        (_, Cancelling::Kill) => Some(Control::Killed(why())),
                        (Control::AfterBatch(_), _) => None,
                        (_, Cancelling::AfterBatch) => Some(Control::AfterBatch(why())),
                        (Control::Cancelled(_), Cancelling::AfterStep) => None,
                        (Control::Go, Cancelling::AfterStep) => Some(Control::Cancelled(why())),
                    };
                    let changed = next.is_some();
                    if let Some(next) = next {
                        *control = next;
                    }
                    changed
                });
            }
            Phase::Reported(_) => {}
        }
    }

    /// Takes no leg any more, and gives back what it has.
    pub(crate) fn close(&mut self, why: &str) {
        self.closing = Some(why.to_owned());
        self.site.waits.close();
        let fences: Vec<u64> = self.held.keys().copied().collect();
        for fence in fences {
            self.cancel(fence, (why, Cancelling::AfterStep));
        }
    }

    /// The leases to renew.
    pub(crate) fn fences(&self) -> Vec<u64> {
        let live = |held: &&Held| !matches!(&*held.control.borrow(), Control::Lost(_));
        self.held.values().filter(live).map(|held| held.leg.fence).collect()
    }

    /// Whether no leg runs or waits.
    pub(crate) fn is_idle(&self) -> bool {
        let waits = |held: &Held| held.phase == Phase::Waiting;
        self.running.is_empty() && !self.held.values().any(waits)
    }
}

async fn carry_out(
    site: Arc<Site>,
    leg: Leg,
    lease: (Lease, watch::Receiver<Pace>),
    reports: Reports,
) -> Finished {
    let _runs = site.counted.runs();
    let fence = leg.fence;
    let first = leg.steps.first().map_or(0, |step| step.step);
    let fallen = reports.clone();
    let run = AssertUnwindSafe(leg::run(site, leg, lease, reports)).catch_unwind();
    let last =
        run.await.unwrap_or_else(|_panic| {
            tracing::error!(fence, "a leg ended by a fault of the agent itself");
            Some(fallen.send(Outcome::Failed(Failed {
            step: first,
            verdict: Verdict::Unknown.into(),
            message: "the agent met a fault of its own and left the leg; its log says where. The \
                      target's ledger tells which steps are in force"
                .to_owned(),
            ..Failed::default()
        })))
        });
    Finished { fence, last }
}
