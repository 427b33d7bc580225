//! How a plan is carried out, and what of that may change while it is.

use super::batching::Batching;
use super::{Blackout, Gate, Selector, Setting, Throttle, Window};
use crate::ids::Version;

/// What happens when a wave's failure budget is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBreach {
    /// Stop, and leave everything as it stands.
    Halt,
    /// Take back what the failed targets did.
    RollbackTarget,
    /// Take back what the wave did.
    RollbackWave,
    /// Take back everything.
    RollbackRollout,
}

/// Of what a budget is a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// Of the open wave.
    #[default]
    Wave,
    /// Of the rollout.
    Rollout,
}

/// How many targets may fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// So many are within the budget.
    pub failed: u32,
    /// So many percent of the scope are; zero: not set. The smaller of the two holds.
    pub percent: u32,
    /// Who is counted.
    pub scope: Scope,
}

impl Budget {
    /// Targets of a scope of `targets` that may fail.
    pub fn allowance(self, targets: u32) -> u32 {
        if self.percent == 0 {
            return self.failed;
        }
        let share = u64::from(targets) * u64::from(self.percent) / 100;
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        if self.failed == 0 { share } else { share.min(self.failed) }
    }
}

/// What is backed up before a leg's first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backup {
    /// The whole database.
    Database,
    /// The tables that the steps name.
    Tables,
    /// The schema without its rows.
    Schema,
    /// Nothing: the exemption is recorded.
    Exempt,
}

/// In which order targets are taken into waves, and worked on within one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Order {
    /// By their ids.
    #[default]
    Id,
    /// By a label's value, and then by their ids; those without it last.
    Label(String),
    /// By a label's values as listed, and then by their ids; others last.
    Listed(String, Vec<String>),
}

/// Of the targets that have the same value of a label, at most so many are worked on at one time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit {
    /// Such as `region`.
    pub label: String,
    /// Legs under way at one time for each value; zero: no limit.
    pub most: u32,
}

/// Steps that a host bears few of at one time, such as one that rewrites a large table. A leg with one of them before
/// it takes a place of its resource group's, from its backup to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heavy {
    /// Which migrations.
    pub steps: Vec<Version>,
    /// Such legs under way at one time for each resource group, over all rollouts; zero: no limit.
    pub per_group: u32,
}

/// One wave as asked for. Of the targets that no earlier wave took it takes those that the selector
/// matches; of these one of each class, or so many, or the share of all that were selected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wave {
    /// For people.
    pub name: String,
    /// Which.
    pub selector: Selector,
    /// Not zero: that share of all selected targets.
    pub percent: u32,
    /// Not zero: so many.
    pub count: u32,
    /// One target of each class.
    pub one_per_class: bool,
    /// Not empty: a wave for each value of this label, which takes its share, its number or one a class of
    /// those that have the value.
    pub per: String,
    /// Not zero: legs under way at one time, instead of the strategy's.
    pub parallelism: u32,
    /// How long it is watched when it is done, milliseconds; `None`: as the strategy says.
    pub soak_ms: Option<u64>,
    /// It opens when somebody says so.
    pub approval: bool,
}

impl Wave {
    /// Whether it is gone through together with the one behind it, for one value of a label after another.
    pub fn goes_with(&self, next: &Self) -> bool {
        !self.per.is_empty() && self.per == next.per
    }

    /// Whether a plan may have a wave of this name from it.
    pub fn may_be_called(&self, name: &str) -> bool {
        let behind =
            |rest: &str| rest.is_empty() || (!self.per.is_empty() && rest.starts_with(' '));
        name.strip_prefix(self.name.as_str()).is_some_and(behind)
    }
}

/// Migrations that are in force everywhere before any of the next stage begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// For people, such as `expand`.
    pub name: String,
    /// Its last migration.
    pub to: Version,
}

/// How a plan is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategy {
    /// Gone through one after another, each with all of the waves; what lies behind the last one is a stage of
    /// its own. Empty: one stage.
    pub stages: Vec<Stage>,
    /// Empty: one wave.
    pub waves: Vec<Wave>,
    /// The first wave gets a target of each class that it lacks, where there is more than one wave.
    pub cover_classes: bool,
    /// Who comes first.
    pub order: Order,
    /// Legs under way at one time.
    pub parallelism: u32,
    /// The same for each value of a label.
    pub limits: Vec<Limit>,
    /// The same for each resource group, over all rollouts; zero: no limit.
    pub per_group: u32,
    /// What takes a place of its own beside that.
    pub heavy: Heavy,
    /// How long a wave is watched when it is done, before the next one opens or the rollout ends, milliseconds.
    pub soak_ms: u64,
    /// How many may fail.
    pub budget: Budget,
    /// When the budget is broken.
    pub on_breach: OnBreach,
    /// Attempts after the first, for failures that may pass by themselves.
    pub retries: u32,
    /// Before the first step.
    pub backup: Backup,
    /// What has to hold before it goes on, in the order in which it is asked.
    pub gates: Vec<Gate>,
    /// When targets may be worked on; what none names, at any time.
    pub windows: Vec<Window>,
    /// When they may not, whatever the windows say.
    pub blackouts: Vec<Blackout>,
    /// What steps wait for while databases have too much to do.
    pub throttles: Vec<Throttle>,
    /// How statements in batches are gone over.
    pub batching: Batching,
}

impl Default for Strategy {
    /// One wave, one target after the other, a whole backup before each, and nothing may fail.
    fn default() -> Self {
        Self {
            stages: Vec::new(),
            waves: Vec::new(),
            cover_classes: false,
            order: Order::Id,
            parallelism: 1,
            limits: Vec::new(),
            per_group: 0,
            heavy: Heavy::default(),
            soak_ms: 0,
            budget: Budget::default(),
            on_breach: OnBreach::Halt,
            retries: 0,
            backup: Backup::Database,
            gates: Vec::new(),
            windows: Vec::new(),
            blackouts: Vec::new(),
            throttles: Vec::new(),
            batching: Batching::default(),
        }
    }
}

impl Strategy {
    /// What the wave is called that takes what no other one took.
    pub fn last_wave(&self) -> &'static str {
        if self.waves.is_empty() { "all" } else { "rest" }
    }
}

/// What of a strategy may change while its rollout runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Knob {
    /// Legs under way at one time, in every wave.
    Parallelism(u32),
    /// The same for each value of a label; zero: no limit.
    Limit(Limit),
    /// The same for each resource group, over all rollouts; zero: no limit.
    PerGroup(u32),
    /// Legs with heavy steps under way at one time for each resource group, over all rollouts; zero: no limit.
    HeavyPerGroup(u32),
    /// How long a wave is watched when it is done, of every wave, milliseconds.
    SoakMs(u64),
    /// Targets that may fail.
    BudgetFailed(u32),
    /// Percent that may fail; zero: not set.
    BudgetPercent(u32),
    /// Attempts after the first.
    Retries(u32),
    /// Whether windows and blackouts hold.
    Windows(bool),
    /// Where a throttle holds work back, by its name.
    Throttle(String, Setting),
    /// Keys in one batch; zero: as the file says.
    Batch(u64),
    /// From the end of one batch to the beginning of the next, milliseconds.
    BatchPauseMs(u64),
}

impl Knob {
    /// Which one, as people name it.
    pub fn name(&self) -> String {
        match self {
            Self::Parallelism(_) => "parallelism".to_owned(),
            Self::Limit(limit) => format!("per.{}", limit.label),
            Self::PerGroup(_) => "per_group".to_owned(),
            Self::HeavyPerGroup(_) => "heavy.per_group".to_owned(),
            Self::SoakMs(_) => "soak".to_owned(),
            Self::BudgetFailed(_) => "budget.failed".to_owned(),
            Self::BudgetPercent(_) => "budget.percent".to_owned(),
            Self::Retries(_) => "retries".to_owned(),
            Self::Windows(_) => "windows".to_owned(),
            Self::Throttle(name, _) => format!("throttle.{name}"),
            Self::Batch(_) => "batch".to_owned(),
            Self::BatchPauseMs(_) => "batch_pause".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn the_smaller_allowance_holds() {
        let budget = |failed, percent| Budget { failed, percent, ..Budget::default() };
        assert_eq!(budget(0, 0).allowance(100), 0);
        assert_eq!(budget(3, 0).allowance(100), 3);
        assert_eq!(budget(3, 10).allowance(100), 3);
        assert_eq!(budget(30, 10).allowance(100), 10);
        assert_eq!(budget(0, 10).allowance(100), 10);
    }
}
