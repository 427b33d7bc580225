//! The session's own task: dials, greets, and then carries words both ways until the stream ends;
//! and so on until the agent is shut down.

use std::sync::Arc;
use std::time::Duration;

use skein_proto::agent::v1::from_agent::Message as Word;
use skein_proto::agent::v1::from_coordinator::Message as Heard;
use skein_proto::agent::v1::{
    Acknowledged, FromAgent, FromCoordinator, Heartbeat, Hello, Reports, Roster, Welcome,
};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use super::asks::Asks;
use super::dial::{Attached, Dialler};
use super::hands::{Cancelling, Hands};
use super::lease::Renewed;
use super::looks::Looks;
use super::mailbox::{Answer, Mailbox};
use super::reads::Reads;
use crate::config::TargetId;
use crate::db::Token;
use crate::roster;
use crate::throttle::Pace;

/// How long a shut-down waits for acknowledgements once the last leg is over.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long a broken stream has to say why.
const LAST_WORD: Duration = Duration::from_secs(1);
/// For a coordinator that names no bounds.
const LEASE_DEFAULT: Duration = Duration::from_secs(15);

/// Everything that the session's task owns.
pub(super) struct Talk {
    pub(super) hello: Hello,
    pub(super) dialler: Dialler,
    pub(super) hands: Hands,
    pub(super) asks: Asks,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) looks: Arc<Looks>,
    pub(super) reads: Arc<Reads>,
    pub(super) roster: Arc<roster::Roster>,
    /// The last wish that the sources be read again, for whoever reads them.
    pub(super) wishes: watch::Sender<u64>,
    /// Counts up when the roster has something to tell.
    pub(super) news: watch::Receiver<u64>,
    /// Counts up when a leg begins to wait for a throttle, or waits no more.
    pub(super) throttled: watch::Receiver<u64>,
    pub(super) renewed: watch::Sender<Renewed>,
    /// The way to the coordinator, for whoever else needs it.
    pub(super) channel: watch::Sender<Option<Channel>>,
    pub(super) stopping: CancellationToken,
}

/// When a shut-down may end: the deadline is set once the last leg is over.
#[derive(Default)]
struct Farewell {
    deadline: Option<Instant>,
}

impl Talk {
    pub(super) async fn run(mut self) {
        let mut farewell = None;
        self.first_reading().await;
        while let Some(attached) = self.attach(&mut farewell).await {
            tracing::info!(
                address = attached.address,
                node = attached.welcome.node,
                "attached to the coordinator"
            );
            self.mailbox.rewind(Instant::now());
            self.channel.send_replace(Some(attached.channel.clone()));
            let began = Instant::now();
            let end = self.converse(attached, &mut farewell).await;
            self.channel.send_replace(None);
            match end {
                End::Farewell => return,
                End::Stream(status) => {
                    let why = status.as_ref().map_or("it was closed", Status::message);
                    tracing::warn!(why, "the stream to the coordinator ended");
                    self.dialler.left(began.elapsed(), status.as_ref());
                }
            }
        }
    }

    /// An agent greets with all that it serves: its sources bound how long that may take.
    async fn first_reading(&mut self) {
        while !self.roster.is_begun() {
            tokio::select! {
                _ = self.news.changed() => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }

    /// Dials, while legs end and the shut-down is heard. `None`: the shut-down is done.
    async fn attach(&mut self, farewell: &mut Option<Farewell>) -> Option<Attached> {
        let greet = || {
            // What comes to be known behind a greeting is told afterwards.
            self.news.mark_unchanged();
            drop(self.roster.take_fresh());
            Hello {
                targets: self.roster.descriptions(),
                whole: self.roster.is_whole(),
                sources: self.roster.sources(),
                ..self.hello.clone()
            }
        };
        let attaching = self.dialler.attach(greet);
        tokio::pin!(attaching);
        loop {
            if is_over(farewell, &self.hands, &self.mailbox) {
                return None;
            }
            tokio::select! {
                attached = &mut attaching => return Some(attached),
                finished = self.hands.finished() => {
                    let left = self.hands.settle(finished);
                    self.looks.ask(left.and_then(|id| TargetId::parse(&id).ok()));
                }
                () = self.asks.decided() => {}
                () = self.stopping.cancelled(), if farewell.is_none() => {
                    *farewell = Some(Farewell::default());
                    self.hands.close(SHUT_DOWN);
                    self.asks.close();
                }
                () = sleep_until(deadline(farewell.as_ref())) => {}
            }
        }
    }

    async fn converse(&mut self, attached: Attached, farewell: &mut Option<Farewell>) -> End {
        let Attached { welcome, mut incoming, outgoing, .. } = attached;
        let lease = lease(&welcome);
        let mut beats = tokio::time::interval(heartbeat(&welcome, lease));
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first beat is due at once: it says which leases are still held here.
        let mut beat_due = false;
        self.looks.begin(welcome.seq);
        self.reads.begin();
        self.looks.ask(self.roster.ids());
        let mut news = self.news.clone();
        loop {
            if is_over(farewell, &self.hands, &self.mailbox) {
                return End::Farewell;
            }
            // Who takes leave waits for company no more.
            let due =
                self.mailbox.due().map(|due| if farewell.is_some() { Instant::now() } else { due });
            let reports_due = due.is_some_and(|due| due <= Instant::now());
            let has_news = self.news.has_changed().unwrap_or(false);
            let for_people = self.looks.has_seen() || self.reads.has_read();
            let has_word = beat_due || reports_due || has_news || for_people;
            tokio::select! {
                heard = incoming.message() => match heard {
                    Ok(Some(FromCoordinator { message: Some(message) })) => self.hear(message),
                    // A word of a later version.
                    Ok(Some(FromCoordinator { message: None })) => {}
                    Ok(None) => return End::Stream(None),
                    Err(status) => return End::Stream(Some(status)),
                },
                place = outgoing.reserve(), if has_word => {
                    let Ok(place) = place else {
                        // The transport has let go of the stream; its reason is on the other side.
                        let last = tokio::time::timeout(LAST_WORD, incoming.message()).await;
                        return End::Stream(last.ok().and_then(Result::err));
                    };
                    let now = Instant::now();
                    if let Some(message) = self.next_word(&mut beat_due, now) {
                        if matches!(message, Word::Heartbeat(_)) {
                            self.renewed.send_replace(Some(now + lease));
                        }
                        place.send(FromAgent { message: Some(message) });
                    }
                }
                // Who begins to wait, or goes on, says so at once; what is measured meanwhile can wait for a beat.
                Ok(()) = self.throttled.changed() => beat_due = true,
                _ = beats.tick() => {
                    beat_due = true;
                    self.mailbox.rewind_older(Instant::now(), lease / 3);
                }
                finished = self.hands.finished() => {
                    let left = self.hands.settle(finished);
                    self.looks.ask(left.and_then(|id| TargetId::parse(&id).ok()));
                }
                () = self.asks.decided() => {}
                () = self.mailbox.changed() => {}
                () = sleep_until(due), if !reports_due => {}
                () = self.looks.changed() => {}
                () = self.reads.changed() => {}
                // Heard here and kept: it is told in its turn.
                Ok(()) = news.changed(), if !has_news => {}
                () = self.stopping.cancelled(), if farewell.is_none() => {
                    *farewell = Some(Farewell::default());
                    self.hands.close(SHUT_DOWN);
                    self.asks.close();
                }
                () = sleep_until(deadline(farewell.as_ref())) => {}
            }
        }
    }

    /// Heartbeats go before reports, reports before what is served, that before observations, and those before
    /// what only people wait for.
    fn next_word(&mut self, beat_due: &mut bool, now: Instant) -> Option<Word> {
        if std::mem::take(beat_due) {
            let mut fences = self.hands.fences();
            fences.extend(self.asks.fences());
            let (throttled, batched) = (self.hands.throttled(), self.hands.batched());
            return Some(Word::Heartbeat(Heartbeat { fences, throttled, batched }));
        }
        let reports = self.mailbox.take(now);
        if !reports.is_empty() {
            return Some(Word::Reports(Reports { reports }));
        }
        if self.news.has_changed().unwrap_or(false) {
            self.news.mark_unchanged();
            self.looks.ask(self.roster.take_fresh());
            return Some(Word::Roster(Roster {
                targets: self.roster.descriptions(),
                whole: self.roster.is_whole(),
                sources: self.roster.sources(),
                answered: self.roster.answered(*self.wishes.borrow()),
            }));
        }
        let read = || self.reads.take().map(Word::SchemaRead);
        self.looks.take().map(Word::Observed).or_else(read)
    }

    fn hear(&mut self, message: Heard) {
        match message {
            Heard::Leg(leg) => self.hands.take(leg),
            Heard::Cancel(cancel) => {
                self.asks.drop(cancel.fence);
                if cancel.lease_lost {
                    return self.hands.leave(cancel.fence, &cancel.why);
                }
                let how = match (cancel.kill, cancel.after_batch) {
                    (true, _) => Cancelling::Kill,
                    (false, true) => Cancelling::AfterBatch,
                    (false, false) => Cancelling::AfterStep,
                };
                self.hands.cancel(cancel.fence, (&cancel.why, how));
            }
            Heard::Asks(asks) => self.asks.take(asks.asks),
            Heard::Throttles(changed) => {
                let batching = changed.batching.unwrap_or_default();
                self.hands.pace(changed.fence, Pace { throttles: changed.throttles, batching });
            }
            Heard::Acknowledged(acknowledged) => self.acknowledged(acknowledged),
            Heard::Observe(observe) => {
                self.looks.hear(observe.seq);
                for target in observe.targets {
                    let known = TargetId::parse(&target).ok();
                    let fence = observe.doubted.contains(&target).then_some(Token(observe.fence));
                    match known.filter(|id| self.roster.get(id).is_some()) {
                        Some(id) => self.looks.ask_behind(id, fence),
                        None => self.looks.cannot(target, self.roster.absence()),
                    }
                }
            }
            Heard::ReadSchema(wish) => self.reads.ask(wish),
            Heard::Discover(discover) => {
                self.wishes.send_replace(discover.wish);
                if !self.roster.has_sources() {
                    self.roster.tell();
                }
            }
            // Only the first word of a stream is one.
            Heard::Welcome(_) => {}
        }
    }

    fn acknowledged(&mut self, acknowledged: Acknowledged) {
        self.looks.hear(acknowledged.seq);
        for id in acknowledged.ids {
            if let Some(settled) = self.mailbox.settle(id, Answer::Taken) {
                self.asks.acknowledged(settled.fence, id);
                self.hands.acknowledged(settled.fence, id);
            }
        }
        for refused in acknowledged.refused {
            let (id, why) = (refused.id, refused.why);
            let answer = if refused.lease_lost {
                Answer::LeaseLost { why: why.clone() }
            } else {
                Answer::Refused { why: why.clone() }
            };
            let Some(settled) = self.mailbox.settle(id, answer) else { continue };
            self.asks.acknowledged(settled.fence, id);
            if refused.lease_lost {
                self.hands.lose(settled.fence, &why);
            } else if !settled.asked {
                // The log lacks something that this leg did: to give it back now would say that all
                // is told. Its lease runs out instead, and the next holder reads the ledger.
                self.hands.lose(settled.fence, &format!("a report was refused: {why}"));
            }
            self.hands.acknowledged(settled.fence, id);
        }
    }
}

/// What the legs that are given back say.
const SHUT_DOWN: &str = "the agent is shut down";

/// How a conversation ended.
enum End {
    Farewell,
    Stream(Option<Status>),
}

fn lease(welcome: &Welcome) -> Duration {
    match welcome.lease_ms {
        0 => LEASE_DEFAULT,
        ms => Duration::from_millis(ms.into()),
    }
}

/// At least three beats a lease, whatever was asked for.
fn heartbeat(welcome: &Welcome, lease: Duration) -> Duration {
    let asked = Duration::from_millis(welcome.heartbeat_ms.into());
    let most = lease / 3;
    if asked.is_zero() { most } else { asked.min(most) }.max(Duration::from_millis(1))
}

/// Whether a shut-down has nothing left to wait for.
fn is_over(farewell: &mut Option<Farewell>, hands: &Hands, mailbox: &Mailbox) -> bool {
    let Some(farewell) = farewell else { return false };
    if !hands.is_idle() {
        return false;
    }
    let now = Instant::now();
    let deadline = *farewell.deadline.get_or_insert(now + FAREWELL);
    mailbox.is_empty() || now >= deadline
}

fn deadline(farewell: Option<&Farewell>) -> Option<Instant> {
    farewell.and_then(|farewell| farewell.deadline)
}

pub(super) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
