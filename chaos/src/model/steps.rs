//! What an executor does for one step: look, run it in a transaction or statement by statement, tell
//! it, verify it.

use skein_core::command::Outcome as Told;
use skein_core::event::{LegKind, Measured, Verdict};
use skein_core::ids::StepIx;
use skein_core::outbox::Step;
use skein_core::spec::Direction;

use super::coverage::Reach;
use super::database::{Database, Intent};
use super::dice::{Dice, Stream};
use super::executor::{Executor, Next, SECRET, Stage};
use super::mutation::Mutation;
use super::{Sim, around};
use crate::observation::{Effect, Seen};

impl Sim {
    pub(super) fn step(&mut self, agent: usize, executor: &mut Executor) -> Next {
        let database = &self.databases[executor.database];
        let Some(step) = executor.leg.steps.get(executor.at).cloned() else {
            executor.stage = Stage::Close;
            return Next::On;
        };
        let begun = database.intent.as_ref().is_some_and(|intent| {
            intent.entry == step.entry && intent.script == step.script && intent.done > 0
        });
        let found = executor.at < executor.found;
        if executor.leg.kind == LegKind::Trial {
            let dice = &mut self.agents[agent].dice;
            let passed = !dice.chance(30);
            let impossible = passed && dice.chance(50);
            // What a batch commits could not be taken back.
            let batched = self.in_batches(&step.entry.version);
            let (passed, impossible) = (passed || batched, impossible || batched);
            let note = if passed { String::new() } else { "no such column".to_owned() };
            let last = executor.last();
            executor.tell(Told::Tried { step: step.ix, passed, impossible, note });
            if self.mutated(Mutation::TrialLeaves) {
                self.databases[executor.database].record(&step.entry, step.script);
                self.effect(executor, &step, true);
            }
            executor.at += 1;
            if !passed || last {
                executor.stage = Stage::Close;
            }
            return Next::On;
        }
        let other = !begun && database.intent.as_ref().is_some_and(|intent| intent.done > 0);
        if other && !found {
            let why = "another step was begun and not finished".to_owned();
            return executor.close(Told::Stuck { step: step.ix, why });
        }
        if executor.cancelled && !found && !begun {
            let fenced_off = database.fence > executor.leg.fence;
            self.reach(Reach::LegGivenBack);
            if fenced_off && !self.mutated(Mutation::NoFenceCheck) {
                return Next::Stop;
            }
            // An intent without a statement behind it: the probe says that nothing is in force.
            self.databases[executor.database].intent = None;
            return executor.close(Told::Released { why: "cancelled".to_owned() });
        }
        if found {
            return told_found(executor, &step, &self.databases[executor.database]);
        }
        let theirs = database.intent.as_ref().is_some_and(|one| one.fence != executor.leg.fence);
        if begun && theirs {
            self.reach(Reach::HalfCompleted);
        }
        if !begun {
            if let Some(next) = self.before(agent, executor, &step) {
                return next;
            }
            let fence = executor.leg.fence;
            executor.begin(self.now);
            self.see(Seen::Begins { fence, at: self.now });
            self.see(Seen::Starts { fence, version: &step.entry.version });
        }
        let batched = self.in_batches(&step.entry.version);
        if begun {
            if executor.shut {
                self.reach(Reach::LeftWithoutAWord);
                return Next::Stop;
            }
            if batched && theirs {
                self.reach(Reach::BatchesTakenUp);
            }
            executor.begin(self.now);
            executor.free = executor.cancelled;
        }
        let database = &self.databases[executor.database];
        if begun && theirs && !batched && self.agents[agent].dice.chance(150) {
            let why = "there is no probe".to_owned();
            return executor.close(Told::Stuck { step: step.ix, why });
        }
        if database.by_statements() || batched {
            if database.fence > executor.leg.fence
                && !self.mutated(Mutation::NoFenceCheck)
                && !self.mutated(Mutation::NoSessionLock)
            {
                return Next::Stop;
            }
            let done =
                if begun { database.intent.as_ref().map_or(0, |intent| intent.done) } else { 0 };
            let fence = executor.leg.fence;
            let anew = batched && theirs && self.mutated(Mutation::BeginsBatchesAnew);
            let done = if anew { 0 } else { done };
            let intent = Intent { entry: step.entry, script: step.script, done, fence };
            if batched || !self.mutated(Mutation::NoIntent) {
                self.databases[executor.database].intent = Some(intent);
            }
            executor.stage = Stage::Statements;
            return Next::On;
        }
        self.in_one_transaction(executor, &step)
    }

    fn in_one_transaction(&mut self, executor: &mut Executor, step: &Step) -> Next {
        let fence = executor.leg.fence;
        if self.mutated(Mutation::ReportsBeforeEffect)
            && executor.leg.kind == LegKind::Forward
            && executor.boasted != Some(step.ix)
        {
            executor.boasted = Some(step.ix);
            executor.tell(in_force(step.ix, (1, false)));
            return Next::Later;
        }
        let blind = self.mutated(Mutation::NoFenceCheck);
        let database = &mut self.databases[executor.database];
        if database.fence > fence && !blind {
            self.reach(Reach::FencedOff);
            return Next::Stop;
        }
        let poison = database.fails(&step.entry.version, step.script);
        if let Some(poison) = poison.filter(|poison| !poison.verification) {
            return executor.close(self.failed(step.ix, Verdict::Never, poison.retryable));
        }
        database.record(&step.entry, step.script);
        self.effect(executor, step, true);
        self.took(executor, step);
        executor.stage = Stage::Told;
        Next::On
    }

    /// One statement of two, each with its progress row.
    pub(super) fn statements(&mut self, executor: &mut Executor) -> Next {
        let Some(step) = executor.leg.steps.get(executor.at).cloned() else { return Next::Stop };
        if self.in_batches(&step.entry.version) {
            return self.batch(executor, &step);
        }
        let database = &mut self.databases[executor.database];
        let done = database.intent.as_ref().map_or(1, |intent| intent.done);
        if executor.killed {
            self.reach(Reach::StatementKilled);
            let verdict = self.left_at(executor.database, done);
            let (message, file, line) = ("somebody killed it".to_owned(), String::new(), 0);
            let (step, retryable, cancelled) = (step.ix, false, true);
            return executor.close(Told::Failed {
                step,
                verdict,
                retryable,
                cancelled,
                message,
                file,
                line,
            });
        }
        if done > 0
            && let Some(next) = self.held_within(executor)
        {
            return next;
        }
        let database = &mut self.databases[executor.database];
        let poison =
            database.poison.get(&(step.entry.version.clone(), step.script == Direction::Down));
        let bites = poison.is_some_and(|poison| {
            poison.times > 0 && !poison.verification && (poison.half == (done == 1))
        });
        if bites && let Some(poison) = database.fails(&step.entry.version, step.script) {
            let verdict = self.left_at(executor.database, done);
            return executor.close(self.failed(step.ix, verdict, poison.retryable));
        }
        if done == 0 {
            if let Some(intent) = &mut database.intent {
                intent.done = 1;
            }
            self.effect(executor, &step, false);
            return Next::On;
        }
        let intent = database.intent.is_some();
        database.record(&step.entry, step.script);
        self.effect_with(executor, &step, (true, intent));
        self.took(executor, &step);
        executor.stage = Stage::Told;
        Next::On
    }

    /// What stands of a step whose statement has failed, of two.
    pub(super) fn left_at(&mut self, database: usize, done: u32) -> Verdict {
        if done > 0 {
            return Verdict::Partly;
        }
        self.databases[database].intent = None;
        Verdict::Never
    }

    fn effect(&mut self, executor: &Executor, step: &Step, whole: bool) {
        let intent = self.databases[executor.database].intent.is_some();
        self.effect_with(executor, step, (whole, intent));
    }

    /// The step is in force: what it took is told, and what it waited is no part of that.
    pub(super) fn took(&mut self, executor: &mut Executor, step: &Step) {
        let (fence, version) = (executor.leg.fence, &step.entry.version);
        executor.go(self.now);
        let all = self.now - executor.began_at;
        let ms = all - executor.held_ms;
        let mut dice = Dice::new(self.seed, Stream::Slow, fence.0 << 8 | u64::from(step.ix.0));
        if dice.chance(40) {
            executor.slow_until = self.now + dice.between(2_500, 6_000);
        }
        executor.took_ms = if self.mutated(Mutation::CountsWaits) { all } else { ms };
        self.see(Seen::Took { fence, version, ms });
    }

    pub(super) fn effect_with(
        &mut self,
        executor: &Executor,
        step: &Step,
        (whole, intent): (bool, bool),
    ) {
        let database = &self.databases[executor.database];
        let effect = Effect {
            target: executor.leg.target.clone(),
            entry: step.entry.clone(),
            script: step.script,
            fence: executor.leg.fence,
            whole,
            intent,
            statements: database.by_statements() || self.in_batches(&step.entry.version),
        };
        self.note(|| format!("effect {effect:?}"));
        self.see(Seen::Effect(&effect));
        if self.options.history {
            self.run.history.effects.push((None, effect));
        }
    }

    /// What the database says of a failure may name the way to it; that is for nobody else.
    pub(super) fn failed(&self, step: StepIx, verdict: Verdict, retryable: bool) -> Told {
        let leaks = self.mutated(Mutation::LeaksSecret);
        let way = if leaks { SECRET } else { "***" };
        let message = format!("syntax error (postgres://skein:{way}@db)");
        let (cancelled, file, line) = (false, String::new(), 0);
        Told::Failed { step, verdict, retryable, cancelled, message, file, line }
    }

    pub(super) fn verify(&mut self, executor: &mut Executor) -> Next {
        let Some(step) = executor.leg.steps.get(executor.at).cloned() else { return Next::Stop };
        let database = &mut self.databases[executor.database];
        let key = (step.entry.version.clone(), step.script == Direction::Down);
        let wrong = database.poison.get(&key).is_some_and(|one| one.verification && one.times > 0);
        if wrong && database.fails(&step.entry.version, step.script).is_some() {
            self.reach(Reach::VerificationFailed);
            return executor.close(self.failed(step.ix, Verdict::Fully, false));
        }
        let fingerprint = executor.last().then(|| database.fingerprint());
        executor.tell(Told::Verified { step: step.ix, fingerprint });
        executor.at += 1;
        executor.stage = Stage::Step;
        Next::On
    }
}

/// The effect is there; it is told, asked about, and verified.
pub(super) fn told(executor: &mut Executor, database: &Database) -> Next {
    let Some(step) = executor.leg.steps.get(executor.at).cloned() else { return Next::Stop };
    report(executor, &step, false, database);
    Next::On
}

fn told_found(executor: &mut Executor, step: &Step, database: &Database) -> Next {
    report(executor, step, true, database);
    Next::On
}

/// That a step is in force.
pub(super) fn in_force(step: StepIx, (ms, already): (u64, bool)) -> Told {
    Told::Applied { step, ms, rows: 0, already, measured: Measured::default() }
}

fn report(executor: &mut Executor, step: &Step, already: bool, database: &Database) {
    if executor.leg.kind == LegKind::Undo {
        let fingerprint = executor.last().then(|| database.fingerprint());
        let measured = Measured::default();
        let undone = Told::RolledBack { step: step.ix, ms: 1, already, fingerprint, measured };
        executor.tell(undone);
        executor.at += 1;
        executor.stage = Stage::Step;
    } else {
        executor.tell(in_force(step.ix, (executor.took_ms, already)));
        executor.stage = around::stage(executor, database);
    }
}
