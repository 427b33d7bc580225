//! What a person asks for: where, how far, in which waves.

use crate::ids::{Digest, TargetId, Version};
use crate::state::target;

/// Whose SQL a target speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    /// PostgreSQL.
    Postgres,
    /// MariaDB and MySQL.
    Mysql,
    /// SQLite.
    Sqlite,
}

impl Engine {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MariaDB/MySQL",
            Self::Sqlite => "SQLite",
        }
    }
}

/// How a script runs on an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionMode {
    /// The whole script in one transaction, with its ledger row.
    OneTransaction,
    /// Statement by statement, with an intent before and a progress row after each.
    Statements,
    /// In one piece, outside of a transaction.
    Whole,
}

/// A lock that a statement takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lock {
    /// The engine's own name for it.
    pub name: String,
    /// Who waits.
    pub meaning: String,
    /// On what; empty where that is not known.
    pub table: String,
}

/// Chooses targets. Every part given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// Ids, or patterns with `*`. Empty: any.
    pub targets: Vec<String>,
    /// Labels that must have one of the values given.
    pub labels: Vec<(String, Vec<String>)>,
}

impl Selector {
    /// Whether a target is meant.
    pub fn matches(&self, id: &TargetId, description: &target::Description) -> bool {
        let named =
            self.targets.is_empty() || self.targets.iter().any(|glob| matches(glob, id.as_str()));
        named
            && self.labels.iter().all(|(name, values)| {
                description.labels.get(name).is_some_and(|value| values.contains(value))
            })
    }
}

/// Shell-like matching with `*` for any run of characters.
fn matches(glob: &str, text: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(head) = parts.next() else { return text.is_empty() };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    true
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Apply what is missing.
    Up,
    /// Take back what is in force.
    Down,
    /// Try each step inside a transaction that is rolled back.
    Validate,
}

/// How far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// To the end of the bundle.
    Latest,
    /// Up: as far as this version. Down: until this version is the newest in force.
    Version(Version),
    /// So many steps.
    Steps(u32),
    /// Like `Version`, over versions that are points in time: digits, `YYYYMMDDhhmmss`.
    Timestamp(String),
    /// Down only: everything.
    Nothing,
}

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

/// How many targets of a wave may fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// So many are within the budget.
    pub failed: u32,
    /// So many percent of the wave are; zero: not set. The smaller of the two holds.
    pub percent: u32,
}

impl Budget {
    /// Targets of a wave of `targets` that may fail.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// One wave as asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wave {
    /// For people.
    pub name: String,
    /// Which of the targets that no earlier wave took.
    pub selector: Selector,
    /// Not zero: that share of all selected targets, instead.
    pub percent: u32,
}

/// How a plan is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategy {
    /// Empty: one wave.
    pub waves: Vec<Wave>,
    /// Legs under way at one time.
    pub parallelism: u32,
    /// Per wave.
    pub budget: Budget,
    /// When the budget is broken.
    pub on_breach: OnBreach,
    /// Attempts after the first, for failures that may pass by themselves.
    pub retries: u32,
    /// Before the first step.
    pub backup: Backup,
}

/// The whole question to the planner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// With what.
    pub bundle: Digest,
    /// Where.
    pub selector: Selector,
    /// Which way.
    pub direction: Direction,
    /// How far.
    pub goal: Goal,
    /// In which waves.
    pub strategy: Strategy,
    /// Apply versions lower than one in force.
    pub out_of_order: bool,
    /// Go on although a schema is not what it was after the last step.
    pub accept_drift: bool,
}

#[cfg(test)]
mod tests {
    use super::{Budget, matches};

    #[test]
    fn globs() {
        for (glob, text, expect) in [
            ("eu-1", "eu-1", true),
            ("eu-1", "eu-10", false),
            ("eu-*", "eu-10", true),
            ("*", "", true),
            ("*-1", "eu-1", true),
            ("*-1", "eu-12", false),
            ("e*1*2", "eu-1-a2", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(glob, text), expect, "{glob} on {text}");
        }
    }

    #[test]
    fn the_smaller_allowance_holds() {
        assert_eq!(Budget::default().allowance(100), 0);
        assert_eq!(Budget { failed: 3, percent: 0 }.allowance(100), 3);
        assert_eq!(Budget { failed: 3, percent: 10 }.allowance(100), 3);
        assert_eq!(Budget { failed: 30, percent: 10 }.allowance(100), 10);
        assert_eq!(Budget { failed: 0, percent: 10 }.allowance(100), 10);
    }
}
