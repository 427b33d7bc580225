//! How many rows the tables of a target have: of the largest ones alone, by numbers that stand for their names. It
//! is an estimate, for forecasts only.

use std::sync::Arc;

/// Tables of one target that are kept.
pub const KEPT: usize = 16;
/// Rows of a table that nobody could estimate.
pub const UNKNOWN: u64 = u64::MAX;

/// How large a target is, as told last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The whole database; zero: never.
    pub bytes: u64,
    /// Rows of its largest tables. `None`: never.
    pub tables: Option<Arc<Tables>>,
}

/// A name and its rows; in the order of the names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables(Box<[(u32, u64)]>);

impl Tables {
    /// Of what was told, the largest ones.
    pub fn new(told: impl IntoIterator<Item = (u32, u64)>) -> Self {
        let mut tables: Vec<(u32, u64)> = told.into_iter().filter(|(_, rows)| *rows > 0).collect();
        // One that nobody could estimate takes no place from one that is counted.
        tables.sort_unstable_by_key(|(name, rows)| {
            (*rows == UNKNOWN, std::cmp::Reverse(*rows), *name)
        });
        tables.truncate(KEPT);
        tables.sort_unstable_by_key(|(name, rows)| (*name, std::cmp::Reverse(*rows)));
        tables.dedup_by_key(|(name, _)| *name);
        Self(tables.into())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        self.0.iter().copied()
    }

    /// Of one; of one that is not listed, the most that it may have.
    fn rows(&self, name: u32) -> u64 {
        let found = self.0.binary_search_by_key(&name, |(name, _)| *name);
        found.ok().and_then(|at| self.0.get(at)).map_or_else(|| self.unlisted(), |(_, rows)| *rows)
    }

    /// So many rows a table may have that is not listed; [`UNKNOWN`]: any number.
    fn unlisted(&self) -> u64 {
        let rows = || self.0.iter().map(|(_, rows)| *rows);
        match self.0.len() < KEPT {
            true => 0,
            false if rows().any(|rows| rows == UNKNOWN) => UNKNOWN,
            false => rows().min().unwrap_or_default(),
        }
    }

    /// Whoever names none of them touches few rows. Agents, which cannot import this, say the same of what they
    /// measure (`agent/src/db/tables.rs`).
    pub fn is_complete(&self) -> bool {
        self.unlisted() < ALIKE
    }

    /// Whether another look is worth no word: a table that grows is told of each time that it has doubled.
    pub(crate) fn is_alike(&self, seen: &Self) -> bool {
        let names = self.iter().chain(seen.iter()).map(|(name, _)| name);
        names.map(|name| (self.rows(name), seen.rows(name))).all(|(known, seen)| {
            let doubled = seen / 2 >= known || known / 2 >= seen;
            seen.abs_diff(known) < ALIKE || !doubled
        })
    }
}

/// Counts that differ by less are alike: no step takes another time for that.
const ALIKE: u64 = 1 << 13;

#[cfg(test)]
mod tests {
    use super::{KEPT, Tables, UNKNOWN};

    #[test]
    fn the_largest_ones_are_kept() {
        let many = Tables::new((1..=100).map(|n| (n, u64::from(n) * 10)));
        assert_eq!(many.iter().count(), KEPT);
        assert_eq!((many.rows(100), many.rows(85), many.rows(84)), (1_000, 850, 850));
        assert_eq!(Tables::new([(1, 0)]), Tables::default(), "an empty one is as good as none");
        let odd = Tables::new([(7, UNKNOWN), (7, 3), (1, 2)]);
        assert_eq!(odd.iter().collect::<Vec<_>>(), [(1, 2), (7, UNKNOWN)]);
    }

    /// What is not listed may be as large as the smallest one that is.
    #[test]
    fn a_table_that_is_crowded_out_is_not_small() {
        let large = |last| Tables::new((1..16).map(|n| (n, 1_000_000)).chain([(last, 900_000)]));
        assert!(large(16).is_alike(&large(17)), "the sixteenth and the next one change places");
        assert!(!large(16).is_complete());
        assert!(Tables::new((1..=16).map(|n| (n, 5))).is_complete());
        assert!(Tables::new([(1, 1_000_000)]).is_complete(), "there is no other");
        let odd = Tables::new((1..=20).map(|n| (n, if n > 10 { UNKNOWN } else { 9 })));
        assert_eq!((odd.rows(3), odd.rows(99)), (9, UNKNOWN), "counted ones come first");
        assert!(!odd.is_complete());
    }

    #[test]
    fn a_table_is_told_of_when_it_has_doubled() {
        let of = |rows| Tables::new([(1, rows), (2, 5)]);
        assert!(of(1).is_alike(&of(8_000)), "both are small");
        assert!(of(100_000).is_alike(&of(190_000)));
        assert!(!of(100_000).is_alike(&of(200_000)));
        assert!(!of(200_000).is_alike(&of(100_000)));
        assert!(!Tables::default().is_alike(&of(10_000)), "it is new");
    }
}
