//! The leader: one sequencer with a state ahead of the durable one, leases and presence in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_core::command::{Command, Request};
use skein_core::decide::{Decision, decide};
use skein_core::event::{Body, Event};
use skein_core::evolve::evolve;
use skein_core::forecast::overruns;
use skein_core::ids::{Digest, Fence, Millis, RequestId, Seq, TargetId};
use skein_core::refusal::Kind;
use skein_core::schedule::{Presence, schedule};
use skein_core::state::Fleet;
use skein_core::state::target::Observation;

use super::connected::Connected;
use super::coverage::{self, Reach};
use super::dice::Dice;
use super::mutation::Mutation;
use super::network::{Answer, Message};
use super::{Happening, Sim};
use crate::observation::{Node, Seen};
use crate::shrink::{Asked, Entry};

/// As the coordinator names its own requests.
pub(super) const SCHEDULER: &str = "skein/scheduler";
pub(super) const LEASE_MS: u64 = 3_000;
pub(super) const TICK_MS: u64 = 250;

/// Who waits for a record to become durable.
#[derive(Debug, Clone)]
pub(super) enum Waiter {
    Nobody,
    /// With the first event that the acknowledgement does not speak of.
    Agent(Message, Seq),
    Person(RequestId, u64, Option<Seq>),
}

/// A leader that is none any more, and goes on.
#[derive(Debug)]
pub(super) struct Old {
    /// What it takes to be the case.
    pub(super) fleet: Fleet,
    /// The agents that it speaks with, and their lives: it cannot make sure of anything, and so takes
    /// in no other.
    pub(super) heard: BTreeMap<usize, (u32, u64)>,
    /// When it notices.
    pub(super) until: u64,
}

#[derive(Debug)]
pub(super) struct Leader {
    pub(super) up: bool,
    pub(super) node: Node,
    pub(super) term: u64,
    pub(super) dice: Dice,
    /// Behind the last durable event.
    pub(super) applied: Fleet,
    /// Behind the last proposed event.
    pub(super) ahead: Fleet,
    /// What some node has on its disk: the log up to some event, folded.
    pub(super) snapshot: Fleet,
    pub(super) pending: Vec<(Vec<Event>, Waiter)>,
    /// Its clock differs from the simulation's by so much.
    pub(super) clock_ms: i64,
    /// When each lease ends, unless its holder is heard of.
    pub(super) leases: BTreeMap<Fence, (TargetId, u64)>,
    /// The life of each agent that was heard of, and when.
    pub(super) heard: BTreeMap<usize, (u32, u64)>,
    /// The same, as it told its schedule last.
    pub(super) connected: Connected,
    /// When executors were last said to wait.
    pub(super) held: BTreeMap<Fence, Millis>,
    /// Its next write fails.
    pub(super) disk_fails: bool,
    /// One that was cut off, and does not know it yet.
    pub(super) old: Option<Old>,
}

impl Leader {
    pub(super) fn new(dice: Dice) -> Self {
        Self {
            up: true,
            node: 1,
            term: 1,
            dice,
            applied: Fleet::default(),
            ahead: Fleet::default(),
            snapshot: Fleet::default(),
            pending: Vec::new(),
            clock_ms: 0,
            leases: BTreeMap::new(),
            heard: BTreeMap::new(),
            connected: Connected::default(),
            held: BTreeMap::new(),
            disk_fails: false,
            old: None,
        }
    }
}

impl Sim {
    pub(super) fn clock(&mut self) -> Millis {
        let own = i64::try_from(self.now).unwrap_or(i64::MAX) + 10_000_000 + self.leader.clock_ms;
        let (own, log) = (u64::try_from(own).unwrap_or_default(), self.leader.ahead.time.0);
        if own < log {
            self.reach(Reach::ClockBehindLog);
        }
        Millis(own.max(log))
    }

    /// Decides on the state ahead, and proposes.
    pub(super) fn ask(
        &mut self,
        actor: &str,
        id: Option<(RequestId, u64)>,
        command: Command,
    ) -> Result<Option<Seq>, Kind> {
        let charter = self.leader.ahead.charter();
        self.ask_under(charter, actor, id, command)
    }

    /// The same, under a charter that may not be the one in force.
    pub(super) fn ask_under(
        &mut self,
        charter: Digest,
        actor: &str,
        id: Option<(RequestId, u64)>,
        command: Command,
    ) -> Result<Option<Seq>, Kind> {
        let anonymous = self.mutated(Mutation::Anonymous) && actor == SCHEDULER;
        let kept = if self.mutated(Mutation::ForgetsRequests) { None } else { id };
        let (request_id, digest) = kept.unzip();
        let request = Request {
            id: request_id,
            digest: digest.unwrap_or_default(),
            actor: if anonymous { String::new() } else { actor.to_owned() },
            charter,
            now: self.clock(),
            command,
        };
        match decide(&self.leader.ahead, &request) {
            Ok(Decision::Events(events)) => {
                let first = events.first().map(|event| event.seq);
                self.write_down(&request, &events);
                self.propose(events);
                Ok(first)
            }
            Ok(Decision::Repeated(answer)) => {
                self.reach(Reach::RequestRepeated);
                Ok(Some(answer.first))
            }
            Err(refusal) => {
                self.note(|| format!("refused: {refusal} ({:?})", request.command));
                if actor == SCHEDULER {
                    self.write_down(&request, &[]);
                }
                if self.options.refusals {
                    self.run.coverage.refusal(&refusal);
                }
                Err(refusal.kind)
            }
        }
    }

    /// Keeps what the core was given; a refusal of what was scheduled as well.
    fn write_down(&mut self, request: &Request, events: &[Event]) {
        if !self.options.transcript {
            return;
        }
        let made = |body: &Body| match body {
            Body::RolloutPlanned { rollout, .. } => Some(*rollout),
            _ => None,
        };
        let leased = events.iter().find(|event| {
            matches!(
                event.body,
                Body::LegAssigned { .. } | Body::RepairAssigned { .. } | Body::GateAsked { .. }
            )
        });
        let ordered = events.iter().find_map(|event| match &event.body {
            Body::RepairOrdered { repair, .. } => Some(*repair),
            _ => None,
        });
        self.run.transcript.push(Entry::Asked(Box::new(Asked {
            actor: request.actor.clone(),
            id: request.id.map(|id| (id, request.digest)),
            charter: request.charter,
            now: request.now,
            command: request.command.clone(),
            first: events.first().map(|event| event.seq),
            planned: events.iter().find_map(|event| made(&event.body)),
            repair: ordered,
            fence: leased.map(|event| Fence(event.seq.0)),
        })));
    }

    /// Asks for something that may have become needless; a refusal changes nothing.
    pub(super) fn urge(&mut self, actor: &str, command: Command) {
        if let Err(kind) = self.ask(actor, None, command) {
            self.note(|| format!("needless: {kind:?}"));
        }
    }

    pub(super) fn propose(&mut self, mut events: Vec<Event>) {
        self.misplace(&mut events);
        if self.mutated(Mutation::TrustsClock) {
            let own = self.now + 10_000_000;
            for event in &mut events {
                event.at = Millis(own.saturating_add_signed(self.leader.clock_ms));
            }
        }
        for event in &events {
            if let Err(impossible) = evolve(&mut self.leader.ahead, event)
                && !self.mutated(Mutation::TrustsClock)
            {
                self.refused("what is decided can be applied", impossible.to_string());
            }
        }
        self.leader.pending.push((events, Waiter::Nobody));
        self.soon();
    }

    /// Somebody waits for all that was proposed so far.
    pub(super) fn wait(&mut self, waiter: Waiter) {
        if self.mutated(Mutation::AcksEarly) {
            return self.tell(waiter);
        }
        self.leader.pending.push((Vec::new(), waiter));
        self.soon();
    }

    fn soon(&mut self) {
        if self.leader.pending.len() == 1 {
            // What is handed out early is done early only where becoming durable takes its time.
            let most = if self.mutated(Mutation::HandsOutEarly) { 400 } else { 20 };
            let (delay, term) = (self.leader.dice.between(1, most), self.leader.term);
            self.at(delay, Happening::Commit { term });
        }
    }

    pub(super) fn tell(&mut self, waiter: Waiter) {
        match waiter {
            Waiter::Nobody => {}
            Waiter::Agent(message, before) => {
                self.told_before(before);
                self.send(message);
            }
            Waiter::Person(id, body, answer) => {
                if let Some(first) = answer {
                    self.told_before(Seq(first.0 + 1));
                }
                self.see(Seen::Answered { id, body, first: answer });
                if self.options.history {
                    self.run.history.answers.push((id, body, answer));
                }
            }
        }
    }

    /// Somebody outside hears that all before this event is recorded.
    fn told_before(&mut self, before: Seq) {
        let node = self.leader.node;
        self.see(Seen::Acked { node, before });
        if self.options.history {
            self.run.history.acked.push((node, before));
        }
    }

    pub(super) fn commit(&mut self, term: u64) {
        if term != self.leader.term || !self.leader.up {
            return;
        }
        if std::mem::take(&mut self.leader.disk_fails) {
            return self.fail_disk();
        }
        let waiters = self.make_durable();
        for waiter in waiters {
            self.tell(waiter);
        }
        self.schedule();
    }

    /// Everything proposed is durable now; gives who waits for that.
    pub(super) fn make_durable(&mut self) -> Vec<Waiter> {
        let mut waiters = Vec::new();
        for (events, waiter) in std::mem::take(&mut self.leader.pending) {
            for event in events {
                self.durable(&Arc::new(event));
            }
            waiters.push(waiter);
        }
        waiters
    }

    fn durable(&mut self, event: &Arc<Event>) {
        self.note(|| format!("event {} {:?}", event.seq, event.body));
        let mut folded = None;
        if self.mutated(Mutation::FoldsDifferently)
            && let Body::StepBackedUp { archive, .. } = &event.body
        {
            let mut other = Event::clone(event);
            if let Body::StepBackedUp { archive: changed, .. } = &mut other.body {
                changed.bytes = archive.bytes + 1;
            }
            folded = Some(other);
        }
        // What cannot be applied is the watch's to say.
        drop(evolve(&mut self.leader.applied, folded.as_ref().unwrap_or(event)));
        if let Body::LegAssigned { target, .. } | Body::RepairAssigned { target, .. } = &event.body
        {
            let until = self.now + LEASE_MS;
            self.leader.leases.insert(Fence(event.seq.0), (target.clone(), until));
        }
        *self.run.coverage.events.entry(coverage::kind(&event.body)).or_default() += 1;
        if event.actor == SCHEDULER && matches!(event.body, Body::TargetsRetried { .. }) {
            self.reach(Reach::CalledIn);
        }
        self.came_to(&event.body);
        self.see(Seen::Event(event));
    }

    /// Does what the schedule says, and hands out what is durable.
    pub(super) fn schedule(&mut self) {
        let connected = self.take_connected();
        self.note_closed(&connected.presence.hours);
        let accepted = self.follow(&connected.presence);
        self.leader.connected = connected;
        if let Err(what) = accepted {
            return self.refused("what is scheduled is accepted", what);
        }
        self.sabotage();
        for agent in 0..self.agents.len() {
            self.hand_out(agent);
        }
    }

    /// Asks what is to be done, and does it, until nothing is; or what of it was not accepted.
    fn follow(&mut self, presence: &Presence) -> Result<(), String> {
        for _ in 0..1_000 {
            let now = self.clock();
            let mut next = schedule(&self.leader.ahead, presence, now);
            if self.mutated(Mutation::NeverFinishes) {
                next.commands.retain(|one| !matches!(one, Command::FinishRollout { .. }));
            }
            next.commands.extend(overruns(&self.leader.ahead, &self.leader.held, now));
            if next.commands.is_empty() {
                break;
            }
            for command in next.commands {
                let shown = if self.options.trace { format!("{command:?}") } else { String::new() };
                self.ask(SCHEDULER, None, command).map_err(|kind| format!("{kind:?} {shown}"))?;
            }
        }
        Ok(())
    }

    /// Executors that wait, as their agent says.
    fn hear_of_waits(&mut self, held: &[Fence]) {
        let at = self.clock();
        for fence in held {
            self.leader.held.insert(*fence, at);
            self.see(Seen::Held { fence: *fence, at });
        }
    }

    pub(super) fn heard(&mut self, agent: usize, life: u32, (fences, held): (&[Fence], &[Fence])) {
        self.heard_by_old(agent, life);
        if !self.leader.up {
            return;
        }
        let (known, _) = self.leader.heard.get(&agent).copied().unwrap_or((life, 0));
        if known > life {
            return;
        }
        self.leader.heard.insert(agent, (life, self.now));
        self.hear_of_waits(held);
        for fence in fences {
            if let Some((_, until)) = self.leader.leases.get_mut(fence) {
                *until = self.now + LEASE_MS;
            }
        }
        self.schedule();
    }

    pub(super) fn reported(&mut self, message: Message) {
        let Message::Report { agent, life, target, fence, serial, told } = message else { return };
        if !self.leader.up {
            return;
        }
        // An earlier life's report must not end the leg that a later one has been handed.
        if self.leader.heard.get(&agent).is_some_and(|(known, _)| *known > life) {
            return self.reach(Reach::ReportOfEarlierLife);
        }
        let id = self.agents[agent].id.clone();
        let command = Command::Report { agent: id, target, fence, outcome: told };
        let answer = match self.ask(&self.agents[agent].actor(), None, command) {
            Ok(_) => Answer::Recorded,
            Err(Kind::LeaseLost) => {
                self.reach(Reach::ReportAfterLease);
                Answer::LeaseLost
            }
            Err(_) => Answer::Refused,
        };
        // Also an empty answer stands on what is proposed, and waits with it.
        let ack = Message::Ack { agent, life, fence, serial, answer };
        self.wait(Waiter::Agent(ack, self.leader.ahead.seq));
    }

    pub(super) fn seen(
        &mut self,
        (agent, life): (usize, u32),
        target: TargetId,
        (seen, as_of): (Result<Observation, String>, Seq),
    ) {
        if !self.leader.up || self.leader.heard.get(&agent).is_some_and(|(known, _)| *known > life)
        {
            return;
        }
        let actor = self.agents[agent].actor();
        let agent = self.agents[agent].id.clone();
        // A target may have been taken out in between.
        self.urge(&actor, Command::RecordObservation { agent, target, seen, as_of: Some(as_of) });
    }

    pub(super) fn tick(&mut self, term: u64) {
        if term != self.leader.term || !self.leader.up {
            return;
        }
        self.at(TICK_MS, Happening::Tick { term });
        let now = self.now;
        self.leader.heard.retain(|_, (_, at)| *at + LEASE_MS > now);
        self.release_asks();
        let over: Vec<(Fence, TargetId)> = self
            .leader
            .leases
            .iter()
            .filter(|(_, (_, until))| *until <= now)
            .map(|(fence, (target, _))| (*fence, target.clone()))
            .collect();
        for (fence, target) in over {
            self.leader.leases.remove(&fence);
            let command = Command::ExpireLease { target, fence, why: "not heard of".to_owned() };
            self.urge(SCHEDULER, command);
        }
        self.schedule();
    }
}
