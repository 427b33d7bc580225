//! A plan: what would be done where, in which order, and how it is undone. A value: making one
//! changes nothing.

mod down;
mod gates;
mod late;
mod make;
mod up;
mod waves;

pub(crate) use late::{absent, class as late_class, owes};
pub use make::make;
pub(crate) use make::{few, is_same};
pub(crate) use waves::place;

use crate::ids::{ClassIx, TargetId, WaveIx};
use crate::spec::{Direction, Engine, Lock, Spec, TransactionMode};
use crate::state::ledger::Entry;

/// How a step is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo {
    /// By the script of the other direction.
    Script,
    /// Not at all, but by restoring the backup by hand.
    Impossible,
    /// It leaves nothing.
    NotNeeded,
}

/// One migration in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its place in the bundle.
    pub migration: u32,
    /// Its ledger entry: version and digest of the up script.
    pub entry: Entry,
    /// For people.
    pub name: String,
    /// Which script runs.
    pub direction: Direction,
    /// How it runs.
    pub mode: TransactionMode,
    /// Why not in one transaction.
    pub mode_why: String,
    /// What it locks.
    pub locks: Vec<Lock>,
    /// It loses data or schema.
    pub destructive: bool,
    /// How it is undone.
    pub undo: Undo,
    /// The author wrote a verification.
    pub verify: bool,
    /// The script's file.
    pub file: String,
}

/// Targets of one engine with the same migrations in force: they get the same steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Whose SQL.
    pub engine: Engine,
    /// What is in force before, in the order applied.
    pub before: Vec<Entry>,
    /// What is done, in this order.
    pub steps: Vec<Step>,
    /// How many targets.
    pub targets: u32,
}

/// A part of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wave {
    /// For people.
    pub name: String,
    /// Its targets, with the class of each.
    pub targets: Vec<(TargetId, ClassIx)>,
    /// Not zero: legs under way at one time, instead of the strategy's.
    pub parallelism: u32,
    /// How long it is watched when it is done, milliseconds.
    pub soak_ms: u64,
    /// It opens when somebody says so.
    pub approval: bool,
}

/// A selected target that nobody could look at when the plan was made: the rollout waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Which.
    pub target: TargetId,
    /// Why nobody could.
    pub why: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The question.
    pub spec: Spec,
    /// Computed once each.
    pub classes: Vec<Class>,
    /// Targets that have something to do, in the order of waves.
    pub waves: Vec<Wave>,
    /// Selected targets that are where they should be.
    pub up_to_date: u32,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// Selected targets that nobody could look at: they join when somebody can.
    pub absent: Vec<Absent>,
}

impl Plan {
    /// A class by number.
    pub fn class(&self, ix: ClassIx) -> Option<&Class> {
        self.classes.get(usize::try_from(ix.0).ok()?)
    }

    /// A wave by number.
    pub fn wave(&self, ix: WaveIx) -> Option<&Wave> {
        self.waves.get(usize::try_from(ix.0).ok()?)
    }

    /// Whether there is anything to do.
    pub fn is_empty(&self) -> bool {
        self.waves.is_empty()
    }

    /// Steps that nothing undoes, without repeats, in the order of classes.
    pub fn irreversible(&self) -> Vec<&Step> {
        let mut found: Vec<&Step> = Vec::new();
        for step in
            self.classes.iter().filter(|class| class.targets > 0).flat_map(|class| &class.steps)
        {
            if step.undo == Undo::Impossible
                && !found.iter().any(|other| other.entry.version == step.entry.version)
            {
                found.push(step);
            }
        }
        found
    }
}
