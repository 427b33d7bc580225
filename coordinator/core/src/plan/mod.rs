//! A plan: what would be done where, in which order, and how it is undone. A value: making one
//! changes nothing.

mod apart;
mod down;
mod gates;
mod heavy;
mod late;
mod make;
mod parts;
mod stages;
mod throttles;
mod up;
mod waves;

pub use apart::blocks;
pub(crate) use late::{absent, class as late_class, owes};
pub use make::make;
pub(crate) use make::{few, is_same};
pub use stages::Homes;
pub(crate) use waves::place;

use std::fmt;
use std::ops::Range;

use crate::ids::{ClassIx, Digest, TargetId, Version, WaveIx};
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

impl Class {
    /// Steps of migrations up to one, by its place in the bundle.
    pub fn steps_through(&self, migration: u32) -> u32 {
        let steps = self.steps.iter().take_while(|step| step.migration <= migration);
        u32::try_from(steps.count()).unwrap_or(u32::MAX)
    }
}

/// A part of a plan with a barrier behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// For people.
    pub name: String,
    /// Its last migration, by its place in the bundle.
    pub through: u32,
}

/// A part of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wave {
    /// For people.
    pub name: String,
    /// Of which stage, by its place among the plan's; zero where there are none.
    pub stage: u32,
    /// Its targets, with the class of each.
    pub targets: Vec<(TargetId, ClassIx)>,
    /// Not zero: legs under way at one time, instead of the strategy's.
    pub parallelism: u32,
    /// How long it is watched when it is done, milliseconds.
    pub soak_ms: u64,
    /// It opens when somebody says so.
    pub approval: bool,
    /// Not empty: the value of a label that its targets have in common, where the strategy asks for a wave for
    /// each. It stands at the end of the name.
    pub part: String,
}

impl Wave {
    /// The name that it has in the strategy.
    pub fn called(&self) -> &str {
        let own = self.name.strip_suffix(self.part.as_str());
        let own = own.and_then(|own| own.strip_suffix(' ')).filter(|_| !self.part.is_empty());
        own.unwrap_or(&self.name)
    }
}

/// A selected target that nobody could look at when the plan was made: the rollout waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Which.
    pub target: TargetId,
    /// Why nobody could.
    pub why: String,
}

/// Why a target stands apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It is not what the log says, and this is what is wrong.
    Held(String),
    /// No rollout ever worked on it, and so many others with the same migrations in force have other schemas.
    Unlike(u32),
    /// Its ledger has a version that neither the bundle nor any rollout knows, or not as it is there.
    Foreign(Version),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(problem) => f.write_str(problem),
            Self::Unlike(1) => {
                f.write_str("another target with the same migrations in force has another schema")
            }
            Self::Unlike(others) => {
                write!(f, "{others} others with the same migrations in force have another schema")
            }
            Self::Foreign(version) => write!(
                f,
                "its ledger has {version} as neither the migrations nor any rollout know it"
            ),
        }
    }
}

/// Targets that stand apart together: of one engine, with one ledger and one schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Whose SQL.
    pub engine: Engine,
    /// What is in force, in the order applied.
    pub ledger: Vec<Entry>,
    /// Their schema; `None`: nobody has told.
    pub schema: Option<Digest>,
    /// Which.
    pub targets: Vec<TargetId>,
    /// Why, of the first.
    pub cause: Cause,
    /// The known class that is nearest; `None`: there is none of this engine.
    pub nearest: Option<Nearest>,
}

/// A known class, as what stands apart is compared with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearest {
    /// What is in force, in the order applied.
    pub ledger: Vec<Entry>,
    /// The schema of its members.
    pub schema: Digest,
    /// How many.
    pub members: u32,
    /// The first few.
    pub examples: Vec<TargetId>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The question.
    pub spec: Spec,
    /// Computed once each.
    pub classes: Vec<Class>,
    /// Gone through one after another. Empty: everything is one stage.
    pub stages: Vec<Stage>,
    /// Targets that have something to do, in the order of waves. In another stage they are there again.
    pub waves: Vec<Wave>,
    /// Selected targets that are where they should be.
    pub up_to_date: u32,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// Selected targets that nobody could look at: they join when somebody can.
    pub absent: Vec<Absent>,
    /// Selected targets that stand apart, and are taken as they are because the question says so.
    pub accepted: Vec<Block>,
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

    /// A stage by number.
    pub fn stage(&self, ix: u32) -> Option<&Stage> {
        self.stages.get(usize::try_from(ix).ok()?)
    }

    /// The stage of a wave.
    pub fn stage_of(&self, wave: WaveIx) -> u32 {
        self.wave(wave).map_or(0, |wave| wave.stage)
    }

    /// Steps of a class that are in force once a stage is done. The last stage that has a wave takes all: who
    /// comes late may owe more than anybody who was planned for.
    pub fn reach(&self, class: &Class, stage: u32) -> u32 {
        let last = self.waves.last().map_or(0, |last| last.stage);
        match self.stage(stage).filter(|_| stage < last) {
            Some(stage) => class.steps_through(stage.through),
            None => u32::try_from(class.steps.len()).unwrap_or(u32::MAX),
        }
    }

    /// Steps of a class that are in force before a stage begins.
    pub fn floor(&self, class: &Class, stage: u32) -> u32 {
        stage.checked_sub(1).map_or(0, |before| self.reach(class, before))
    }

    /// A class's steps of one stage.
    pub fn leg(&self, class: &Class, stage: u32) -> Range<u32> {
        self.floor(class, stage)..self.reach(class, stage)
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
