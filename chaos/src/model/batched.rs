//! A statement in batches: some keys at a time, each time with how far it came, in one transaction of the target. Whoever
//! takes it up goes on behind the last one that stands.

use skein_core::command::Outcome as Told;
use skein_core::ids::{RolloutId, Version};
use skein_core::outbox::Step;
use skein_core::spec::Direction;

use super::Sim;
use super::coverage::Reach;
use super::executor::{Executor, Next, Stage};
use super::mutation::Mutation;
use crate::observation::{Batch, Seen};

/// Keys that there are.
const KEYS: u32 = 12;
/// In one batch, where the strategy does not say.
const SIZE: u32 = 4;

impl Sim {
    /// Both scripts of this version are one statement in batches.
    pub(super) fn in_batches(&self, version: &Version) -> bool {
        self.batched.as_ref() == Some(version)
    }

    /// The rollout of somebody who is at such a statement.
    pub(super) fn amid_batches(&self) -> Option<RolloutId> {
        let mut executors = self.agents.iter().flat_map(|agent| agent.executors.values());
        let amid = executors.find(|one| {
            let step = one.leg.steps.get(one.at).filter(|_| one.stage == Stage::Statements);
            step.is_some_and(|step| self.in_batches(&step.entry.version))
        });
        amid.map(|one| one.leg.rollout)
    }

    /// One batch, or the end of the statement.
    pub(super) fn batch(&mut self, executor: &mut Executor, step: &Step) -> Next {
        let done = self.databases[executor.database()].intent.as_ref().map_or(0, |it| it.done);
        if let Some(next) = self.left_behind(executor, (step, done)) {
            return next;
        }
        let (now, pause) = (self.now, executor.leg.batching.pause_ms);
        if executor.batched_at.is_some_and(|at| now < at + pause) {
            self.reach(Reach::RestsBetweenBatches);
            executor.hold(now);
            return Next::Later;
        }
        if let Some(next) = self.held_within(executor) {
            return next;
        }
        let (fence, blind) = (executor.leg.fence, self.mutated(Mutation::NoFenceCheck));
        let database = &mut self.databases[executor.database];
        if database.fence > fence && !blind {
            self.reach(Reach::FencedOff);
            return Next::Stop;
        }
        let key = (step.entry.version.clone(), step.script == Direction::Down);
        let bites = database.poison.get(&key).is_some_and(|poison| {
            poison.times > 0 && !poison.verification && poison.half == (done > 0)
        });
        if bites && let Some(poison) = database.fails(&step.entry.version, step.script) {
            let verdict = self.left_at(executor.database, done);
            return executor.close(self.failed(step.ix, verdict, poison.retryable));
        }
        let size = u32::try_from(executor.leg.batching.size).unwrap_or(KEYS);
        let size = if size == 0 { SIZE } else { size };
        let to = done.saturating_add(size).min(KEYS);
        let early = to == KEYS && done > 0 && self.mutated(Mutation::EndsBatchesEarly);
        if done == KEYS || early {
            self.databases[executor.database].record(&step.entry, step.script);
            self.effect_with(executor, step, (true, true));
            self.took(executor, step);
            executor.stage = Stage::Told;
            return Next::On;
        }
        self.see(Seen::Batch(&Batch {
            target: executor.leg.target.clone(),
            version: step.entry.version.clone(),
            script: step.script,
            fence,
            from: done,
            to,
            of: KEYS,
        }));
        if done == 0 {
            self.effect_with(executor, step, (false, true));
        }
        if let Some(intent) = &mut self.databases[executor.database].intent {
            (intent.done, intent.fence) = (to, fence);
        }
        executor.batched_at = Some(now);
        Next::On
    }

    /// Somebody wants the statement left where it is; an agent that is shut down leaves it without a word.
    fn left_behind(&mut self, executor: &mut Executor, (step, done): (&Step, u32)) -> Option<Next> {
        if executor.shut {
            self.reach(Reach::LeftWithoutAWord);
            return Some(Next::Stop);
        }
        let leaves = executor.leave && !self.mutated(Mutation::StaysInBatches);
        if !executor.killed && !leaves {
            return None;
        }
        self.reach(if leaves { Reach::LeftBehindBatch } else { Reach::StatementKilled });
        let verdict = self.left_at(executor.database, done);
        self.see(Seen::Left { fence: executor.leg.fence });
        Some(executor.close(Told::Failed {
            step: step.ix,
            verdict,
            retryable: false,
            cancelled: true,
            message: "left between two batches".to_owned(),
            file: String::new(),
            line: 0,
        }))
    }

    /// Within a file: what a throttle holds back waits; it goes on for no less than a word that it be killed.
    pub(super) fn held_within(&mut self, executor: &mut Executor) -> Option<Next> {
        if self.throttled(executor) {
            self.reach(Reach::ThrottledWithin);
            if executor.shut {
                self.reach(Reach::LeftWithoutAWord);
                return Some(Next::Stop);
            }
            executor.hold(self.now);
            return Some(Next::Later);
        }
        executor.go(self.now);
        self.see(Seen::GoesOn { fence: executor.leg.fence, at: self.now });
        None
    }
}
