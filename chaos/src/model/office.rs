//! How the lead passes from one node to the next, and what is lost on the way.

use std::sync::Arc;

use skein_core::decide::{Way, resumption};
use skein_core::event::{Body, LegKind};
use skein_core::evolve::evolve;
use skein_core::ids::RolloutId;
use skein_core::outbox::outbox;
use skein_core::plan::Plan;
use skein_core::state::rollout::{Phase, Status};

use super::coverage::Reach;
use super::leader::{LEASE_MS, Old, TICK_MS};
use super::mutation::Mutation;
use super::network::Message;
use super::{Happening, Sim};
use crate::observation::Seen;
use crate::shrink::Entry;

impl Sim {
    /// The leader loses its office; what it had proposed may have become durable, or not.
    pub(super) fn depose(&mut self) {
        let waited = !self.leader.pending.is_empty();
        if self.leader.dice.chance(500) {
            // Nobody hears of it.
            drop(self.make_durable());
            if waited {
                self.reach(Reach::RecordUnheard);
            }
        } else if waited {
            self.reach(Reach::RecordLost);
        }
        self.step_down();
    }

    fn step_down(&mut self) {
        if self.leader.dice.chance(400) {
            self.leader.snapshot = self.leader.applied.clone();
        }
        self.leader.pending.clear();
        let durable = self.leader.applied.seq;
        self.run.transcript.retain(|entry| match entry {
            Entry::Asked(asked) => asked.first.is_some_and(|first| first < durable),
            Entry::Effect(_) | Entry::Fence(..) | Entry::Mended(_) | Entry::Restored(_) => true,
        });
        self.leader.disk_fails = false;
        self.leader.up = false;
        self.leader.heard.clear();
        self.leader.held.clear();
        self.leader.leases.clear();
        self.openings.clear();
        let pause = self.leader.dice.between(50, 2_500);
        self.at(pause, Happening::Elect);
    }

    /// It is cut off from its peers: another one is elected, and it goes on for a while, with what it
    /// has, and with agents that have not heard of the new one.
    pub(super) fn cut_off(&mut self, long: u64) {
        let (fleet, heard) = (self.leader.applied.clone(), self.leader.heard.clone());
        self.depose();
        self.leader.old = Some(Old { fleet, heard, until: self.now + long });
    }

    /// The write of what is proposed fails: the leader stops. What it could not write others may have.
    pub(super) fn fail_disk(&mut self) {
        let node = self.leader.node;
        self.see(Seen::DiskFailed { node });
        if self.mutated(Mutation::AcksAfterDiskError) {
            let waiters = self.make_durable();
            for waiter in waiters {
                self.tell(waiter);
            }
        }
        self.depose();
    }

    /// A new leader starts from the durable state, and gives every live lease its full length.
    pub(super) fn elect(&mut self) {
        self.leader.up = true;
        self.leader.node = 1 + self.leader.node % 3;
        if !self.mutated(Mutation::TwoLeaders) {
            self.leader.term += 1;
        }
        let (node, term) = (self.leader.node, self.leader.term);
        self.see(Seen::Started { node });
        self.see(Seen::Voted { node, term, candidate: node });
        self.see(Seen::Leads { node, term });
        // Whoever attaches to a leader says what it serves.
        self.agents.iter_mut().for_each(|agent| agent.told = false);
        self.recover();
        self.leader.ahead = self.leader.applied.clone();
        let until = self.now + LEASE_MS;
        for (_, target) in self.leader.applied.targets.iter() {
            if let Some(lease) = &target.lease {
                self.leader.leases.insert(lease.fence, (target.id.clone(), until));
            }
        }
        self.note(|| format!("term {term} begins, node {node} leads"));
        self.at(TICK_MS, Happening::Tick { term });
    }

    /// The new leader's state is its snapshot, and the log behind it.
    fn recover(&mut self) {
        let node = self.leader.node;
        let mut fleet = self.leader.snapshot.clone();
        let from = usize::try_from(fleet.seq.0).unwrap_or(usize::MAX);
        let mut tail = self.watch.log().get(from..).unwrap_or_default().to_vec();
        if from > 0 && !tail.is_empty() {
            self.reach(Reach::SnapshotAndTail);
        }
        if self.mutated(Mutation::AppliesAnother)
            && let Some(last) = tail.last_mut()
        {
            "nobody".clone_into(&mut Arc::make_mut(last).actor);
        }
        if self.mutated(Mutation::LosesTail) {
            tail.pop();
        }
        for event in &tail {
            drop(evolve(&mut fleet, event));
            self.see(Seen::Applied { node, event });
        }
        if !self.mutated(Mutation::FoldsDifferently) {
            self.leader.applied = fleet;
        }
        let held = self.watch.see(Seen::State { node, fleet: &self.leader.applied });
        self.hold(held);
    }

    /// An agent that has not heard of the new leader gets what the old one takes to be the case.
    pub(super) fn heard_by_old(&mut self, agent: usize, life: u32) {
        let Some(old) = &self.leader.old else { return };
        let speaks = old.heard.get(&agent).is_some_and(|(known, _)| *known == life);
        if old.until < self.now || !speaks {
            return;
        }
        let legs = outbox(&old.fleet, &self.agents[agent].id);
        if !legs.is_empty() {
            self.reach(Reach::LegOfOldLeader);
            self.send(Message::Legs { agent, life, legs });
        }
    }

    /// What a client is told who asks whoever it takes for the leader.
    pub(super) fn read_status(&mut self, client: u32) {
        self.see(Seen::ReadBegan { client });
        let stale = self.mutated(Mutation::StaleReads);
        let old = self.leader.old.as_ref().filter(|old| stale && old.until > self.now);
        let at = match old {
            // It cannot make sure that it still leads, and answers nothing.
            Some(old) => old.fleet.seq,
            None if self.leader.up => self.leader.applied.seq,
            None => return,
        };
        self.see(Seen::ReadEnded { client, at });
    }

    /// Situations that an event tells of.
    pub(super) fn came_to(&mut self, body: &Body) {
        if let Body::RolloutPlanned { plan, .. } = body
            && plan.waves.iter().any(|wave| wave.part != plan.waves[0].part)
        {
            self.reach(Reach::CutByLabel);
        }
        let fleet = &self.leader.applied;
        match body {
            Body::RolloutPlanned { plan, .. } if classes(plan) > 1 => {
                self.reach(Reach::SeveralClasses);
            }
            Body::RolloutStarted { rollout } => {
                let drift =
                    fleet.rollouts.get(rollout).is_some_and(|one| one.plan.spec.accept_drift);
                if fleet.active.len() > 1 {
                    self.reach(Reach::TwoUnderWay);
                }
                if drift {
                    self.reach(Reach::DriftAccepted);
                }
            }
            Body::RollbackStarted { rollout, targets, .. } => {
                let under_way = fleet.rollouts.get(rollout).is_some_and(|one| one.leased() > 0);
                let older = fleet.rollouts.keys().next_back().is_some_and(|last| last > rollout);
                let blocked = targets.iter().any(|unwind| !unwind.blocked_by.is_empty());
                for (is, reach) in [
                    (under_way, Reach::TurnedUnderWay),
                    (older, Reach::OlderRolledBack),
                    (blocked, Reach::RollbackBlocked),
                ] {
                    if is {
                        self.reach(reach);
                    }
                }
            }
            Body::LegAssigned { rollout, kind: LegKind::Forward, .. } => {
                let turned = fleet.rollouts.get(rollout).is_some_and(|one| one.turned);
                if turned {
                    self.reach(Reach::LookBeforeUndo);
                }
            }
            Body::StepRetried { .. } => self.reach(Reach::Retried),
            Body::ArrivalsSettled { joined, .. } if !joined.is_empty() => {
                self.reach(Reach::JoinedLate);
            }
            _ => {}
        }
    }

    /// Somebody is about to resume what had turned back.
    pub(super) fn goes_forward(&mut self, rollout: RolloutId, all: bool) {
        let fleet = &self.leader.ahead;
        let found = resumption(fleet, rollout, all).ok();
        let Some(Way::Forward(from)) = found.map(|found| found.way) else { return };
        let Some(state) = fleet.rollouts.get(&rollout) else { return };
        let lanes = || state.lanes.iter().map(|(_, lane)| lane);
        let back = || lanes().filter(|lane| lane.is_back());
        let is = [
            (back().any(|lane| lane.breach), Reach::ForwardAgain),
            (back().any(|lane| !lane.breach), Reach::ForwardByChoice),
            (back().any(|lane| lane.applied > 0), Reach::ForwardFromSteps),
            (lanes().any(|it| it.wave >= from && it.phase == Phase::Done), Reach::WaveDoneInPart),
        ];
        for (_, reach) in is.into_iter().filter(|(is, _)| *is) {
            self.reach(reach);
        }
    }

    /// Situations that a request tells of, before it is decided.
    pub(super) fn comes_to(&mut self, rollout: RolloutId, back: bool) {
        let status = self.leader.ahead.rollouts.get(&rollout).map(|state| state.status);
        match (status, back) {
            (Some(Status::Unwinding), true) => self.reach(Reach::RollbackWidened),
            (Some(Status::Paused), true) => self.reach(Reach::PausedRolledBack),
            (Some(Status::Halted), false) => self.reach(Reach::HaltedResumed),
            _ => {}
        }
    }
}

fn classes(plan: &Plan) -> usize {
    plan.classes.iter().filter(|class| class.targets > 0 && !class.steps.is_empty()).count()
}
