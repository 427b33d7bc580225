//! The leader: one sequencer with a state ahead of the durable one, leases and presence in memory.

use std::collections::BTreeMap;

use skein_core::command::{Command, Request};
use skein_core::decide::{Decision, decide};
use skein_core::event::{Body, Event, LegKind};
use skein_core::evolve::evolve;
use skein_core::ids::{Fence, Millis, RequestId, Seq, TargetId};
use skein_core::outbox::{Leg, outbox};
use skein_core::refusal::Kind;
use skein_core::schedule::{Presence, schedule};
use skein_core::state::Fleet;
use skein_core::state::rollout::{Phase, Status};
use skein_core::state::target::Observation;

use super::mutation::Mutation;
use super::{Answer, Happening, Message, Sim};
use crate::observation::{Node, Seen};

/// As the coordinator names its own requests.
const SCHEDULER: &str = "skein/scheduler";
const LEASE_MS: u64 = 3_000;
const TICK_MS: u64 = 250;

/// Who waits for a record to become durable.
#[derive(Debug, Clone)]
pub(super) enum Waiter {
    Nobody,
    /// With the first event that the acknowledgement does not speak of.
    Agent(Message, Seq),
    Person(RequestId, u64, Option<Seq>),
}

#[derive(Debug, Default)]
pub(super) struct Leader {
    pub(super) up: bool,
    pub(super) term: u32,
    /// Behind the last durable event.
    pub(super) applied: Fleet,
    /// Behind the last proposed event.
    pub(super) ahead: Fleet,
    pub(super) pending: Vec<(Vec<Event>, Waiter)>,
    /// Its clock differs from the simulation's by so much.
    pub(super) clock_ms: i64,
    /// When each lease ends, unless its holder is heard of.
    pub(super) leases: BTreeMap<Fence, (TargetId, u64)>,
    /// The life of each agent that was heard of, and when.
    pub(super) heard: BTreeMap<usize, (u32, u64)>,
}

impl Leader {
    /// Three nodes lead in turn.
    pub(super) fn node(&self) -> Node {
        Node::from(1 + self.term % 3)
    }
}

impl Sim {
    fn clock(&self) -> Millis {
        let own = i64::try_from(self.now).unwrap_or(i64::MAX) + 10_000_000 + self.leader.clock_ms;
        Millis(u64::try_from(own).unwrap_or_default().max(self.leader.ahead.time.0))
    }

    /// Decides on the state ahead, and proposes.
    pub(super) fn ask(
        &mut self,
        actor: &str,
        id: Option<(RequestId, u64)>,
        command: Command,
    ) -> Result<Option<Seq>, Kind> {
        let actor =
            if self.mutated(Mutation::Anonymous) && actor == SCHEDULER { "" } else { actor };
        let kept = if self.mutated(Mutation::ForgetsRequests) { None } else { id };
        let (request_id, digest) = kept.unzip();
        let request = Request {
            id: request_id,
            digest: digest.unwrap_or_default(),
            actor: actor.to_owned(),
            charter: self.leader.ahead.charter(),
            now: self.clock(),
            command,
        };
        match decide(&self.leader.ahead, &request) {
            Ok(Decision::Events(events)) => {
                let first = events.first().map(|event| event.seq);
                self.propose(events);
                Ok(first)
            }
            Ok(Decision::Repeated(answer)) => Ok(Some(answer.first)),
            Err(refusal) => {
                self.note(|| format!("refused: {refusal} ({:?})", request.command));
                Err(refusal.kind)
            }
        }
    }

    /// Asks for something that may have become needless; a refusal changes nothing.
    pub(super) fn urge(&mut self, actor: &str, command: Command) {
        if let Err(kind) = self.ask(actor, None, command) {
            self.note(|| format!("needless: {kind:?}"));
        }
    }

    fn propose(&mut self, events: Vec<Event>) {
        for event in &events {
            if let Err(impossible) = evolve(&mut self.leader.ahead, event) {
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
            let (delay, term) = (self.dice.between(1, 20), self.leader.term);
            self.at(delay, Happening::Commit { term });
        }
    }

    fn tell(&mut self, waiter: Waiter) {
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
        self.see(Seen::Acked { node: self.leader.node(), before });
        if self.options.history {
            self.run.history.acked.push((self.leader.node(), before));
        }
    }

    pub(super) fn commit(&mut self, term: u32) {
        if term != self.leader.term || !self.leader.up {
            return;
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
            for event in &events {
                self.durable(event);
            }
            waiters.push(waiter);
        }
        waiters
    }

    fn durable(&mut self, event: &Event) {
        self.note(|| format!("event {} {:?}", event.seq, event.body));
        let mut folded = None;
        if self.mutated(Mutation::FoldsDifferently)
            && let Body::StepBackedUp { archive, .. } = &event.body
        {
            let mut other = event.clone();
            if let Body::StepBackedUp { archive: changed, .. } = &mut other.body {
                changed.bytes = archive.bytes + 1;
            }
            folded = Some(other);
        }
        // What cannot be applied is the watch's to say.
        drop(evolve(&mut self.leader.applied, folded.as_ref().unwrap_or(event)));
        if let Body::LegAssigned { target, .. } = &event.body {
            let until = self.now + LEASE_MS;
            self.leader.leases.insert(Fence(event.seq.0), (target.clone(), until));
        }
        self.see(Seen::Event(event));
    }

    /// Does what the schedule says, and hands out what is durable.
    pub(super) fn schedule(&mut self) {
        for _ in 0..1_000 {
            let presence = self.presence();
            let next = schedule(&self.leader.ahead, &presence, self.clock());
            if next.commands.is_empty() {
                break;
            }
            for command in next.commands {
                let shown = if self.options.trace { format!("{command:?}") } else { String::new() };
                if let Err(kind) = self.ask(SCHEDULER, None, command) {
                    let what = format!("{kind:?} {shown}");
                    return self.refused("what is scheduled is accepted", what);
                }
            }
        }
        self.sabotage();
        for agent in 0..self.agents.len() {
            self.hand_out(agent);
        }
    }

    fn presence(&self) -> Presence {
        let heard = self.leader.heard.keys().filter_map(|agent| self.agents.get(*agent));
        Presence { slots: heard.map(|agent| (agent.id.clone(), agent.slots)).collect() }
    }

    /// Legs that are durable, and that nothing proposed has ended.
    fn hand_out(&mut self, agent: usize) {
        let Some(&(life, _)) = self.leader.heard.get(&agent) else { return };
        let early = self.mutated(Mutation::HandsOutEarly);
        let durable = self.leader.applied.seq.0;
        let mut legs: Vec<Leg> = outbox(&self.leader.ahead, &self.agents[agent].id);
        legs.retain(|leg| early || leg.fence.0 < durable);
        let known = &self.agents[agent].executors;
        let news = legs.iter().any(|leg| {
            known.get(&leg.fence).is_none_or(|executor| executor.cancelled != leg.cancelled)
        });
        if news {
            self.send(Message::Legs { agent, life, legs });
        }
    }

    pub(super) fn heard(&mut self, agent: usize, life: u32, fences: &[Fence]) {
        if !self.leader.up {
            return;
        }
        let (known, _) = self.leader.heard.get(&agent).copied().unwrap_or((life, 0));
        if known > life {
            return;
        }
        self.leader.heard.insert(agent, (life, self.now));
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
        let current = self.leader.heard.get(&agent).is_none_or(|(known, _)| *known <= life);
        if !current {
            return;
        }
        let id = self.agents[agent].id.clone();
        let command = Command::Report { agent: id, target, fence, outcome: told };
        let answer = match self.ask(&self.agents[agent].actor(), None, command) {
            Ok(_) => Answer::Recorded,
            Err(Kind::LeaseLost) => Answer::LeaseLost,
            Err(_) => Answer::Refused,
        };
        // Also an empty answer stands on what is proposed, and waits with it.
        let ack = Message::Ack { agent, life, fence, serial, answer };
        self.wait(Waiter::Agent(ack, self.leader.ahead.seq));
    }

    pub(super) fn seen(&mut self, agent: usize, target: TargetId, seen: Observation) {
        if self.leader.up {
            let actor = self.agents[agent].actor();
            let agent = self.agents[agent].id.clone();
            let command = Command::RecordObservation { agent, target, seen: Ok(seen) };
            // A target may have been taken out in between.
            self.urge(&actor, command);
        }
    }

    pub(super) fn tick(&mut self, term: u32) {
        if term != self.leader.term || !self.leader.up {
            return;
        }
        self.at(TICK_MS, Happening::Tick { term });
        let now = self.now;
        self.leader.heard.retain(|_, (_, at)| *at + LEASE_MS > now);
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

    /// The leader loses its office; what it had proposed may have become durable, or not.
    pub(super) fn depose(&mut self) {
        if self.dice.chance(500) {
            // Nobody hears of it.
            drop(self.make_durable());
        }
        self.leader.pending.clear();
        self.leader.up = false;
        self.leader.heard.clear();
        self.leader.leases.clear();
        let pause = self.dice.between(50, 2_500);
        self.at(pause, Happening::Elect);
    }

    /// A new leader starts from the durable state, and gives every live lease its full length.
    pub(super) fn elect(&mut self) {
        self.leader.up = true;
        self.leader.term += 1;
        self.leader.ahead = self.leader.applied.clone();
        let until = self.now + LEASE_MS;
        for (_, target) in self.leader.applied.targets.iter() {
            if let Some(lease) = &target.lease {
                self.leader.leases.insert(lease.fence, (target.id.clone(), until));
            }
        }
        let term = self.leader.term;
        self.note(|| format!("term {term} begins"));
        self.at(TICK_MS, Happening::Tick { term });
    }

    /// Planted bugs of whatever is around the core.
    fn sabotage(&mut self) {
        let Some(mutation) = self.options.mutation else { return };
        let mut body = None;
        for state in self.leader.ahead.rollouts.values() {
            let wanted = match mutation {
                Mutation::OpensWaves => {
                    let more = usize::try_from(state.opened)
                        .is_ok_and(|opened| opened < state.plan.waves.len());
                    if state.status == Status::Running && more && state.leased() > 0 {
                        let wave = skein_core::ids::WaveIx(state.opened);
                        body = Some(Body::WaveStarted { rollout: state.id, wave });
                    }
                    false
                }
                Mutation::GrantsWhilePaused => state.status == Status::Paused && !state.turned,
                Mutation::GrantsAfterBreach => state.status == Status::Running && state.breached(),
                _ => false,
            };
            let ready = state.lanes.iter().find(|(_, lane)| wanted && lane.phase == Phase::Ready);
            let target = ready.and_then(|(_, lane)| self.leader.ahead.targets.get(lane.target));
            if let Some((target, agent)) = target.and_then(|one| Some((one, one.agents.first()?))) {
                body = Some(Body::LegAssigned {
                    rollout: state.id,
                    target: target.id.clone(),
                    agent: agent.clone(),
                    kind: LegKind::Forward,
                });
            }
        }
        if let Some(body) = body {
            let event = Event {
                seq: self.leader.ahead.seq,
                at: self.clock(),
                actor: SCHEDULER.to_owned(),
                charter: self.leader.ahead.charter(),
                request: None,
                body,
            };
            self.propose(vec![event]);
        }
    }
}
