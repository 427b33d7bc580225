//! `[strategy]`: how a rollout goes through the fleet.

use std::collections::BTreeMap;

use serde::Deserialize;
use skein_proto::v1;

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
    /// In order; the last one takes the rest. None: one wave over everything.
    #[serde(rename = "wave")]
    pub waves: Vec<Wave>,
}

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
    /// Of everything selected; 0: not by share.
    #[serde(default, deserialize_with = "percent")]
    pub percent: u32,
}

/// Targets of one wave that may fail before it counts as a breach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    pub failed: u32,
    /// Of the wave; the smaller of the two holds. 0: not set.
    #[serde(deserialize_with = "percent")]
    pub percent: u32,
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

impl Default for Strategy {
    fn default() -> Self {
        Self {
            parallelism: 8,
            on_breach: OnBreach::default(),
            retries: 2,
            budget: Budget::default(),
            backup: Backup::default(),
            waves: Vec::new(),
        }
    }
}

impl Strategy {
    pub fn to_wire(&self) -> v1::Strategy {
        v1::Strategy {
            waves: self.waves.iter().map(Wave::to_wire).collect(),
            parallelism: self.parallelism,
            budget: Some(v1::Budget { failed: self.budget.failed, percent: self.budget.percent }),
            on_breach: self.on_breach.to_wire().into(),
            retries: self.retries,
            backup: self.backup.to_wire().into(),
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
        v1::WaveSpec {
            name: self.name.clone(),
            selector: by_name.then(|| v1::Selector {
                targets: self.targets.clone(),
                labels: self.labels.iter().map(label).collect(),
            }),
            percent: self.percent,
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
