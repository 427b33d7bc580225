//! An executor: one leg, one small step at a time, so that a crash can fall between any two.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use skein_core::command::Outcome as Told;
use skein_core::event::{Archive, LegKind, Verdict};
use skein_core::ids::{Digest, Fence, StepIx};
use skein_core::outbox::{Leg, Mend};
use skein_core::spec::{Backup, Direction, Quantiles};
use skein_core::state::ledger::Entry;
use skein_core::state::repair::Evidence;

use super::coverage::Reach;
use super::database::{Holder, digest};
use super::mutation::Mutation;
use super::network::{Answer, Message};
use super::{Happening, Sim, mender, steps};
use crate::observation::Seen;

const RESEND_MS: u64 = 300;

/// What must never reach the log.
pub(super) const SECRET: &str = "hunter2";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    Read,
    BackUp,
    Step,
    Statements,
    Told,
    After,
    Verify,
    Close,
}

#[derive(Debug)]
pub(super) struct Executor {
    pub(super) leg: Leg,
    /// It runs no scripts, but sets a ledger right.
    pub(super) mend: Option<Mend>,
    /// On what each change of that ledger rests.
    pub(super) evidence: Vec<Evidence>,
    pub(super) database: usize,
    pub(super) stage: Stage,
    /// The step under way.
    pub(super) at: usize,
    /// So many steps were found in force.
    pub(super) found: usize,
    /// Gates around the step under way that have passed.
    pub(super) asked: usize,
    /// Gates that compare, and for which it has measured what was before.
    pub(super) measured: BTreeSet<String>,
    pub(super) cancelled: bool,
    /// The statement that runs is ended, on somebody's word.
    pub(super) killed: bool,
    /// Statements in batches are left behind the batch under way, on somebody's word.
    pub(super) leave: bool,
    /// Its agent is shut down.
    pub(super) shut: bool,
    /// A half that another one left is finished on somebody's word: nothing holds it back.
    pub(super) free: bool,
    /// When its last batch was done.
    pub(super) batched_at: Option<u64>,
    /// When it began with the step under way.
    pub(super) began_at: u64,
    /// For so long it has waited in it.
    pub(super) held_ms: u64,
    /// Since when it waits.
    pub(super) held_since: Option<u64>,
    /// Its step is in force, and its server says so then.
    pub(super) slow_until: u64,
    /// How long its last step took.
    pub(super) took_ms: u64,
    /// Its session is gone, and it has not noticed yet.
    pub(super) lost: bool,
    pub(super) backed_up: bool,
    /// Sent in order, each until it is acknowledged.
    pub(super) reports: VecDeque<(u32, Told)>,
    pub(super) serial: u32,
    pub(super) sent_at: Option<u64>,
    /// Until when a good reading of each throttle holds, and the limit that it was good for.
    pub(super) good: BTreeMap<String, (u64, u64)>,
    /// It does nothing any more, where that bug is planted.
    pub(super) asleep: bool,
    /// The step that was told before its effect, where that bug is planted.
    pub(super) boasted: Option<StepIx>,
}

/// What a step of an executor comes to.
pub(super) enum Next {
    /// Go on after a moment.
    On,
    /// Somebody else has the target: stop, and say nothing.
    Stop,
    /// Look again later.
    Later,
}

impl Executor {
    fn new(leg: Leg, database: usize) -> Self {
        Self {
            cancelled: leg.cancelled,
            killed: leg.kill,
            leave: leg.after_batch,
            shut: false,
            free: false,
            batched_at: None,
            began_at: 0,
            held_ms: 0,
            held_since: None,
            slow_until: 0,
            took_ms: 1,
            backed_up: leg.backed_up || leg.kind != LegKind::Forward,
            leg,
            mend: None,
            evidence: Vec::new(),
            database,
            stage: Stage::Open,
            at: 0,
            found: 0,
            asked: 0,
            measured: BTreeSet::new(),
            lost: false,
            good: BTreeMap::new(),
            asleep: false,
            reports: VecDeque::new(),
            serial: 0,
            sent_at: None,
            boasted: None,
        }
    }

    pub(super) fn mending(mend: &Mend, database: usize) -> Self {
        Self { mend: Some(mend.clone()), ..Self::new(mender::as_leg(mend), database) }
    }

    /// On which database it works.
    pub(super) fn database(&self) -> usize {
        self.database
    }

    /// A step is begun, or taken up.
    pub(super) fn begin(&mut self, now: u64) {
        (self.began_at, self.held_ms, self.held_since) = (now, 0, None);
        self.batched_at = None;
    }

    /// Something holds it back.
    pub(super) fn hold(&mut self, now: u64) {
        self.held_since.get_or_insert(now);
    }

    /// Nothing holds it back any more.
    pub(super) fn go(&mut self, now: u64) {
        self.held_ms += self.held_since.take().map_or(0, |since| now - since);
    }

    pub(super) fn tell(&mut self, told: Told) {
        self.serial += 1;
        self.reports.push_back((self.serial, told));
    }

    pub(super) fn last(&self) -> bool {
        self.at + 1 == self.leg.steps.len()
    }

    pub(super) fn close(&mut self, told: Told) -> Next {
        self.tell(told);
        self.stage = Stage::Close;
        Next::On
    }

    /// Its agent does not serve the target. What an earlier executor left there it cannot say.
    pub(super) fn turn_away(&mut self, taken_over: bool) {
        let step = self.leg.steps.first().map_or(StepIx(0), |step| step.ix);
        let verdict = if taken_over { Verdict::Unknown } else { Verdict::Never };
        let message = "this agent does not serve the target".to_owned();
        let (retryable, cancelled, file, line) = (false, false, String::new(), 0);
        self.close(Told::Failed { step, verdict, retryable, cancelled, message, file, line });
    }

    /// How many of the leg's steps the ledger shows; `None`: it is not what the log expects.
    pub(super) fn reconcile(&self, ledger: &[Entry]) -> Option<usize> {
        let mut expected = self.leg.expected.clone();
        let mut found = (expected == ledger).then_some(0);
        for (count, step) in (1..).zip(&self.leg.steps) {
            let there = expected.contains(&step.entry);
            match step.script {
                Direction::Up if !there => expected.push(step.entry.clone()),
                Direction::Down => expected.retain(|entry| entry.version != step.entry.version),
                Direction::Up | Direction::Validate => {}
            }
            if expected == ledger {
                found = Some(count);
            }
        }
        found
    }
}

impl Sim {
    /// Legs have arrived at an agent.
    pub(super) fn handed(&mut self, agent: usize, life: u32, legs: Vec<Leg>) {
        if !self.agents[agent].up || self.agents[agent].life != life {
            return;
        }
        for leg in legs {
            let (fence, leaves) = (leg.fence, leg.after_batch);
            if let Some(executor) = self.agents[agent].executors.get_mut(&fence) {
                executor.cancelled |= leg.cancelled;
                executor.killed |= leg.kill;
                executor.leg.throttles = leg.throttles;
                executor.leg.batching = leg.batching;
                if leaves && !std::mem::replace(&mut executor.leave, true) {
                    self.see(Seen::Leaves { fence, leaves });
                }
                continue;
            }
            let Some(database) = self.place_of(&leg.target) else { continue };
            if self.agents[agent].finished.contains(&fence) {
                self.reach(Reach::FinishedLegArrives);
                if !self.mutated(Mutation::BeginsAgain) {
                    continue;
                }
            }
            let live = self.leader.applied.target(&leg.target);
            let live = live.and_then(|(_, target)| target.lease.as_ref());
            if live.is_none_or(|lease| lease.fence != fence) {
                self.reach(Reach::LegAfterLease);
            }
            let taken_over = match leg.kind {
                LegKind::Forward => leg.backed_up,
                LegKind::Undo => true,
                LegKind::Trial => false,
            };
            let mut executor = Executor::new(leg, database);
            if self.agents[agent].unnamed.contains_key(&database) {
                self.reach(Reach::LegOfUnnamed);
                executor.turn_away(taken_over);
            }
            self.see(Seen::Leaves { fence, leaves });
            self.begin_work((agent, life), executor);
        }
    }

    pub(super) fn begin_work(&mut self, (agent, life): (usize, u32), executor: Executor) {
        let fence = executor.leg.fence;
        self.agents[agent].executors.insert(fence, Box::new(executor));
        self.at(1, Happening::Work { agent, life, fence });
    }

    /// A report was acknowledged.
    pub(super) fn acked(
        &mut self,
        (agent, life): (usize, u32),
        fence: Fence,
        serial: u32,
        answer: Answer,
    ) {
        if self.agents[agent].life != life {
            return;
        }
        let Some(executor) = self.agents[agent].executors.get_mut(&fence) else { return };
        if executor.reports.front().is_none_or(|(front, _)| *front != serial) {
            return;
        }
        if answer == Answer::LeaseLost {
            return self.stop(agent, fence);
        }
        if answer == Answer::Refused {
            let what = format!("{:?}", executor.reports);
            return self.refused("reports in order are accepted", what);
        }
        if let Some((_, Told::BackedUp(_))) = executor.reports.pop_front() {
            executor.backed_up = true;
        }
        executor.sent_at = None;
        self.push_report(agent, fence);
    }

    /// Sends the first report that is not acknowledged, now and then again.
    fn push_report(&mut self, agent: usize, fence: Fence) {
        let (now, life) = (self.now, self.agents[agent].life);
        let forgets = self.mutated(Mutation::ForgetsReports);
        let Some(executor) = self.agents[agent].executors.get_mut(&fence) else { return };
        let due = executor.sent_at.is_none_or(|at| at + RESEND_MS <= now && !forgets);
        let Some((serial, told)) = executor.reports.front().cloned().filter(|_| due) else {
            return;
        };
        executor.sent_at = Some(now);
        let target = executor.leg.target.clone();
        self.send(Message::Report { agent, life, target, fence, serial, told });
    }

    pub(super) fn stop(&mut self, agent: usize, fence: Fence) {
        self.agents[agent].finished.insert(fence);
        let Some(executor) = self.agents[agent].executors.remove(&fence) else { return };
        let holder = Holder { agent, life: self.agents[agent].life, fence };
        let database = &mut self.databases[executor.database];
        if database.lock == Some(holder) {
            database.lock = None;
        }
    }

    pub(super) fn work(&mut self, agent: usize, life: u32, fence: Fence) {
        if !self.agents[agent].up || self.agents[agent].life != life {
            return;
        }
        let stalled_until = self.agents[agent].stalled_until;
        if stalled_until > self.now {
            let delay = stalled_until - self.now;
            return self.at(delay, Happening::Work { agent, life, fence });
        }
        let Some(mut executor) = self.agents[agent].executors.remove(&fence) else { return };
        let next = self.go_on((agent, life), &mut executor);
        let done = executor.stage == Stage::Close && executor.reports.is_empty();
        self.agents[agent].executors.insert(fence, executor);
        let delay = match next {
            Next::Stop => return self.stop(agent, fence),
            Next::On | Next::Later if done => return self.stop(agent, fence),
            Next::On => self.agents[agent].dice.between(1, 40),
            Next::Later => self.agents[agent].dice.between(40, 120),
        };
        self.push_report(agent, fence);
        self.at(delay, Happening::Work { agent, life, fence });
    }

    fn go_on(&mut self, (agent, life): (usize, u32), executor: &mut Executor) -> Next {
        if executor.asleep || self.out_of_reach(executor) {
            return Next::Later;
        }
        if let Some(mend) = executor.mend.clone() {
            return match executor.stage {
                Stage::Open => self.open((agent, life), executor),
                Stage::Read => self.read_mend(executor, &mend),
                Stage::Told => self.tell_mend(executor, &mend),
                Stage::Close => Next::Later,
                Stage::BackUp | Stage::Step | Stage::Statements | Stage::After | Stage::Verify => {
                    self.write_mend(executor, &mend)
                }
            };
        }
        match executor.stage {
            Stage::Open => self.open((agent, life), executor),
            Stage::Read => self.read(executor),
            Stage::BackUp => {
                if executor.backed_up || self.mutated(Mutation::NoBackup) {
                    executor.stage = Stage::Step;
                    return Next::On;
                }
                if executor.serial == 0 {
                    // What gates compare with is measured before anything runs.
                    for gate in executor.leg.measure.clone() {
                        // No two targets answer alike.
                        let p50 = u64::try_from(executor.database).unwrap_or_default() + 1;
                        let queries = vec![Quantiles { p50, p95: 100 + p50, p99: self.now }];
                        executor.measured.insert(gate.name.clone());
                        executor.tell(Told::Baseline { gate: gate.name, queries });
                    }
                    let database = &self.databases[executor.database];
                    let (name, before) = (database.id.as_str(), database.fingerprint());
                    let archive = archive(name, before, executor.leg.backup);
                    executor.tell(Told::BackedUp(Box::new(archive)));
                }
                Next::Later
            }
            Stage::Step => self.step(agent, executor),
            Stage::Statements => self.statements(executor),
            Stage::Told if self.now < executor.slow_until => Next::Later,
            Stage::Told => steps::told(executor, &self.databases[executor.database]),
            Stage::After => self.after(agent, executor),
            Stage::Verify => self.verify(executor),
            Stage::Close => Next::Later,
        }
    }

    fn open(&mut self, (agent, life): (usize, u32), executor: &mut Executor) -> Next {
        let fence = executor.leg.fence;
        let database = &mut self.databases[executor.database];
        if database.by_statements() && self.options.mutation != Some(Mutation::NoSessionLock) {
            let me = Holder { agent, life, fence };
            if database.lock.is_some_and(|holder| holder != me) {
                self.reach(Reach::WaitsForSession);
                executor.asleep = self.mutated(Mutation::WaitsForEver);
                return Next::Later;
            }
            database.lock = Some(me);
        }
        let old = database.fence;
        let lowers = self.options.mutation == Some(Mutation::LowersFence);
        let blind = self.options.mutation == Some(Mutation::NoFenceCheck);
        if old > fence && !lowers && !blind {
            self.reach(Reach::FencedOff);
            return Next::Stop;
        }
        database.fence = if lowers { fence } else { old.max(fence) };
        let (id, new) = (database.id.clone(), database.fence);
        self.see(Seen::Fence { target: &id, old, new });
        executor.stage = Stage::Read;
        Next::On
    }

    fn read(&mut self, executor: &mut Executor) -> Next {
        let Some(first) = executor.leg.steps.first().map(|step| step.ix) else {
            return Next::Stop;
        };
        if executor.cancelled && self.mutated(Mutation::ReleasesUnseen) {
            return executor.close(Told::Released { why: "cancelled".to_owned() });
        }
        if self.mutated(Mutation::UndoesForwards) && executor.leg.kind == LegKind::Undo {
            executor.leg.steps.reverse();
        }
        if self.mutated(Mutation::WrongOrder) && executor.leg.kind == LegKind::Forward {
            executor.leg.steps.reverse();
        }
        if self.mutated(Mutation::OtherContent) {
            for step in &mut executor.leg.steps {
                step.entry.digest = Digest([7; 32]);
            }
        }
        let database = &self.databases[executor.database];
        // Where it is now: whoever has lost its session reads again in the middle of its leg.
        let step = executor.leg.steps.get(executor.at).map_or(first, |step| step.ix);
        let known = &executor.leg.identity;
        if !known.is_empty() && *known != database.identity {
            self.reach(Reach::ServerDiffers);
            let why = "the server is not the one that the log knows".to_owned();
            return executor.close(Told::Stuck { step, why });
        }
        if executor.leg.kind != LegKind::Trial && !self.mutated(Mutation::NoLedgerCheck) {
            match executor.reconcile(&database.ledger) {
                // Nothing of this lane runs before its backup is recorded: what is found then is not ours.
                Some(found)
                    if found == 0 || executor.backed_up || self.mutated(Mutation::AdoptsDrift) =>
                {
                    executor.found = found;
                    if found > executor.at {
                        self.reach(Reach::FoundInForce);
                    }
                }
                Some(_) | None => {
                    self.reach(Reach::LedgerDiffers);
                    let why = "the ledger is not what the log says".to_owned();
                    return executor.close(Told::Stuck { step, why });
                }
            }
        }
        executor.stage = Stage::BackUp;
        Next::On
    }
}

/// A backup as an agent tells of it.
pub(super) fn archive(name: &str, fingerprint: Digest, scope: Backup) -> Archive {
    let exempt = scope == Backup::Exempt;
    Archive {
        name: if exempt { String::new() } else { format!("{name}.dump") },
        sha256: digest("archive"),
        bytes: 1,
        tool: "test".to_owned(),
        scope,
        ms: 1,
        fingerprint,
        exemption: if exempt { "charter".to_owned() } else { String::new() },
        target_bytes: 0,
    }
}
