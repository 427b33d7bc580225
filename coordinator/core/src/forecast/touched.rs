//! Rows of the tables that the steps of a class touch: those whose names stand in the steps' scripts. An
//! estimate, and never a gate.

use crate::ids::Digest;
use crate::plan::{Class, Step};
use crate::spec::{Direction, Engine};
use crate::state::Fleet;
use crate::state::tables::{Tables, UNKNOWN};

/// What one step touches in many targets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Touched {
    /// How many targets.
    pub lanes: u32,
    /// Of those: of which it is known.
    pub known: u32,
    /// In these together.
    pub rows: u64,
    /// The most that was ever in one of them.
    pub largest: u64,
}

impl Touched {
    fn add(&mut self, rows: Option<u64>) {
        self.lanes += 1;
        if let Some(rows) = rows {
            self.known += 1;
            self.rows = self.rows.saturating_add(rows);
            self.largest = self.largest.max(rows);
        }
    }

    fn sub(&mut self, rows: Option<u64>) {
        self.lanes = self.lanes.saturating_sub(1);
        if let Some(rows) = rows {
            self.known = self.known.saturating_sub(1);
            self.rows = self.rows.saturating_sub(rows);
        }
    }

    /// In one of those that are known; `None`: there is none.
    pub(super) fn mean(&self) -> Option<u64> {
        self.rows.checked_div(self.known.into())
    }

    /// The most; `None`: of some it is not known.
    pub(super) fn most(&self) -> Option<u64> {
        (self.known > 0 && self.known == self.lanes).then_some(self.largest)
    }
}

/// The words of a script that may be names of tables; `None`: nobody has read it for that.
pub(super) fn words<'a>(
    fleet: &'a Fleet,
    bundle: Digest,
    (engine, step): (Engine, &Step),
    script: Direction,
) -> Option<&'a [u32]> {
    let migrations = &fleet.bundles.get(&bundle)?.migrations;
    let migration = migrations.get(usize::try_from(step.migration).ok()?)?;
    let script = match script {
        Direction::Up | Direction::Validate => &migration.up,
        Direction::Down => migration.down.as_ref()?,
    };
    script.facts(engine)?.words.as_deref()
}

/// In one target, of which this was told.
pub(super) fn rows(words: Option<&[u32]>, tables: Option<&Tables>) -> Option<u64> {
    let (words, tables) = (words?, tables?);
    let named = tables.iter().filter(|(name, _)| words.binary_search(name).is_ok());
    let mut named = named.peekable();
    // It may touch one that is not among the largest, and yet is large.
    if named.peek().is_none() && !tables.is_complete() {
        return None;
    }
    named
        .map(|(_, rows)| rows)
        .try_fold(0, |sum: u64, rows| (rows != UNKNOWN).then(|| sum.saturating_add(rows)))
}

/// The steps of a class, by the words of their scripts: a target's few tables are looked up once for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reach {
    /// In the order of the words.
    steps: Vec<(u32, usize)>,
    /// Whether anybody has read a step's script.
    read: Vec<bool>,
}

impl Reach {
    pub(crate) fn of(fleet: &Fleet, bundle: Digest, class: &Class) -> Self {
        let (mut steps, mut read) = (Vec::new(), Vec::new());
        for (at, step) in class.steps.iter().enumerate() {
            let words = words(fleet, bundle, (class.engine, step), step.direction);
            read.push(words.is_some());
            steps.extend(words.unwrap_or_default().iter().map(|word| (*word, at)));
        }
        steps.sort_unstable();
        Self { steps, read }
    }

    /// One target more.
    pub(super) fn add(&self, all: &mut Vec<Touched>, tables: Option<&Tables>) {
        all.resize(self.read.len(), Touched::default());
        all.iter_mut().zip(self.rows(tables)).for_each(|(touched, rows)| touched.add(rows));
    }

    /// One less.
    pub(super) fn sub(&self, all: &mut [Touched], tables: Option<&Tables>) {
        all.iter_mut().zip(self.rows(tables)).for_each(|(touched, rows)| touched.sub(rows));
    }

    /// What each step touches in one target.
    fn rows(&self, tables: Option<&Tables>) -> Vec<Option<u64>> {
        let known = |read: &bool| (*read && tables.is_some()).then_some(0);
        let mut sums: Vec<Option<u64>> = self.read.iter().map(known).collect();
        let mut names = vec![tables.is_none_or(Tables::is_complete); sums.len()];
        for (name, rows) in tables.into_iter().flat_map(Tables::iter) {
            let from = self.steps.partition_point(|(word, _)| *word < name);
            let named = self.steps.iter().skip(from).take_while(|(word, _)| *word == name);
            for (_, at) in named {
                if let (Some(sum), Some(names)) = (sums.get_mut(*at), names.get_mut(*at)) {
                    *names = true;
                    *sum = sum.filter(|_| rows != UNKNOWN).map(|sum| sum.saturating_add(rows));
                }
            }
        }
        sums.into_iter().zip(names).map(|(sum, names)| sum.filter(|_| names)).collect()
    }
}
