//! The ledger: which steps are in force in this target, in its own tables.
//!
//! Rows are only ever added. An undo adds a `down` row, so the table is also the target's history,
//! and the highest `seq` tells a restored database from the one that was left.

use std::collections::BTreeSet;

use super::answer::{Answer, text};
use super::fence::Token;
use super::location::Engine;
use super::order::{Direction, Order};
use super::sql::{hex, literal, unhex};

/// One step that was run in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// Position in the target's history, from 1, without gaps.
    pub seq: u64,
    /// The migration's version.
    pub step: String,
    pub direction: Direction,
    /// Of the script that was run.
    pub digest: [u8; 32],
    /// Of the lease under which it was run.
    pub token: Token,
    /// The database server's clock, milliseconds since 1970.
    pub at_ms: u64,
}

/// A row to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// The migration's version.
    pub step: &'a str,
    pub direction: Direction,
    pub digest: [u8; 32],
}

impl<'a> Row<'a> {
    fn of(order: &'a Order) -> Self {
        Self { step: &order.step, direction: order.direction, digest: order.digest }
    }
}

/// The steps in force, in the order in which they were applied.
pub fn applied(rows: &[LedgerRow]) -> Vec<&LedgerRow> {
    let mut stack: Vec<&LedgerRow> = Vec::new();
    for row in rows {
        stack.retain(|earlier| earlier.step != row.step);
        if row.direction == Direction::Up {
            stack.push(row);
        }
    }
    stack
}

/// What a session under the target's lock knows of its ledger without asking again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// The highest number; 0 where there is no row.
    head: u64,
    /// The steps in force.
    applied: BTreeSet<String>,
}

impl Known {
    pub(crate) fn of(rows: &[LedgerRow]) -> Self {
        Self {
            head: rows.last().map_or(0, |row| row.seq),
            applied: applied(rows).into_iter().map(|row| row.step.clone()).collect(),
        }
    }

    /// Whether the ledger leaves the order to be run.
    pub(crate) fn is_due(&self, order: &Order) -> bool {
        self.applied.contains(&order.step) == (order.direction == Direction::Down)
    }

    /// The order's row was added.
    pub(crate) fn add(&mut self, order: &Order) {
        self.head += 1;
        match order.direction {
            Direction::Up => self.applied.insert(order.step.clone()),
            Direction::Down => self.applied.remove(&order.step),
        };
    }
}

/// Names and definitions of our tables in one target.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    pub(crate) engine: Engine,
    /// Qualifies every name, so that neither `search_path` nor `USE` in a script moves our tables.
    prefix: String,
}

/// What begins every name of ours in a target; the fingerprint leaves such names out.
pub(crate) const PREFIX: &str = "_skein_";

/// The form of the ledger tables. A higher one in the target is refused.
pub(crate) const FORMAT: u64 = 1;

impl Tables {
    pub(crate) fn new(engine: Engine, prefix: String) -> Self {
        Self { engine, prefix }
    }

    pub(crate) fn ledger(&self) -> String {
        format!("{}{PREFIX}ledger", self.prefix)
    }

    pub(crate) fn fence(&self) -> String {
        format!("{}{PREFIX}fence", self.prefix)
    }

    pub(crate) fn intent(&self) -> String {
        format!("{}{PREFIX}intent", self.prefix)
    }

    pub(crate) fn batches(&self) -> String {
        format!("{}{PREFIX}batches", self.prefix)
    }

    pub(super) fn text_type(&self) -> &'static str {
        match self.engine {
            Engine::Postgres | Engine::Sqlite => "text",
            Engine::Mysql => "varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        }
    }

    pub(super) fn long_text_type(&self) -> &'static str {
        match self.engine {
            Engine::Postgres | Engine::Sqlite => "text",
            Engine::Mysql => "longtext CHARACTER SET utf8mb4",
        }
    }

    pub(super) fn options(&self) -> &'static str {
        match self.engine {
            Engine::Postgres | Engine::Sqlite => "",
            Engine::Mysql => " ENGINE=InnoDB",
        }
    }

    /// Statements that make fence and ledger. `lineage` marks this database and every copy of it.
    pub(crate) fn create(&self, lineage: &str) -> String {
        let (fence, ledger) = (self.fence(), self.ledger());
        let (text, options) = (self.text_type(), self.options());
        let lineage = literal(self.engine, lineage);
        format!(
            "CREATE TABLE IF NOT EXISTS {fence} (id bigint NOT NULL PRIMARY KEY, \
             token bigint NOT NULL, format bigint NOT NULL, lineage {text} NOT NULL){options};\n\
             CREATE TABLE IF NOT EXISTS {ledger} (seq bigint NOT NULL PRIMARY KEY, \
             step {text} NOT NULL, direction {text} NOT NULL, digest {text} NOT NULL, \
             token bigint NOT NULL, at_ms bigint NOT NULL){options};\n\
             INSERT INTO {fence} (id, token, format, lineage) \
             SELECT 1, 0, {FORMAT}, {lineage} FROM (SELECT COUNT(*) AS n FROM {fence}) AS held \
             WHERE held.n = 0;\n"
        )
    }

    /// The number of statements in [`Self::create`].
    pub(crate) const CREATE_LEN: usize = 3;

    /// The statement that makes the intent table: only files that run outside of a transaction
    /// need it.
    pub(crate) fn create_intent(&self) -> String {
        let (intent, text, options) = (self.intent(), self.text_type(), self.options());
        let long = self.long_text_type();
        format!(
            "CREATE TABLE IF NOT EXISTS {intent} (id bigint NOT NULL PRIMARY KEY, \
             step {text} NOT NULL, direction {text} NOT NULL, statement bigint NOT NULL, \
             statements bigint NOT NULL, phase {text} NOT NULL, token bigint NOT NULL, \
             digest {text} NOT NULL, fingerprint_before {text} NOT NULL, \
             objects_before {long} NOT NULL, at_ms bigint NOT NULL){options};\n"
        )
    }

    /// The server's clock in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> &'static str {
        match self.engine {
            Engine::Postgres => {
                "CAST(extract(epoch FROM pg_catalog.clock_timestamp()) * 1000 AS bigint)"
            }
            Engine::Mysql => "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED)",
            Engine::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
        }
    }

    /// Raises the fence where it is lower. Never lowers it.
    pub(crate) fn raise(&self, token: Token) -> String {
        let fence = self.fence();
        format!("UPDATE {fence} SET token = {token} WHERE id = 1 AND token < {token};\n")
    }

    /// Reads the fence, holding its row until the transaction ends.
    pub(crate) fn lock_fence(&self) -> String {
        self.lock_fence_and("NULL")
    }

    /// The same, with one value more in the third column, or several.
    pub(crate) fn lock_fence_and(&self, value: &str) -> String {
        let fence = self.fence();
        let lock = if self.engine == Engine::Sqlite { "" } else { " FOR UPDATE" };
        format!("SELECT token, format, {value} FROM {fence} WHERE id = 1{lock};\n")
    }

    /// The latest row of one step.
    pub(crate) fn latest(&self, step: &str) -> String {
        let (ledger, step) = (self.ledger(), literal(self.engine, step));
        format!("{ROW} FROM {ledger} WHERE step = {step} ORDER BY seq DESC LIMIT 1;\n")
    }

    pub(crate) fn all(&self) -> String {
        format!("{ROW} FROM {} ORDER BY seq;\n", self.ledger())
    }

    /// Adds the row of an order, unless the fence has passed it: then no row is affected.
    pub(crate) fn insert(&self, order: &Order) -> String {
        self.insert_row(&Row::of(order), order.token)
    }

    /// The same for a row that no order stands behind.
    pub(crate) fn insert_row(&self, row: &Row<'_>, token: Token) -> String {
        let (ledger, fence) = (self.ledger(), self.fence());
        let values = self.values(row, token);
        format!(
            "INSERT INTO {ledger} (seq, step, direction, digest, token, at_ms) \
             SELECT COALESCE(MAX(seq), 0) + 1, {values} \
             FROM {ledger} HAVING (SELECT token FROM {fence} WHERE id = 1) <= {token};\n"
        )
    }

    /// Adds the row of an order; fails (the number is NULL) where the fence has passed it, so that
    /// a COMMIT in the same message is not reached.
    pub(crate) fn insert_or_fail(&self, order: &Order) -> String {
        let (ledger, fence, token) = (self.ledger(), self.fence(), order.token);
        let values = self.values(&Row::of(order), token);
        format!(
            "INSERT INTO {ledger} (seq, step, direction, digest, token, at_ms) \
             SELECT CASE WHEN (SELECT token FROM {fence} WHERE id = 1) <= {token} \
             THEN COALESCE(MAX(seq), 0) + 1 END, {values} FROM {ledger};\n"
        )
    }

    /// SQLite: adds the row of an order whose script is then run in the same transaction; fails where the
    /// fence is not the order's or the tables have another form (the number is NULL), and where the ledger
    /// is not the one that is known (the number is taken).
    pub(crate) fn insert_as_known(&self, order: &Order, known: &Known) -> String {
        let (ledger, fence, token) = (self.ledger(), self.fence(), order.token);
        let (values, seq) = (self.values(&Row::of(order), token), known.head + 1);
        format!(
            "INSERT INTO {ledger} (seq, step, direction, digest, token, at_ms) VALUES ((SELECT {seq} \
             FROM {fence} WHERE id = 1 AND token = {token} AND format = {FORMAT}), {values});\n"
        )
    }

    fn values(&self, row: &Row<'_>, token: Token) -> String {
        let step = literal(self.engine, row.step);
        let (direction, digest) = (row.direction, hex(&row.digest));
        let now = self.now_ms();
        format!("{step}, '{direction}', '{digest}', {token}, {now}")
    }
}

const ROW: &str = "SELECT seq, step, direction, digest, token, at_ms";

/// Reads rows that [`Tables::latest`] or [`Tables::all`] asked for.
pub(crate) fn read(answer: &Answer) -> Result<Vec<LedgerRow>, String> {
    answer
        .rows
        .iter()
        .map(|row| {
            row_of(row).ok_or_else(|| {
                format!("the ledger table holds a row that Skein never wrote: {row:?}")
            })
        })
        .collect()
}

fn row_of(row: &[Option<String>]) -> Option<LedgerRow> {
    Some(LedgerRow {
        seq: text(row, 0)?.parse().ok()?,
        step: text(row, 1)?.to_owned(),
        direction: Direction::parse(text(row, 2)?)?,
        digest: unhex(text(row, 3)?)?,
        token: Token(text(row, 4)?.parse().ok()?),
        at_ms: text(row, 5)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undone_step_leaves_the_stack_and_may_return_to_its_top() {
        let row = |seq, step: &str, direction| LedgerRow {
            seq,
            step: step.to_owned(),
            direction,
            digest: [0; 32],
            token: Token(1),
            at_ms: 0,
        };
        let rows = [
            row(1, "1", Direction::Up),
            row(2, "2", Direction::Up),
            row(3, "3", Direction::Up),
            row(4, "1", Direction::Down),
            row(5, "3", Direction::Down),
            row(6, "1", Direction::Up),
        ];
        let steps: Vec<_> = applied(&rows).iter().map(|row| row.step.as_str()).collect();
        assert_eq!(steps, ["2", "1"]);
    }
}
