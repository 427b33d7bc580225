//! Rows of a SQLite file's tables: what `ANALYZE` has left, else the range of their row ids, which is found in a few
//! pages however large a table is.

use crate::db::answer::{Answer, Keep, text};
use crate::db::batch::{Batch, answer};
use crate::db::location::Engine;
use crate::db::sql::name;
use crate::db::tables::{Tables, UNKNOWN};

use super::connect::SqliteConnection;

/// With row ids or without; no views, no virtual tables or what hangs below those.
pub(super) const LIST: &str = "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' \
     AND type = 'table' AND name NOT LIKE '\\_skein\\_%' ESCAPE '\\' \
     AND (name NOT LIKE 'sqlite\\_%' ESCAPE '\\' OR name = 'sqlite_stat1') ORDER BY name;";
/// A file with more tables than this is not asked about them.
const ASKED_MAX: usize = 256;
/// A row takes no fewer bytes of its file.
const ROW_MIN: u64 = 4;

impl SqliteConnection {
    /// Of the tables that a list names, in a file of so many bytes. `None`: there are too many, or they cannot be
    /// asked about, for which no look fails.
    pub(super) async fn rows_of(&mut self, listed: &Answer, bytes: Option<u64>) -> Option<Tables> {
        const STATISTICS: &str = "sqlite_stat1";
        let listed = listed.rows.iter().filter_map(|row| Some((text(row, 0)?, text(row, 1)?)));
        let (analysed, tables): (Vec<_>, Vec<_>) = listed.partition(|(it, _)| *it == STATISTICS);
        if tables.is_empty() || tables.len() > ASKED_MAX {
            return tables.is_empty().then(Tables::default);
        }
        let mut batch = Batch::default();
        let told = (!analysed.is_empty()).then(|| {
            batch.add("SELECT tbl, max(CAST(stat AS INTEGER)) FROM main.sqlite_stat1 GROUP BY tbl;")
        });
        let asked: Vec<_> = tables
            .iter()
            .map(|(table, without)| {
                let table = name(Engine::Sqlite, table);
                let range = format!(
                    "SELECT (SELECT max(_rowid_) FROM main.{table}) \
                     - (SELECT min(_rowid_) FROM main.{table}) + 1;"
                );
                (*without == "0").then(|| batch.add(&range))
            })
            .collect();
        let answers = self.send(batch.into_sql(), Keep::All).await.ok()?;
        let told = told.map(|at| answer(&answers, at)).unwrap_or_default();
        let told = |table: &str| {
            let row = told.rows.iter().find(|row| text(row, 0) == Some(table))?;
            text(row, 1)?.parse().ok()
        };
        // Whoever gives rows ids of his own leaves wide gaps.
        let fits = |rows: &u64| bytes.is_none_or(|bytes| *rows <= bytes / ROW_MIN);
        let rows = tables.iter().zip(asked).map(|((table, _), at)| {
            let counted = |at| match answer(&answers, at).scalar() {
                // It is empty.
                None => Some(0),
                Some(range) => range.parse().ok().filter(fits),
            };
            let rows = told(table).or_else(|| counted(at?)).unwrap_or(UNKNOWN);
            ((*table).to_owned(), rows)
        });
        Some(Tables::new(Engine::Sqlite, rows))
    }
}
