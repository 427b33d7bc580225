//! Connected agents: who is here, what each has in its hands, and what is offered to it. The leader's
//! memory; nothing of it is logged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use skein_core::Fleet;
use skein_core::hours::{Hours, stops};
use skein_core::ids::{AgentId, Fence, Millis, TargetId};
use skein_core::outbox::{Leg, asks_after, mends, outbox};
use skein_core::schedule::{Batched, Presence, Throttled};
use skein_core::spec::{Batching, Throttle};
use skein_proto::agent::v1 as wire;
use skein_proto::v1;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::reads::Reads;
use crate::{api, codec};

/// Messages that wait for a slow agent. Legs are bounded by its slots; above this it is cut off.
pub(crate) const OUTGOING_MAX: usize = 1024;

/// Gates to ask in one message.
const ASKS_MAX: usize = 256;

/// A leg that was over within this time, its wait in its agent's hands included, is a brief one.
const BRIEF: Duration = Duration::from_millis(500);

type Outgoing = mpsc::Sender<Result<wire::FromCoordinator, tonic::Status>>;

/// What an agent's release and configuration let it do.
#[derive(Debug)]
pub(crate) struct Skills {
    /// What it can ask besides targets; `None`: its release asks no gates.
    pub(crate) gates: Option<BTreeSet<String>>,
    /// It waits for throttles.
    pub(crate) throttles: bool,
}

#[derive(Debug)]
struct Session {
    number: u64,
    slots: u32,
    outgoing: Outgoing,
    /// Ends it, also where its agent reads nothing.
    ended: CancellationToken,
    /// Since when.
    in_hand: BTreeMap<Fence, Instant>,
    /// Its last leg was over so soon that the commit behind it counts.
    brief: bool,
    /// Taken back, and whether the statement that runs was to be killed.
    cancelled: BTreeMap<Fence, Cancelling>,
    /// Gates that it asks.
    asks: BTreeSet<Fence>,
    skills: Skills,
    /// What its legs were told to wait for, where that is anything.
    paces: BTreeMap<Fence, Pace>,
    /// Legs and gates in its hands, as its last heartbeat said: of some it may not have heard that they are over.
    held: BTreeSet<Fence>,
    /// Its legs that wait for a throttle, as its last heartbeat said.
    throttled: BTreeMap<TargetId, Throttled>,
    batched: BTreeMap<TargetId, Batched>,
    /// It reads schemas for people.
    reads_schemas: bool,
    /// When it last had a heartbeat. Not a report: what renews no lease must not make an agent whose
    /// lease has just run out the first to get the next.
    heard: Instant,
    /// What it said last of where it finds its targets.
    sources: Vec<v1::Source>,
    /// The last wish to read them again that it has met.
    answered: u64,
    /// It was asked to look at these behind a raised fence, and has not answered.
    doubted: BTreeSet<TargetId>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// The last wish to read sources again.
    wish: u64,
    sessions: BTreeMap<AgentId, Session>,
    /// When agents that have gone were heard of last.
    gone: BTreeMap<AgentId, Instant>,
    /// How often each target was looked at since this node leads.
    looks: BTreeMap<TargetId, u64>,
    /// Schemas that somebody waits for.
    reads: Reads,
}

/// All sessions of this node.
#[derive(Debug)]
pub(crate) struct Sessions {
    state: Mutex<State>,
    changed: Notify,
    looked: watch::Sender<u64>,
    /// Counts what agents have said of what they serve.
    rosters: watch::Sender<u64>,
    /// An agent that had no heartbeat for so long is not there, however long its connection still stands:
    /// a process that was stopped, or a machine that lost its power, closes none.
    silence: Duration,
}

impl Sessions {
    /// `lease`: how long one lives without a heartbeat, and so how long an agent may be silent.
    pub(crate) fn new(lease: Duration) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            looked: watch::Sender::default(),
            rosters: watch::Sender::default(),
            silence: lease,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An agent has come. Of two with one id the newer one stays. The session's number, and what
    /// tells when it is over.
    pub(crate) fn open(
        &self,
        agent: &AgentId,
        (slots, skills): (u32, Skills),
        outgoing: Outgoing,
    ) -> (u64, CancellationToken) {
        let mut state = self.lock();
        state.next += 1;
        let number = state.next;
        let ended = CancellationToken::new();
        let session = Session {
            number,
            ended: ended.clone(),
            slots: slots.max(1),
            outgoing,
            in_hand: BTreeMap::new(),
            brief: false,
            cancelled: BTreeMap::new(),
            asks: BTreeSet::new(),
            skills,
            paces: BTreeMap::new(),
            held: BTreeSet::new(),
            throttled: BTreeMap::new(),
            batched: BTreeMap::new(),
            reads_schemas: false,
            heard: Instant::now(),
            sources: Vec::new(),
            answered: 0,
            doubted: BTreeSet::new(),
        };
        state.gone.remove(agent);
        let older = state.sessions.insert(agent.clone(), session);
        drop(state);
        if let Some(older) = older {
            let status = tonic::Status::aborted(format!(
                "agent {agent} has connected again; if two processes use this id, give one another"
            ));
            drop(older.outgoing.try_send(Err(status)));
            older.ended.cancel();
        }
        self.changed.notify_one();
        (number, ended)
    }

    /// An agent's heart beats. Tells whoever waits where it had been silent for long. Whether it holds what it was not
    /// given here: it may have to be told that this is over.
    pub(crate) fn heard(
        &self,
        agent: &AgentId,
        number: u64,
        held: BTreeSet<Fence>,
        (throttled, batched): (BTreeMap<TargetId, Throttled>, BTreeMap<TargetId, Batched>),
    ) -> bool {
        let mut state = self.lock();
        let session = state.sessions.get_mut(agent).filter(|session| session.number == number);
        let Some(session) = session else { return false };
        let given = |fence| session.in_hand.contains_key(fence) || session.asks.contains(fence);
        let all_given = held.iter().all(given);
        let was_silent = session.is_silent(self.silence);
        session.heard = Instant::now();
        session.held = held;
        session.throttled = throttled;
        session.batched = batched;
        drop(state);
        if was_silent {
            self.changed.notify_one();
        }
        !all_given
    }

    /// These leases have run out: whoever has one in his hands leaves it.
    pub(crate) fn lost(&self, fences: &BTreeSet<Fence>) {
        if fences.is_empty() {
            return;
        }
        // What all agents have in their hands is gone over once, however many have run out together.
        for session in self.lock().sessions.values_mut() {
            let has = session.in_hand.keys().chain(&session.held);
            let over: BTreeSet<Fence> = has.copied().filter(|at| fences.contains(at)).collect();
            for fence in over {
                session.lose(fence);
            }
        }
    }

    /// An agent's stream has ended.
    pub(crate) fn close(&self, agent: &AgentId, number: u64) {
        let mut state = self.lock();
        if state.sessions.get(agent).is_some_and(|session| session.number == number) {
            let session = state.sessions.remove(agent);
            state.gone.extend(session.map(|session| (agent.clone(), session.heard)));
        }
        drop(state);
        self.changed.notify_one();
    }

    /// When agents that are not here were heard of last, as far as this node has while it leads.
    pub(crate) fn heard_of(&self, now: Millis) -> BTreeMap<AgentId, Millis> {
        let state = self.lock();
        let silent = state.sessions.iter().filter(|(_, session)| session.is_silent(self.silence));
        let silent = silent.map(|(agent, session)| (agent, session.heard));
        let gone = state.gone.iter().map(|(agent, at)| (agent, *at)).chain(silent);
        let ago = |at: Instant| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        gone.map(|(agent, at)| (agent.clone(), Millis(now.0.saturating_sub(ago(at))))).collect()
    }

    /// This node does not lead any more: every agent looks for the new leader.
    pub(crate) fn close_all(&self) {
        let mut state = self.lock();
        state.looks.clear();
        state.gone.clear();
        state.reads = Reads::default();
        for session in std::mem::take(&mut state.sessions).into_values() {
            let status = tonic::Status::unavailable("this node does not lead any more");
            drop(session.outgoing.try_send(Err(status)));
            session.ended.cancel();
        }
    }

    /// Resolves when agents came or went.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Who is here.
    pub(crate) fn presence(&self) -> Presence {
        let state = self.lock();
        let here = || state.sessions.iter().filter(|(_, it)| !it.is_silent(self.silence));
        // Of two agents that speak of one target, who has the later lease knows.
        let mut throttled: Vec<_> = here().flat_map(|(_, session)| &session.throttled).collect();
        throttled.sort_unstable_by_key(|(_, throttled)| throttled.fence);
        let mut batched: Vec<_> = here().flat_map(|(_, session)| &session.batched).collect();
        batched.sort_unstable_by_key(|(_, batched)| batched.fence);
        Presence {
            slots: here().map(|(id, session)| (id.clone(), session.legs())).collect(),
            gates: here()
                .filter_map(|(id, session)| Some((id.clone(), session.skills.gates.clone()?)))
                .collect(),
            throttles: here()
                .filter(|(_, session)| session.skills.throttles)
                .map(|(id, _)| id.clone())
                .collect(),
            throttled: throttled
                .into_iter()
                .map(|(target, throttled)| (target.clone(), throttled.clone()))
                .collect(),
            batched: batched
                .into_iter()
                .map(|(target, batched)| (target.clone(), batched.clone()))
                .collect(),
            heard: BTreeMap::new(),
            hours: Hours::default(),
        }
    }

    /// Hands an agent the legs that it has to do and does not have yet, and takes back those that are not
    /// wanted any more, or not at this time.
    pub(crate) fn offer(&self, fleet: &Fleet, agent: &AgentId, when: (&Hours, Millis)) {
        if let Some(session) = self.lock().sessions.get_mut(agent) {
            session.offer(fleet, agent, when);
        }
    }

    /// The same, to everybody.
    pub(crate) fn offer_all(&self, fleet: &Fleet, when: (&Hours, Millis)) {
        for (agent, session) in &mut self.lock().sessions {
            session.offer(fleet, agent, when);
        }
    }

    /// Asks agents to look at targets. The targets that somebody was asked about, with the number of looks
    /// before.
    pub(crate) fn ask_to_look(
        &self,
        wanted: &BTreeMap<TargetId, Vec<AgentId>>,
        fleet: &Fleet,
    ) -> BTreeMap<TargetId, u64> {
        let (seq, fence) = (fleet.seq, fleet.fence(fleet.seq));
        let mut state = self.lock();
        let mut asked = BTreeMap::new();
        let mut by_agent: BTreeMap<&AgentId, Vec<String>> = BTreeMap::new();
        for (target, agents) in wanted {
            let here = agents.iter().find(|agent| {
                let session = state.sessions.get(*agent);
                session.is_some_and(|session| !session.is_silent(self.silence))
            });
            if let Some(agent) = here {
                by_agent.entry(agent).or_default().push(target.to_string());
                asked.insert(target.clone(), state.looks.get(target).copied().unwrap_or_default());
            }
        }
        for (agent, targets) in by_agent {
            let Some(session) = state.sessions.get_mut(agent) else { continue };
            let held = |target: &&String| {
                let target = fleet.target(&TargetId((*target).clone()));
                target.is_some_and(|(_, target)| target.needs_fence())
            };
            let doubted: Vec<String> = targets.iter().filter(held).cloned().collect();
            session.doubted.extend(doubted.iter().cloned().map(TargetId));
            session.send(wire::from_coordinator::Message::Observe(wire::Observe {
                targets,
                seq: seq.0,
                doubted,
                fence: fence.0,
            }));
        }
        asked
    }

    /// What an agent saw is of no use. Whether it is to be asked again: not while it owes a look behind a
    /// raised fence, which an agent of an older release owes for ever.
    pub(crate) fn asks_again(&self, agent: &AgentId, target: &TargetId, raised: bool) -> bool {
        let mut state = self.lock();
        state.sessions.get_mut(agent).is_some_and(|session| {
            if raised { session.doubted.remove(target) } else { !session.doubted.contains(target) }
        })
    }

    /// What an agent saw was of use, or nobody asks.
    pub(crate) fn saw(&self, agent: &AgentId, target: &TargetId) {
        if let Some(session) = self.lock().sessions.get_mut(agent) {
            session.doubted.remove(target);
        }
    }

    /// An agent says that it reads schemas for people.
    pub(crate) fn reads_schemas(&self, agent: &AgentId, number: u64) {
        let mut state = self.lock();
        let session = state.sessions.get_mut(agent).filter(|session| session.number == number);
        if let Some(session) = session {
            session.reads_schemas = true;
        }
    }

    /// Asks one of a target's agents for its schema as it is now. The error says why nobody was asked.
    pub(crate) fn ask_for_schema(
        &self,
        (target, agents): (&TargetId, &[AgentId]),
        salt: Bytes,
    ) -> Result<oneshot::Receiver<wire::SchemaRead>, String> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut here = agents.iter().filter_map(|agent| {
            let session = state.sessions.get(agent)?;
            (!session.is_silent(self.silence)).then_some((agent, session))
        });
        let Some((first, session)) = here.next() else {
            return Err("no agent that serves it is connected".to_owned());
        };
        let mut all = std::iter::once((first, session)).chain(here);
        let Some((_, session)) = all.find(|(_, session)| session.reads_schemas) else {
            return Err(format!("agent {first} is of a release that reads no schemas for people"));
        };
        let Some((wish, told)) = state.reads.wish() else {
            return Err("too many schemas are being read: ask again".to_owned());
        };
        let target = target.to_string();
        let message =
            wire::from_coordinator::Message::ReadSchema(wire::ReadSchema { wish, target, salt });
        if session.send(message) {
            Ok(told)
        } else {
            Err("its agent is busy with other things: ask again".to_owned())
        }
    }

    /// An agent has read a schema, or could not.
    pub(crate) fn schema_read(&self, read: wire::SchemaRead) {
        self.lock().reads.told(read);
    }

    /// An agent has told where it finds its targets, and which wish that meets.
    pub(crate) fn told(
        &self,
        agent: &AgentId,
        number: u64,
        (sources, answered): (Vec<v1::Source>, u64),
    ) {
        let mut state = self.lock();
        let session = state.sessions.get_mut(agent).filter(|session| session.number == number);
        if let Some(session) = session {
            session.sources = sources;
            session.answered = session.answered.max(answered);
        }
        drop(state);
        self.rosters.send_modify(|count| *count += 1);
    }

    /// Waits until each of them has met a wish.
    pub(crate) async fn all_met(&self, wish: u64, asked: &[AgentId]) {
        let mut rosters = self.rosters.subscribe();
        while !self.owing(wish, asked).is_empty() && rosters.changed().await.is_ok() {}
    }

    /// Where an agent finds its targets, as it said last.
    pub(crate) fn sources(&self, agent: &AgentId) -> Vec<v1::Source> {
        let state = self.lock();
        state.sessions.get(agent).map(|session| session.sources.clone()).unwrap_or_default()
    }

    /// Asks every agent to read its sources again. The wish's number, and who was asked. An agent may have
    /// met wishes of another leader: they are numbered by time.
    pub(crate) fn ask_to_discover(&self, now: Millis) -> (u64, Vec<AgentId>) {
        let mut state = self.lock();
        state.wish = now.0.max(state.wish + 1);
        let wish = state.wish;
        let discover = wire::from_coordinator::Message::Discover(wire::Discover { wish });
        let here = state.sessions.iter().filter(|(_, session)| !session.is_silent(self.silence));
        let asked = here.map(|(agent, session)| {
            session.send(discover.clone());
            agent.clone()
        });
        (wish, asked.collect())
    }

    /// Those of the agents that have not met a wish. Who has come again since read everything on its way.
    pub(crate) fn owing(&self, wish: u64, asked: &[AgentId]) -> Vec<AgentId> {
        let state = self.lock();
        let met = |agent: &&AgentId| {
            state.sessions.get(*agent).is_some_and(|session| session.answered >= wish)
        };
        asked.iter().filter(|agent| !met(agent)).cloned().collect()
    }

    /// An agent's look at a target was taken in.
    pub(crate) fn looked(&self, target: &TargetId) {
        *self.lock().looks.entry(target.clone()).or_default() += 1;
        self.looked.send_modify(|count| *count += 1);
    }

    /// Waits until each of them was looked at since it was asked about.
    pub(crate) async fn all_looked(&self, asked: &BTreeMap<TargetId, u64>) {
        let mut looks = self.looked.subscribe();
        loop {
            let taken_in = *looks.borrow_and_update();
            let left = self.silent(asked).len() as u64;
            // One look is at one target: before so many more there is no need to go over all again.
            let enough = taken_in + left;
            if left == 0 || looks.wait_for(|count| *count >= enough).await.is_err() {
                return;
            }
        }
    }

    /// Those that were not looked at since they were asked about.
    pub(crate) fn silent(&self, asked: &BTreeMap<TargetId, u64>) -> Vec<TargetId> {
        let state = self.lock();
        asked
            .iter()
            .filter(|(target, before)| {
                state.looks.get(*target).copied().unwrap_or_default() <= **before
            })
            .map(|(target, _)| target.clone())
            .collect()
    }
}

/// What an agent is told of a leg while it is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Pace {
    throttles: Vec<Throttle>,
    batching: Batching,
}

/// Where a leg ends that is taken back: each is sooner than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cancelling {
    AfterStep,
    AfterBatch,
    Kill,
}

impl Cancelling {
    fn of(leg: &Leg) -> Self {
        match (leg.kill, leg.after_batch) {
            (true, _) => Self::Kill,
            (false, true) => Self::AfterBatch,
            (false, false) => Self::AfterStep,
        }
    }
}

impl Session {
    fn is_silent(&self, limit: Duration) -> bool {
        self.heard.elapsed() >= limit
    }

    /// Legs that it may hold at one time. Where they are brief, as many again as it runs wait with it: a
    /// slot would otherwise be idle for as long as a commit takes. Where they are not, one that waits
    /// could be another agent's.
    fn legs(&self) -> u32 {
        if self.brief { self.slots.saturating_mul(2) } else { self.slots }
    }

    /// Whether it was taken. Who takes nothing any more is cut off: when it comes again it is offered
    /// everything again.
    fn send(&self, message: wire::from_coordinator::Message) -> bool {
        let message = wire::FromCoordinator { message: Some(message) };
        let taken = self.outgoing.try_send(Ok(message)).is_ok();
        if !taken {
            self.ended.cancel();
        }
        taken
    }

    /// Gates that it asks and should not are taken back; new ones go out in company.
    fn offer_asks(&mut self, fleet: &Fleet, agent: &AgentId) {
        let Some(known) = fleet.agents.get(agent) else { return };
        let over: Vec<Fence> =
            self.asks.iter().filter(|fence| !known.asks.contains_key(*fence)).copied().collect();
        for fence in over {
            self.asks.remove(&fence);
            let why = "this gate is asked no more, or by another".to_owned();
            self.send(wire::from_coordinator::Message::Cancel(wire::Cancel {
                fence: fence.0,
                why,
                ..wire::Cancel::default()
            }));
        }
        let last = self.asks.last().copied().unwrap_or_default();
        let asks = asks_after(fleet, agent, last);
        for asks in asks.chunks(ASKS_MAX) {
            let fences = asks.iter().map(|ask| ask.fence);
            let message = wire::Asks { asks: asks.iter().cloned().map(api::ask_out).collect() };
            if self.send(wire::from_coordinator::Message::Asks(message)) {
                self.asks.extend(fences);
            }
        }
    }

    /// Tells what a leg waits for and how it goes over its batches, where that has changed while it is in the
    /// agent's hands.
    fn offer_pace(&mut self, fence: Fence, now: Pace) {
        let told = self.paces.get(&fence);
        if told.map_or(now == Pace::default(), |told| *told == now) {
            return;
        }
        if self.in_hand.contains_key(&fence) {
            let throttles = now.throttles.iter().map(codec::throttle_out).collect();
            let batching = codec::batching_out(now.batching);
            let message = wire::Throttles { fence: fence.0, throttles, batching };
            if !self.send(wire::from_coordinator::Message::Throttles(message)) {
                return;
            }
        }
        self.paces.insert(fence, now);
    }

    fn offer(&mut self, fleet: &Fleet, agent: &AgentId, (hours, at): (&Hours, Millis)) {
        let legs = outbox(fleet, agent);
        let mends = mends(fleet, agent);
        let fences = legs.iter().map(|leg| leg.fence);
        let live: BTreeSet<Fence> = fences.chain(mends.iter().map(|mend| mend.fence)).collect();
        // What was given out here and is over has ended by its reports, or has been said to be lost.
        let asks = fleet.agents.get(agent).map(|known| &known.asks);
        let asked = |fence: &Fence| asks.is_some_and(|asks| asks.contains_key(fence));
        let given = |fence: &Fence| self.in_hand.contains_key(fence) || self.asks.contains(fence);
        let strange = |fence: &Fence| !live.contains(fence) && !given(fence) && !asked(fence);
        let strange: Vec<Fence> = self.held.iter().copied().filter(strange).collect();
        for fence in strange {
            self.lose(fence);
        }
        let now = Instant::now();
        let over = self.in_hand.extract_if(.., |fence, _| !live.contains(fence));
        if let Some(since) = over.map(|(_, since)| since).max() {
            self.brief = now - since < BRIEF;
        }
        self.cancelled.retain(|fence, _| live.contains(fence));
        self.paces.retain(|fence, _| live.contains(fence));
        self.offer_asks(fleet, agent);
        let charter = fleet.charter();
        for mend in mends {
            let fence = mend.fence;
            if !self.in_hand.contains_key(&fence) {
                let leg = wire::from_coordinator::Message::Leg(api::mend_out(mend, charter));
                if self.send(leg) {
                    self.in_hand.insert(fence, now);
                }
            }
        }
        for leg in legs {
            let (fence, how) = (leg.fence, Cancelling::of(&leg));
            let turned = || "the rollout turned back or was stopped, or somebody holds the target";
            let stopped = leg.cancelled.then(|| turned().to_owned());
            let late = || stops(fleet, fleet.target(&leg.target)?.1, (hours, at));
            let cancelled = stopped.or_else(late);
            let (throttles, batching) = (leg.throttles.clone(), leg.batching);
            self.offer_pace(fence, Pace { throttles, batching });
            if !self.in_hand.contains_key(&fence) {
                let leg = wire::from_coordinator::Message::Leg(api::leg_out(leg, charter));
                if self.send(leg) {
                    self.in_hand.insert(fence, now);
                }
            }
            let told = self.cancelled.get(&fence).copied();
            if let Some(why) = cancelled.filter(|_| told.is_none_or(|told| told < how)) {
                let (kill, after_batch) = (how == Cancelling::Kill, how == Cancelling::AfterBatch);
                let cancel =
                    wire::Cancel { fence: fence.0, why, kill, after_batch, lease_lost: false };
                if self.send(wire::from_coordinator::Message::Cancel(cancel)) {
                    self.cancelled.insert(fence, how);
                }
            }
        }
    }

    /// Whoever waits for a throttle or a gate, or is at a long statement, reports nothing, and would not hear that its
    /// lease went to somebody else: it would keep the target's session from that one.
    fn lose(&mut self, fence: Fence) {
        self.held.remove(&fence);
        let why = format!("fence {fence} is no lease any more");
        let lost =
            wire::Cancel { fence: fence.0, why, lease_lost: true, ..wire::Cancel::default() };
        self.send(wire::from_coordinator::Message::Cancel(lost));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn looks_are_waited_for_until_each_target_had_one() {
        let sessions = Sessions::new(Duration::from_secs(1));
        let target = |name: &str| TargetId(name.to_owned());
        sessions.looked(&target("b"));
        let asked = BTreeMap::from([(target("a"), 0), (target("b"), 1), (target("c"), 0)]);
        let mut all = Box::pin(sessions.all_looked(&asked));
        assert!((&mut all).now_or_never().is_none());
        // Three looks, and one target without any.
        for name in ["a", "a", "b"] {
            sessions.looked(&target(name));
            assert!((&mut all).now_or_never().is_none(), "c was not looked at");
        }
        sessions.looked(&target("c"));
        assert!(all.now_or_never().is_some());
    }
}
