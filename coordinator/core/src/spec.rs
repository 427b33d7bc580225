//! What a person asks for: where, how far, in which waves.

mod batching;
mod gate;
mod latency;
mod part;
mod strategy;
mod throttle;
pub mod window;

pub use batching::Batching;
pub use gate::{Comparison, Gate, Question, When};
pub use latency::{Bound, Ceiling, Latency, Quantile, Quantiles};
pub use part::{Part, Standing, Word};
use std::collections::BTreeSet;
use std::sync::Arc;
pub use strategy::{
    Backup, Budget, Heavy, Knob, Limit, OnBreach, Order, Scope, Stage, Strategy, Wave,
};
pub use throttle::{Measure, Setting, Throttle};
pub use window::{AtClose, Blackout, Window};

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

    /// The release of a version as its server tells it, without what is corrected within one: `16` of `16.4`, `10.11`
    /// of `10.11.6-MariaDB`.
    pub fn series(self, version: &str) -> &str {
        let numbers = match self {
            // Two numbers until 9.6.
            Self::Postgres if !version.starts_with("9.") => 1,
            Self::Postgres | Self::Mysql | Self::Sqlite => 2,
        };
        let mut dots = version.char_indices().filter(|(_, one)| !one.is_ascii_digit());
        let (end, _) = dots.nth(numbers - 1).unwrap_or((version.len(), ' '));
        version.get(..end).unwrap_or(version)
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
    /// What must hold of a target, in words that this crate does not read. `None`: nothing.
    pub condition: Option<Condition>,
}

/// An expression, for people and for the log, and what it held of when it was asked. The log keeps no more
/// than the words: read from there, it holds of nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// As it was asked.
    pub text: String,
    /// What it held of, found by whoever took the request.
    pub holds: Arc<BTreeSet<TargetId>>,
}

impl Condition {
    /// One that nobody has looked for yet: it holds of nothing.
    pub fn new(text: String) -> Self {
        Self { text, holds: Arc::default() }
    }
}

impl Selector {
    /// Whether a target is meant.
    pub fn matches(&self, id: &TargetId, description: &target::Description) -> bool {
        self.names(id, description)
            && self.condition.as_ref().is_none_or(|condition| condition.holds.contains(id))
    }

    /// Whether its patterns and labels mean a target, whatever its condition says.
    pub fn names(&self, id: &TargetId, description: &target::Description) -> bool {
        let named =
            self.targets.is_empty() || self.targets.iter().any(|glob| matches(glob, id.as_str()));
        named
            && self.labels.iter().all(|(name, values)| {
                description.labels.get(name).is_some_and(|value| values.contains(value))
            })
    }

    /// As the log keeps it.
    pub(crate) fn as_written(&self) -> Self {
        let words = |condition: &Condition| Condition::new(condition.text.clone());
        Self { condition: self.condition.as_ref().map(words), ..self.clone() }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

impl Spec {
    /// Every selector in it.
    pub fn selectors_mut(&mut self) -> impl Iterator<Item = &mut Selector> {
        let waves = self.strategy.waves.iter_mut().map(|wave| &mut wave.selector);
        std::iter::once(&mut self.selector).chain(waves)
    }

    /// As the log keeps it: of conditions, the words. What they held of stands in the plan's waves.
    pub(crate) fn as_written(&self) -> Self {
        let mut spec = self.clone();
        for selector in spec.selectors_mut() {
            *selector = selector.as_written();
        }
        spec
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::{Condition, Engine, Selector, matches};
    use crate::ids::TargetId;
    use crate::state::target::Description;

    #[test]
    fn a_condition_holds_of_what_was_found_and_of_nothing_once_it_was_written() {
        let description =
            Description { engine: Engine::Sqlite, labels: BTreeMap::new(), group: String::new() };
        let [first, second] = ["eu-1", "eu-2"].map(|id| TargetId(id.to_owned()));
        let holds = Arc::new([first.clone()].into());
        let condition = Some(Condition { text: "held".to_owned(), holds });
        let selector = Selector { targets: vec!["eu-*".to_owned()], labels: Vec::new(), condition };
        assert!(selector.matches(&first, &description));
        assert!(!selector.matches(&second, &description));
        let written = selector.as_written();
        assert_eq!(written.condition, Some(Condition::new("held".to_owned())));
        assert!(!written.matches(&first, &description));
    }

    #[test]
    fn releases_of_servers() {
        for (engine, version, series) in [
            (Engine::Postgres, "16.4 (Debian 16.4-1)", "16"),
            (Engine::Postgres, "17beta1", "17"),
            (Engine::Postgres, "9.6.24", "9.6"),
            (Engine::Mysql, "10.11.6-MariaDB-0+deb12u1", "10.11"),
            (Engine::Mysql, "8.0.39", "8.0"),
            (Engine::Sqlite, "3.45.1", "3.45"),
            (Engine::Sqlite, "3", "3"),
            (Engine::Mysql, "", ""),
        ] {
            assert_eq!(engine.series(version), series, "{version}");
        }
    }

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
}
