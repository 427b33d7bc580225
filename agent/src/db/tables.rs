//! How many rows the tables of a target have, as its server estimates them: no table is scanned for it.

use skein_bundle::sql::names;

use super::answer::{Answer, text};
use super::location::Engine;

/// Tables that are told of, the largest ones that are counted first.
pub(super) const MOST: usize = 16;
/// Where the smallest of so many is smaller than this, what touches none of them touches little.
const LITTLE: u64 = 1 << 13;
/// Rows of a table that nobody can estimate.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// The largest tables, by the numbers that stand for their names.
///
/// The core reads what is told of them by the same rules (`coordinator/core/src/state/tables.rs`), which an agent
/// cannot import: what was measured by the ones is forecast by the others. `tests/tests/tables.rs` holds them together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables(Vec<(u32, u64)>);

impl Tables {
    /// Names and rows.
    pub fn new(engine: Engine, told: impl IntoIterator<Item = (String, u64)>) -> Self {
        let number = |(name, rows): (String, u64)| (names::number(engine.dialect(), &name), rows);
        let mut tables: Vec<(u32, u64)> =
            told.into_iter().filter(|(_, rows)| *rows > 0).map(number).collect();
        tables.sort_unstable_by_key(|(name, rows)| {
            (*rows == UNKNOWN, std::cmp::Reverse(*rows), *name)
        });
        tables.truncate(MOST);
        Self(tables)
    }

    /// Rows of names and counts, as a server answers them.
    pub(super) fn read(engine: Engine, answer: &Answer) -> Self {
        let row = |row: &Vec<Option<String>>| {
            Some((text(row, 0)?.to_owned(), text(row, 1)?.parse().unwrap_or_default()))
        };
        Self::new(engine, answer.rows.iter().filter_map(row))
    }

    /// Their numbers, and their rows.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        self.0.iter().copied()
    }

    /// Rows of those that a script names. `None`: that cannot be told.
    pub fn touched(&self, engine: Engine, script: &str) -> Option<u64> {
        let words = names::of(engine.dialect(), script)?;
        let named = self.0.iter().filter(|(name, _)| words.binary_search(name).is_ok());
        let mut named = named.peekable();
        // It may touch one that is not told of, and yet is large.
        if named.peek().is_none() && !self.is_complete() {
            return None;
        }
        named
            .map(|(_, rows)| *rows)
            .try_fold(0, |sum: u64, rows| (rows != UNKNOWN).then(|| sum.saturating_add(rows)))
    }

    /// Whoever names none of them touches few rows.
    pub fn is_complete(&self) -> bool {
        let rows = || self.0.iter().map(|(_, rows)| *rows);
        // The last ones are those that nobody can estimate: whatever is not told of may be one as well.
        let odd = rows().any(|rows| rows == UNKNOWN);
        self.0.len() < MOST || (!odd && rows().min().is_some_and(|rows| rows < LITTLE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_touches_the_tables_that_it_names() {
        let told = [("orders", 1_000), ("items", 50), ("odd", UNKNOWN), ("none", 0)];
        let told = told.map(|(name, rows)| (name.to_owned(), rows));
        let tables = Tables::new(Engine::Sqlite, told);
        for (script, rows) in [
            ("UPDATE orders SET a = 1;", Some(1_000)),
            ("INSERT INTO \"Orders\" SELECT * FROM items; -- odd", Some(1_050)),
            ("CREATE TABLE fresh (id int);", Some(0)),
            ("DELETE FROM none;", Some(0)),
            ("DELETE FROM odd;", None),
        ] {
            assert_eq!(tables.touched(Engine::Sqlite, script), rows, "{script}");
        }
    }
}
