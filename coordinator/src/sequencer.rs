//! The one task that decides. Requests queue; a batch of them is decided in order, each on the state
//! that the earlier ones left, and made durable as one record; then they are answered.
//!
//! ```text
//!   Handle::ask ─► queue ─► decide on `ahead` ─► record ─► consensus ─► answers, leases, dispatch
//!                    ▲            │
//!                    └── schedule(ahead)
//! ```
//!
//! What must hold:
//! - Nothing is decided before every entry of earlier terms is applied here.
//! - One record is in flight. Whatever goes wrong with it, `ahead` is dropped and built again from
//!   the applied state; askers hear that the outcome is unknown, and repeat with the same id.
//! - Nothing is handed to an agent before its assignment is committed.

mod batch;
mod meant;

use openraft::async_runtime::WatchReceiver as _;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{Instant as _, ReadPolicy};
use skein_core::command::{Command, Request};
use skein_core::event::{Body, Event, Stop};
use skein_core::forecast::overruns;
use skein_core::hours::standing;
use skein_core::ids::{AgentId, Fence, Millis, RolloutId};
use skein_core::schedule::{Presence, schedule};
use skein_core::spec::Knob;
use skein_core::{Fleet, Refusal};
use skein_store::Payload;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::calendar::Calendar;
use crate::clock::LogTime;
use crate::codec;
use crate::leases::{Leased, Leases};
use crate::metrics::{Answered, Counted, kind};
use crate::raft::{Machine, Raft, Recorded};
use crate::sessions::Sessions;
use batch::Batch;

/// Requests that wait: above this askers wait to ask. At 256 clients with 16 in flight each.
const QUEUE_MAX: usize = 4096;
/// A commit that takes longer counts as unknown.
const COMMIT_LIMIT: Duration = Duration::from_secs(10);
/// Elected, and not yet able to take up the lead: tried again so often.
const BEGIN_AGAIN: Duration = Duration::from_millis(500);
/// Legs under way are asked so often whether they take longer than was forecast.
const OVERRUN_PACE_MS: u64 = 1_000;
/// After a decision that the state contradicts nothing is decided for so long.
const CONTRADICTION_REST: Duration = Duration::from_secs(1);
/// Who stands behind what the scheduler asks for.
pub(crate) const SCHEDULER: &str = "skein/scheduler";

/// The answer to an accepted request: it is durable on a majority.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepted {
    /// Events in the history then.
    pub(crate) seq: u64,
    /// The rollout that the request was about, where it made events about one.
    pub(crate) rollout: Option<RolloutId>,
}

/// Why a request was not accepted.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The asker's fault; nothing was changed.
    Refused(Refusal),
    /// This node does not lead; nothing was changed.
    NotLeader,
    /// It may or may not have happened: repeat it with the same id.
    Unknown(String),
}

impl Failure {
    fn counted(&self) -> Answered {
        match self {
            Self::Refused(_) => Answered::Refused,
            Self::NotLeader => Answered::NotLeader,
            Self::Unknown(_) => Answered::Unknown,
        }
    }
}

pub(crate) type Answer = Result<Accepted, Failure>;

type Reply = oneshot::Sender<Answer>;

struct Job {
    request: Request,
    /// `None`: the node's own.
    reply: Option<Reply>,
}

enum Message {
    Ask(Box<Job>),
    Renew(Vec<Fence>),
    Offer(AgentId),
}

/// Asks the sequencer.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    queue: mpsc::Sender<Message>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl Handle {
    /// Asks, and waits until the answer is durable.
    pub(crate) async fn ask(&self, request: Request) -> Answer {
        match self.queue(request).await {
            Some(answer) => answer.await.unwrap_or_else(|_closed| Err(stopping())),
            None => Err(stopping()),
        }
    }

    /// Queues a request; requests queued one after another are decided in that order.
    pub(crate) async fn queue(&self, request: Request) -> Option<oneshot::Receiver<Answer>> {
        let (reply, answer) = oneshot::channel();
        let job = Job { request, reply: Some(reply) };
        self.queue.send(Message::Ask(Box::new(job))).await.ok()?;
        Some(answer)
    }

    /// An agent is alive and holds these legs.
    pub(crate) async fn renew(&self, fences: Vec<Fence>) {
        drop(self.queue.send(Message::Renew(fences)).await);
    }

    /// An agent has come, or holds what is not its own: hand it what it has to do, and take back the rest.
    pub(crate) async fn offer(&self, agent: AgentId) {
        drop(self.queue.send(Message::Offer(agent)).await);
    }
}

fn stopping() -> Failure {
    Failure::Unknown("this node is stopping".to_owned())
}

/// A leader that no majority has answered for so many longest election timeouts leads nobody any more: by then
/// the others have another one, if they can have one.
pub(crate) const SILENT_ELECTIONS: u32 = 2;

/// What the task needs to run.
pub(crate) struct Sequencer {
    raft: Raft,
    machine: Arc<Machine>,
    sessions: Arc<Sessions>,
    calendar: Arc<Calendar>,
    lease: Duration,
    quorum: Duration,
    messages: mpsc::Receiver<Message>,
    stop: CancellationToken,
    waiting: VecDeque<Box<Job>>,
}

/// What only a leader has.
struct Leading {
    term: u64,
    ahead: Fleet,
    leases: Leases,
    time: LogTime,
    /// How long from the last look on.
    wake_in: Option<Duration>,
    /// What was open when agents were last told.
    standing: Vec<bool>,
    /// Not before then it is asked again which steps take longer than was forecast.
    overruns_at: Millis,
    /// When legs were last said to be held back.
    held: BTreeMap<Fence, Millis>,
}

impl Leading {
    /// The time by which this leader decides.
    fn now(&mut self) -> Millis {
        self.time.now(self.ahead.time)
    }

    /// Adds what is to be said of steps that take longer than was forecast; when to ask again, while any
    /// leg is under way. Asked at a pace, since each asking looks at all of them.
    fn overruns(
        &mut self,
        (presence, now): (&Presence, Millis),
        commands: &mut Vec<Command>,
    ) -> Option<Millis> {
        let legs = || self.ahead.agents.values().flat_map(|agent| agent.legs.keys());
        if legs().next().is_none() {
            self.held.clear();
            return None;
        }
        if now >= self.overruns_at {
            let live: BTreeSet<Fence> = legs().copied().collect();
            self.held.retain(|fence, _| live.contains(fence));
            self.held.extend(presence.held(&self.ahead).map(|fence| (fence, now)));
            self.overruns_at = Millis(now.0.saturating_add(OVERRUN_PACE_MS));
            commands.extend(overruns(&self.ahead, &self.held, now));
        }
        Some(self.overruns_at)
    }
}

impl Sequencer {
    pub(crate) fn new(
        raft: Raft,
        machine: Arc<Machine>,
        (sessions, calendar): (Arc<Sessions>, Arc<Calendar>),
        (lease, quorum): (Duration, Duration),
        stop: CancellationToken,
    ) -> (Self, Handle) {
        let (queue, messages) = mpsc::channel(QUEUE_MAX);
        let waiting = VecDeque::new();
        let sequencer =
            Self { raft, machine, sessions, calendar, lease, quorum, messages, stop, waiting };
        (sequencer, Handle { queue })
    }

    /// Runs until the node stops.
    pub(crate) async fn run(mut self) {
        let mut metrics = self.raft.server_metrics();
        let mut leading: Option<Leading> = None;
        let mut eager = false;
        loop {
            if self.stop.is_cancelled() {
                break;
            }
            if !eager && self.waiting.is_empty() {
                let wake_in = leading.as_ref().and_then(|leading| leading.wake_in);
                let elected = leading.is_none() && self.raft.as_leader().is_ok();
                let woken = tokio::select! {
                    biased;
                    () = self.stop.cancelled() => break,
                    message = self.messages.recv() => match message {
                        Some(message) => Woken::Message(message),
                        None => break,
                    },
                    // An end of the metrics is the end of consensus here: others decide from now on.
                    changed = metrics.changed() => match changed {
                        Ok(()) => Woken::Look,
                        Err(_stopped) => break,
                    },
                    () = self.sessions.changed() => Woken::Look,
                    expired = expired(leading.as_mut()) => Woken::Expired(expired),
                    () = due(wake_in) => Woken::Look,
                    () = tokio::time::sleep(BEGIN_AGAIN), if elected => Woken::Look,
                    // Nothing tells that a majority is silent.
                    () = tokio::time::sleep(self.quorum / 2), if leading.is_some() => Woken::Look,
                };
                match woken {
                    Woken::Message(message) => self.take(message, &mut leading),
                    Woken::Expired(command) => self.waiting.extend(command.map(own)),
                    Woken::Look => {}
                }
            }
            while self.waiting.len() < QUEUE_MAX
                && let Ok(message) = self.messages.try_recv()
            {
                self.take(message, &mut leading);
            }
            // Leases run out while there is always something else to do, too. After the messages: a
            // renewal that waits counts.
            while let Some(command) = expired(leading.as_mut()).now_or_never() {
                self.waiting.extend(command.map(own));
            }
            self.counted().waiting(self.waiting.len());
            eager = self.turn(&mut leading).await;
            self.counted().waiting(self.waiting.len());
        }
        self.sessions.close_all();
        for job in self.waiting.drain(..) {
            answer(job.reply, Err(stopping()));
        }
    }

    fn counted(&self) -> &Counted {
        self.machine.counted()
    }

    fn take(&mut self, message: Message, leading: &mut Option<Leading>) {
        match message {
            Message::Ask(job) => self.waiting.push_back(job),
            Message::Renew(fences) => {
                if let Some(leading) = leading {
                    leading.leases.renew(&fences);
                }
            }
            Message::Offer(agent) => {
                if let Some(leading) = leading {
                    let now = leading.now();
                    let hours = self.calendar.hours(&leading.ahead, now);
                    self.sessions.offer(&leading.ahead, &agent, (&hours, now));
                }
            }
        }
    }

    /// One round: lead, decide what waits, commit, ask the scheduler. Whether there is more to do at
    /// once.
    async fn turn(&mut self, leading: &mut Option<Leading>) -> bool {
        let term = self.term_led();
        if leading.as_ref().map(|leading| leading.term) != term {
            *leading = None;
            self.sessions.close_all();
            if let Some(term) = term {
                *leading = self.begin(term).await;
            }
        }
        let Some(state) = leading else {
            // Also an agent that was let in just before the lead was lost.
            self.sessions.close_all();
            for job in self.waiting.drain(..) {
                let kind = kind(&job.request.command);
                self.machine.counted().answered(kind, Answered::NotLeader);
                answer(job.reply, Err(Failure::NotLeader));
            }
            return false;
        };
        if let Some(more) = self.commit(state).await {
            return more;
        }
        *leading = None;
        true
    }

    /// The term that this node leads in, if it does and a majority has said so lately. One that is cut off from
    /// the others goes on to lead in its own eyes; it lets go of its agents, who may be able to reach the leader
    /// that the others have.
    fn term_led(&self) -> Option<u64> {
        let leader = self.raft.as_leader().ok()?;
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let alone = metrics.membership_config.membership().voter_ids().count() < 2;
        let acked = leader.last_quorum_acked();
        let lately = alone || acked.is_none_or(|at| at.elapsed() < self.quorum);
        lately.then_some(metrics.current_term)
    }

    /// Takes up the lead: waits until everything of earlier terms is applied, and starts every live
    /// lease again at full length.
    async fn begin(&self, term: u64) -> Option<Leading> {
        let read = self.raft.ensure_linearizable(ReadPolicy::ReadIndex);
        match tokio::time::timeout(COMMIT_LIMIT, read).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::info!(%error, "cannot take up the lead yet");
                return None;
            }
            Err(_elapsed) => return None,
        }
        let ahead = self.machine.fleet().clone();
        // Who waits is told with heartbeats, of which a new leader has had none: within a lease all are heard of.
        let mut time = LogTime::new();
        let lease_ms = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        let overruns_at = Millis(time.now(ahead.time).0.saturating_add(lease_ms));
        let mut leases = Leases::new(self.lease);
        for (leased, fence) in live_leases(&ahead) {
            leases.grant(fence, leased);
        }
        tracing::info!(term, seq = ahead.seq.0, "leading");
        Some(Leading {
            term,
            ahead,
            leases,
            time,
            wake_in: None,
            standing: Vec::new(),
            overruns_at,
            held: BTreeMap::new(),
        })
    }

    /// Decides as much of what waits as fits one record, and what the scheduler makes of it, and makes
    /// it durable. Whether there is more to do at once; `None` when the lead is to be taken up anew.
    ///
    /// A report that frees a slot and the leg that takes it are one record: between two legs a fleet waits
    /// for one commit, not for two.
    async fn commit(&mut self, leading: &mut Leading) -> Option<bool> {
        let mut batch = Batch::on(leading.ahead.seq);
        let mut asked_at = None;
        loop {
            while !batch.is_full()
                && let Some(job) = self.waiting.pop_front()
            {
                let now = leading.now();
                if let Err(failure) = batch.decide(&mut leading.ahead, now, *job) {
                    batch.fail(&failure, self.counted());
                    // It may be decided again at once.
                    tokio::select! {
                        () = self.stop.cancelled() => {}
                        () = tokio::time::sleep(CONTRADICTION_REST) => {}
                    }
                    return None;
                }
            }
            // What it asked for and is not decided yet, and on the same state what is, it would ask for
            // again.
            let state = Some(leading.ahead.seq);
            if batch.is_full() || asked_at == state {
                break;
            }
            asked_at = state;
            let now = leading.now();
            let hours = self.calendar.hours(&leading.ahead, now);
            let presence = Presence { hours, ..self.sessions.presence() };
            let mut next = schedule(&leading.ahead, &presence, now);
            let wake_at = [next.wake_at, leading.overruns((&presence, now), &mut next.commands)];
            let wake_at = wake_at.into_iter().flatten().min();
            leading.wake_in = wake_at.map(|at| Duration::from_millis(at.0.saturating_sub(now.0)));
            let commands = next.commands.into_iter();
            let commands = commands.map(|it| meant::found(it, &leading.ahead, &presence));
            self.waiting.extend(commands.map(own));
        }
        let made_sure = match batch.take_encoded() {
            events if !events.is_empty() => {
                self.write(codec::record_entry(batch.base, events)).await
            }
            _ if batch.has_askers() => self.confirm().await,
            _ => Ok(()),
        };
        if let Err(failure) = made_sure {
            batch.fail(&failure, self.counted());
            return None;
        }
        batch.settle(leading.ahead.seq, self.counted());
        self.follow(leading, &batch.events);
        Some(batch.is_full())
    }

    async fn write(&self, entry: bytes::Bytes) -> Result<(), Failure> {
        let (write, began) = (self.raft.client_write(Payload(entry)), Instant::now());
        match tokio::time::timeout(COMMIT_LIMIT, write).await {
            Ok(Ok(response)) => match Recorded::decode(&response.data.0) {
                Some(Recorded::Committed) => {
                    self.counted().committed(began.elapsed());
                    Ok(())
                }
                Some(Recorded::Stale) | None => {
                    Err(Failure::Unknown("the record met another state".to_owned()))
                }
            },
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
                Err(Failure::NotLeader)
            }
            Ok(Err(error)) => Err(Failure::Unknown(error.to_string())),
            Err(_elapsed) => Err(Failure::Unknown(
                "no majority has confirmed it in time; are enough nodes up?".to_owned(),
            )),
        }
    }

    /// Makes sure that this node still leads, where no record does: what it knows may be old.
    async fn confirm(&self) -> Result<(), Failure> {
        let read = self.raft.ensure_linearizable(ReadPolicy::ReadIndex);
        match tokio::time::timeout(COMMIT_LIMIT, read).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Failure::NotLeader),
            Err(_elapsed) => {
                Err(Failure::Unknown("no majority of the coordinator nodes answers".to_owned()))
            }
        }
    }

    /// What committed events mean for leases and for agents that are connected.
    fn follow(&self, leading: &mut Leading, events: &[Event]) {
        let mut agents: Vec<&AgentId> = Vec::new();
        let mut over: BTreeSet<Fence> = BTreeSet::new();
        let mut everybody = false;
        for event in events {
            match &event.body {
                Body::LeaseExpired { fence, released: false, .. }
                | Body::RepairReleased { fence, .. } => {
                    over.insert(*fence);
                }
                Body::LegAssigned { agent, target, .. }
                | Body::RepairAssigned { agent, target, .. } => {
                    let fence = leading.ahead.fence(event.seq);
                    leading.leases.grant(fence, Leased::Target(target.clone()));
                    agents.push(agent);
                }
                Body::GateAsked { agent, .. } => {
                    let fence = leading.ahead.fence(event.seq);
                    leading.leases.grant(fence, Leased::Gate(agent.clone()));
                    agents.push(agent);
                }
                // Nobody asks for it any more, or not to that end.
                Body::GateFailed { .. }
                | Body::GateReleased { .. }
                | Body::KnobSet {
                    knob:
                        Knob::SoakMs(_) | Knob::Throttle(..) | Knob::Batch(_) | Knob::BatchPauseMs(_),
                    ..
                }
                | Body::WaveSoaked { .. } => everybody = true,
                // Legs that somebody has in his hands are taken back.
                Body::RollbackStarted { .. }
                | Body::RolloutAborted { .. }
                | Body::LanesHeld { .. }
                | Body::LanesAborted { .. }
                | Body::LanesCancelled { .. }
                | Body::ChangesFrozen { .. }
                | Body::RolloutPaused { stop: Stop::AfterSteps | Stop::BehindBatches, .. } => {
                    everybody = true;
                }
                _ => {}
            }
        }
        self.sessions.lost(&over);
        let now = leading.now();
        let hours = self.calendar.hours(&leading.ahead, now);
        let standing = standing(&leading.ahead, &hours, now);
        // A window has closed, too, or a blackout has begun: legs may have to be given back.
        if everybody || standing != leading.standing {
            leading.standing = standing;
            self.sessions.offer_all(&leading.ahead, (&hours, now));
            return;
        }
        agents.sort_unstable();
        agents.dedup();
        for agent in agents {
            self.sessions.offer(&leading.ahead, agent, (&hours, now));
        }
    }
}

enum Woken {
    Message(Message),
    Expired(Option<Command>),
    Look,
}

fn answer(reply: Option<Reply>, with: Answer) {
    if let Some(reply) = reply {
        // An asker that has gone away needs no answer.
        drop(reply.send(with));
    }
}

/// A request of the node's own. Its charter is the one in force when it is decided.
fn own(command: Command) -> Box<Job> {
    let request = Request {
        id: None,
        digest: 0,
        actor: SCHEDULER.to_owned(),
        charter: skein_core::ids::Digest::default(),
        now: Millis(0),
        command,
    };
    Box::new(Job { request, reply: None })
}

fn live_leases(fleet: &Fleet) -> impl Iterator<Item = (Leased, Fence)> + use<'_> {
    let legs = fleet.agents.values().flat_map(|agent| &agent.legs).filter_map(|(fence, target)| {
        let target = fleet.targets.get(*target)?;
        Some((Leased::Target(target.id.clone()), *fence))
    });
    let asks = fleet
        .agents
        .iter()
        .flat_map(|(id, agent)| agent.asks.keys().map(|fence| (Leased::Gate(id.clone()), *fence)));
    legs.chain(asks)
}

/// The next lease that runs out.
async fn expired(leading: Option<&mut Leading>) -> Option<Command> {
    match leading {
        Some(leading) => {
            let (fence, leased) = leading.leases.expired().await;
            let why = "its agent was not heard of for the length of the lease".to_owned();
            match leased {
                Leased::Target(target) => {
                    let live = leading.ahead.target(&target).is_some_and(|(_, target)| {
                        target.lease.as_ref().is_some_and(|lease| lease.fence == fence)
                    });
                    live.then_some(Command::ExpireLease { target, fence, why })
                }
                Leased::Gate(agent) => {
                    let known = leading.ahead.agents.get(&agent);
                    let live = known.is_some_and(|known| known.asks.contains_key(&fence));
                    live.then_some(Command::ReleaseGate { agent, fence, why })
                }
            }
        }
        None => std::future::pending().await,
    }
}

/// The time at which the scheduler wants to be asked again.
async fn due(wake_in: Option<Duration>) {
    match wake_in {
        Some(left) => tokio::time::sleep(left.max(Duration::from_millis(1))).await,
        None => std::future::pending().await,
    }
}
