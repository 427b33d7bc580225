//! `[strategy]`: how a rollout goes through the fleet.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use skein_proto::v1;

use super::error::ConfigError;
use super::gate::Gate;
use super::throttle::Throttle;
use super::time::millis;
use super::window::{Blackout, Window};

/// Waves, budget, and what a breach does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Strategy {
    /// Legs under way at one time. Default 8.
    pub parallelism: u32,
    /// Default [`OnBreach::Halt`].
    pub on_breach: OnBreach,
    /// Attempts after the first, for failures that may pass by themselves. Default 2.
    pub retries: u32,
    pub budget: Budget,
    /// Default [`Backup::Database`].
    pub backup: Backup,
    /// Legs under way at one time among the targets that have one value of a label: `per.region = 2`.
    pub per: BTreeMap<String, u32>,
    /// The same for each resource group, over all rollouts; 0: no limit.
    pub per_group: u32,
    /// `heavy = { steps = ["7"], per_group = 1 }`. Default: none.
    pub heavy: Heavy,
    /// How long a wave is watched when it is done, before the next one opens or the rollout ends.
    #[serde(deserialize_with = "super::time::read")]
    pub soak: Duration,
    /// Who comes first: `order = "region"`, or `order = { label = "region", values = ["eu", "us"] }`.
    pub order: Order,
    /// The first of several waves gets a target of each class that it lacks. Default true.
    pub cover_classes: bool,
    /// Gone through one after another, each with all of the waves. None: one stage.
    #[serde(rename = "stage")]
    pub stages: Vec<Stage>,
    /// In order; the last one takes the rest. None: one wave over everything.
    #[serde(rename = "wave")]
    pub waves: Vec<Wave>,
    /// What has to hold before it goes on.
    #[serde(rename = "gate")]
    pub gates: Vec<Gate>,
    /// When targets may be worked on; those that none names: at any time.
    #[serde(rename = "window")]
    pub windows: Vec<Window>,
    /// When they may not.
    #[serde(rename = "blackout")]
    pub blackouts: Vec<Blackout>,
    /// What steps wait for.
    #[serde(rename = "throttle")]
    pub throttles: Vec<Throttle>,
    /// Keys in one batch of a statement that runs in batches; 0: as its file says.
    pub batch: u64,
    /// From the end of one batch to the beginning of the next.
    #[serde(deserialize_with = "super::time::read")]
    pub batch_pause: Duration,
}

/// Migrations that are in force everywhere before any of the next stage begins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub name: String,
    /// The version of its last migration.
    pub to: String,
}

/// Added to the share of a wave for each value of a label: a coordinator that knows of no such waves refuses it.
pub const PER_BAR: u32 = 1_000;

/// A part of the fleet: what the patterns and labels match, or a share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    pub name: String,
    /// Target ids, or patterns with `*`.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Each label must have one of its values.
    #[serde(default, deserialize_with = "super::labels::matches")]
    pub labels: BTreeMap<String, Vec<String>>,
    /// What must hold of each, in CEL.
    #[serde(default, rename = "where")]
    pub condition: String,
    /// Of everything selected; 0: not by share.
    #[serde(default, deserialize_with = "percent")]
    pub percent: u32,
    /// So many of what the patterns and labels match; 0: all of them.
    #[serde(default)]
    pub count: u32,
    /// One target of each class of what they match.
    #[serde(default)]
    pub one_per_class: bool,
    /// Not empty: a wave for each value of this label, one after another: `per = "region"`.
    #[serde(default)]
    pub per: String,
    /// Instead of the strategy's; 0: as there.
    #[serde(default)]
    pub parallelism: u32,
    /// Instead of the strategy's.
    #[serde(default, deserialize_with = "super::time::read_option")]
    pub soak: Option<Duration>,
    /// It opens when somebody says so: `skein approve ROLLOUT`.
    #[serde(default)]
    pub approval: bool,
}

/// In which order targets are taken into waves, and worked on within one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// None: by their ids.
    pub label: Option<String>,
    /// Of that label, in order; others come last. Empty: in the order of the alphabet.
    pub values: Vec<String>,
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "a label, or { label = \"region\", values = [\"eu\", \"us\"] }"
        )]
        enum Either {
            Label(String),
            Listed(Listed),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Listed {
            label: String,
            values: Vec<String>,
        }
        Ok(match Either::deserialize(from)? {
            Either::Label(label) => Self { label: Some(label), values: Vec::new() },
            Either::Listed(Listed { label, values }) => Self { label: Some(label), values },
        })
    }
}

/// Of what a budget is a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    #[default]
    Wave,
    Rollout,
}

/// Targets that may fail before it counts as a breach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    pub failed: u32,
    /// Of the scope; the smaller of the two holds. 0: not set.
    #[serde(deserialize_with = "percent")]
    pub percent: u32,
    /// Who is counted: the open wave, or the rollout.
    pub scope: BudgetScope,
}

/// What a breach of the budget does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBreach {
    /// Nothing new starts, and a person decides.
    #[default]
    Halt,
    RollbackTarget,
    RollbackWave,
    RollbackRollout,
}

/// What is saved before the first step on a target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backup {
    #[default]
    Database,
    Tables,
    Schema,
    /// Nothing: only where the charter exempts from it.
    None,
}

/// Steps that a host bears few of at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heavy {
    /// Versions.
    pub steps: Vec<String>,
    /// Targets of one resource group that are worked on with one of them, over all rollouts.
    pub per_group: u32,
}

impl Default for Strategy {
    fn default() -> Self {
        Self {
            parallelism: 8,
            on_breach: OnBreach::default(),
            retries: 2,
            budget: Budget::default(),
            backup: Backup::default(),
            per: BTreeMap::new(),
            per_group: 0,
            heavy: Heavy::default(),
            soak: Duration::ZERO,
            order: Order::default(),
            cover_classes: true,
            stages: Vec::new(),
            waves: Vec::new(),
            gates: Vec::new(),
            windows: Vec::new(),
            blackouts: Vec::new(),
            throttles: Vec::new(),
            batch: 0,
            batch_pause: Duration::ZERO,
        }
    }
}

impl Strategy {
    /// Reads a file of its own, with the keys that `[strategy]` in skein.toml may have.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], at the first thing that is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| ConfigError::toml(path, &text, &error))
    }

    pub fn to_wire(&self) -> v1::Strategy {
        // No coordinator that knows nothing of windows or throttles may work at any time, nor one that knows of no
        // stages go through them at once, nor one that knows of no heavy steps run many of them.
        let hours = !self.windows.is_empty() || !self.blackouts.is_empty();
        let heavy = v1::Heavy { steps: self.heavy.steps.clone(), per_group: self.heavy.per_group };
        let heavy = (heavy != v1::Heavy::default()).then_some(heavy);
        let bars = hours
            || !self.throttles.is_empty()
            || !self.stages.is_empty()
            || heavy.is_some()
            || self.gates.iter().any(Gate::breaks_around_steps);
        let bar = bars.then(v1::Limit::default);
        let stage = |it: &Stage| v1::StageSpec { name: it.name.clone(), to: it.to.clone() };
        let batching = v1::Batching { size: self.batch, pause_ms: millis(self.batch_pause) };
        v1::Strategy {
            stages: self.stages.iter().map(stage).collect(),
            waves: self.waves.iter().map(Wave::to_wire).collect(),
            parallelism: self.parallelism,
            budget: Some(v1::Budget {
                failed: self.budget.failed,
                percent: self.budget.percent,
                scope: match self.budget.scope {
                    BudgetScope::Wave => v1::BudgetScope::ScopeWave,
                    BudgetScope::Rollout => v1::BudgetScope::ScopeRollout,
                }
                .into(),
            }),
            on_breach: self.on_breach.to_wire().into(),
            retries: self.retries,
            backup: self.backup.to_wire().into(),
            limits: self
                .per
                .iter()
                .map(|(label, most)| v1::Limit { label: label.clone(), most: *most })
                .chain(bar)
                .collect(),
            per_group: self.per_group,
            heavy,
            soak_ms: millis(self.soak),
            order: self
                .order
                .label
                .as_ref()
                .map(|label| v1::Order { label: label.clone(), values: self.order.values.clone() }),
            cover_classes: self.cover_classes,
            gates: self.gates.iter().map(Gate::to_wire).collect(),
            windows: self.windows.iter().map(Window::to_wire).collect(),
            blackouts: self.blackouts.iter().map(Blackout::to_wire).collect(),
            throttles: self.throttles.iter().map(Throttle::to_wire).collect(),
            batching: (batching != v1::Batching::default()).then_some(batching),
        }
    }
}

impl Wave {
    fn to_wire(&self) -> v1::WaveSpec {
        let label = |(name, values): (&String, &Vec<String>)| v1::LabelMatch {
            name: name.clone(),
            values: values.clone(),
        };
        let by_name = !self.targets.is_empty() || !self.labels.is_empty();
        let selected = by_name || !self.condition.is_empty();
        // Nothing of it may be left out by a coordinator that does not know conditions.
        let bar = (!self.condition.is_empty()).then(v1::LabelMatch::default);
        v1::WaveSpec {
            name: self.name.clone(),
            selector: selected.then(|| v1::Selector {
                targets: self.targets.clone(),
                labels: self.labels.iter().map(label).chain(bar).collect(),
                r#where: self.condition.clone(),
            }),
            percent: self.percent + if self.per.is_empty() { 0 } else { PER_BAR },
            count: self.count,
            one_per_class: self.one_per_class,
            per: self.per.clone(),
            parallelism: self.parallelism,
            soak_ms: self.soak.map(millis),
            approval: self.approval,
        }
    }
}

impl OnBreach {
    pub fn to_wire(self) -> v1::OnBreach {
        match self {
            Self::Halt => v1::OnBreach::Halt,
            Self::RollbackTarget => v1::OnBreach::RollbackTarget,
            Self::RollbackWave => v1::OnBreach::RollbackWave,
            Self::RollbackRollout => v1::OnBreach::RollbackRollout,
        }
    }
}

impl Backup {
    pub fn to_wire(self) -> v1::BackupScope {
        match self {
            Self::Database => v1::BackupScope::BackupDatabase,
            Self::Tables => v1::BackupScope::BackupTables,
            Self::Schema => v1::BackupScope::BackupSchema,
            Self::None => v1::BackupScope::BackupNone,
        }
    }
}

fn percent<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let percent = u32::deserialize(from)?;
    if percent > 100 {
        return Err(serde::de::Error::custom("a share in percent is at most 100"));
    }
    Ok(percent)
}
