//! An executor of a repair: it reads, asks for evidence, writes rows in one transaction, and tells what it
//! finds afterwards. It runs no script.

use skein_core::command::Outcome as Told;
use skein_core::event::{LegKind, Verdict};
use skein_core::ids::{Fence, RolloutId, StepIx};
use skein_core::outbox::{Leg, Mend, Step};
use skein_core::spec::{Backup, Batching, Direction};
use skein_core::state::repair::Evidence;

use super::Sim;
use super::coverage::Reach;
use super::database::Database;
use super::executor::{Executor, Next, Stage};
use super::generate::rows_alone;
use super::mutation::Mutation;
use crate::observation::{Mended, Seen};

/// A repair as a leg: rows instead of scripts.
pub(super) fn as_leg(mend: &Mend) -> Leg {
    let step = |(change, ix): (&skein_core::state::repair::Change, u32)| Step {
        ix: StepIx(ix),
        migration: change.migration,
        entry: change.entry.clone(),
        script: change.direction,
    };
    Leg {
        fence: mend.fence,
        target: mend.target.clone(),
        rollout: RolloutId(0),
        kind: LegKind::Forward,
        bundle: mend.bundle,
        steps: mend.changes.iter().zip(0..).map(step).collect(),
        backup: Backup::Exempt,
        backed_up: true,
        expected: mend.expected.clone(),
        identity: mend.identity.clone(),
        gates: Vec::new(),
        baselines: Vec::new(),
        measure: Vec::new(),
        throttles: Vec::new(),
        batching: Batching::default(),
        after_batch: false,
        cancelled: false,
        kill: false,
    }
}

/// Nothing was written.
fn refused(executor: &mut Executor, message: &str) -> Next {
    executor.close(Told::Failed {
        step: StepIx(0),
        verdict: Verdict::Never,
        retryable: false,
        cancelled: false,
        message: message.to_owned(),
        file: String::new(),
        line: 0,
    })
}

impl Sim {
    /// Repairs have arrived at an agent.
    pub(super) fn handed_mends(&mut self, agent: usize, life: u32, mends: &[Mend]) {
        if !self.agents[agent].up || self.agents[agent].life != life {
            return;
        }
        for mend in mends {
            let fence = mend.fence;
            let state = &self.agents[agent];
            if state.executors.contains_key(&fence) || state.finished.contains(&fence) {
                continue;
            }
            let Some(database) = self.place_of(&mend.target) else { continue };
            let mut executor = Executor::mending(mend, database);
            if self.agents[agent].unnamed.contains_key(&database) {
                self.reach(Reach::LegOfUnnamed);
                executor.turn_away(true);
            }
            self.begin_work((agent, life), executor);
        }
    }

    /// What is there fits what the log says, or the repair has been made, and everything rests on something.
    pub(super) fn read_mend(&mut self, executor: &mut Executor, mend: &Mend) -> Next {
        let database = &self.databases[executor.database()];
        if !mend.identity.is_empty() && mend.identity != database.identity {
            self.reach(Reach::ServerDiffers);
            return refused(executor, "the server is not the one that the log knows");
        }
        let Some(found) = executor.reconcile(&database.ledger) else {
            self.reach(Reach::LedgerDiffers);
            return refused(executor, "the ledger is not what the log says");
        };
        let of_another = database.intent.as_ref().is_some_and(|intent| {
            intent.done > 0
                && mend.changes.iter().all(|change| change.entry.version != intent.entry.version)
        });
        if of_another {
            return refused(executor, "another step was begun and not finished");
        }
        match evidence(mend, database) {
            Err(why) => {
                self.reach(Reach::RepairUnproved);
                refused(executor, why)
            }
            Ok(evidence) => {
                let open = database.intent.as_ref().is_some_and(|intent| intent.done > 0);
                executor.evidence = evidence;
                executor.found = found;
                let done = found == mend.changes.len() && !open;
                executor.stage = if done { Stage::Told } else { Stage::Statements };
                Next::On
            }
        }
    }

    /// All rows in one transaction, under the fence.
    pub(super) fn write_mend(&mut self, executor: &mut Executor, mend: &Mend) -> Next {
        if executor.cancelled {
            self.reach(Reach::LegGivenBack);
            return executor.close(Told::Released { why: "drained".to_owned() });
        }
        let blind = self.mutated(Mutation::NoFenceCheck);
        let skips = self.mutated(Mutation::MendsInWords);
        let database = &mut self.databases[executor.database()];
        if database.fence > mend.fence && !blind {
            self.reach(Reach::FencedOff);
            return Next::Stop;
        }
        executor.stage = Stage::Told;
        if skips {
            return Next::On;
        }
        for change in &mend.changes {
            let is_there = database.ledger.iter().any(|row| row.version == change.entry.version);
            if is_there == (change.direction == Direction::Down) {
                database.mend(&change.entry, change.direction);
            }
        }
        database.intent = None;
        let mended = Mended { fence: mend.fence, database: database.found() };
        self.note(|| format!("mended {mended:?}"));
        self.see(Seen::Mended(&mended));
        Next::On
    }

    /// Looks again, and tells.
    pub(super) fn tell_mend(&self, executor: &mut Executor, mend: &Mend) -> Next {
        let mut seen = self.observation(executor.database());
        if self.mutated(Mutation::MendsInWords) {
            seen.ledger.clone_from(&mend.expected);
            for change in &mend.changes {
                seen.ledger.retain(|row| row.version != change.entry.version);
                if change.direction == Direction::Up {
                    seen.ledger.push(change.entry.clone());
                }
            }
            seen.open_intent.clear();
        }
        let evidence = executor.evidence.clone();
        executor.close(Told::Mended { seen: Box::new(seen), evidence })
    }

    /// A repair has the target, as far as the leader has proposed or recorded.
    pub(super) fn is_mending(&self, target: &skein_core::ids::TargetId) -> bool {
        let mending = |fleet: &skein_core::state::Fleet| {
            fleet.target(target).is_some_and(|(_, target)| target.mend.is_some())
        };
        mending(&self.leader.ahead) || mending(&self.leader.applied)
    }

    /// Repairs that are durable, and that nothing proposed has ended.
    pub(super) fn mends_of(&self, agent: usize, durable: Fence) -> Vec<Mend> {
        let mut mends = skein_core::outbox::mends(&self.leader.ahead, &self.agents[agent].id);
        mends.retain(|mend| mend.fence < durable);
        mends
    }
}

/// On what each change rests; or what speaks against one.
fn evidence(mend: &Mend, database: &Database) -> Result<Vec<Evidence>, &'static str> {
    let known = mend.schemas.contains(&database.fingerprint());
    let of = |change: &skein_core::state::repair::Change| {
        if known && !rows_alone(&change.entry.version) {
            return Ok(Evidence::Schema);
        }
        let wanted = change.direction == Direction::Up;
        match change.probe.then(|| database.has(&change.entry.version)) {
            Some(told) if told == wanted => Ok(Evidence::Probe),
            Some(_) => Err("its probe says the opposite"),
            None if mend.waived => Ok(Evidence::Waiver),
            None => Err("nothing proves it"),
        }
    };
    mend.changes.iter().map(of).collect()
}
