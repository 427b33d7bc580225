//! What a file is cut into when it does not run in one transaction: the pieces between which
//! progress is written.

use skein_bundle::sql::{Batch, Class, Mode, Statement};

use super::order::Order;
use super::sql::mentions;

/// One piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) text: String,
    /// One-based lines, within the script's file, of the statements in it.
    pub(crate) lines: Vec<u32>,
    /// What the piece does. A transaction of the author's own is `TransactionControl`, in which
    /// case `text` lacks its COMMIT, which follows the progress row.
    pub(crate) class: Class,
    /// It runs over a range of keys at a time; `text` has their places in it.
    pub(crate) batch: Option<Batch>,
}

impl Unit {
    /// The first words, for a message.
    pub(crate) fn summary(&self) -> String {
        let words: Vec<&str> = self.text.split_whitespace().take(6).collect();
        let line = self.line_of(0).map(|line| format!(" on line {line}")).unwrap_or_default();
        format!("`{}`{line}", words.join(" "))
    }

    /// The line of the statement after `done` others of the piece.
    pub(crate) fn line_of(&self, done: usize) -> Option<u32> {
        self.lines.get(done).copied()
    }
}

/// The pieces of an order's script.
pub(crate) fn of(order: &Order) -> Vec<Unit> {
    let whole = |class| {
        let lines = order.plan.judged.iter().map(|judged| judged.line).collect();
        Unit { text: order.script.text.clone(), lines, class, batch: None }
    };
    match &order.plan.mode {
        // Also what was planned for a transaction and meets an engine without.
        Mode::WholeUnit { .. } | Mode::InTransaction => vec![whole(Class::Opaque)],
        Mode::StatementByStatement(statements) => group(statements),
    }
}

fn group(statements: &[Statement]) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut rest = statements.iter();
    while let Some(first) = rest.next() {
        if first.class != Class::TransactionControl {
            let Statement { text, line, class, batch } = first.clone();
            units.push(Unit { text, lines: vec![line], class, batch });
            continue;
        }
        // From BEGIN to the COMMIT that ends it. What does not read so simply is opaque.
        let mut text = format!("{};\n", first.text);
        let mut lines = vec![first.line];
        let mut class = Class::Opaque;
        for next in rest.by_ref() {
            let ends = next.class == Class::TransactionControl;
            if ends && commits(&next.text) && opens(&first.text) {
                class = Class::TransactionControl;
                break;
            }
            text.push_str(&next.text);
            text.push_str(";\n");
            lines.push(next.line);
            if ends && !keeps_open(&next.text) {
                break;
            }
        }
        units.push(Unit { text, lines, class, batch: None });
    }
    units
}

fn opens(text: &str) -> bool {
    mentions(text, "begin") || mentions(text, "start")
}

fn commits(text: &str) -> bool {
    (mentions(text, "commit") || mentions(text, "end")) && !mentions(text, "prepared")
}

/// Savepoints live inside of the transaction.
fn keeps_open(text: &str) -> bool {
    ["savepoint", "release", "to"].iter().any(|word| mentions(text, word))
}

/// Why the session that the statements before `at` (zero-based) built cannot be built again;
/// `Ok` has the statements that build it.
pub(crate) fn prologue(units: &[Unit], at: usize) -> Result<Vec<&Unit>, String> {
    let before = units.get(..at).unwrap_or_default();
    let mut replay = Vec::new();
    for unit in before {
        let temporary = ["temp", "temporary"].iter().any(|word| mentions(&unit.text, word));
        if unit.class == Class::Session {
            if mentions(&unit.text, "select") {
                return Err(format!(
                    "the session's state from {} depends on data that may have changed since; \
                     settle the step by hand",
                    unit.summary()
                ));
            }
            replay.push(unit);
        } else if temporary || unit.text.contains(":=") || reads_into_variable(&unit.text) {
            return Err(format!(
                "what {} left in its session is gone and cannot be built again; settle the step by \
                 hand",
                unit.summary()
            ));
        }
    }
    for table in replay.iter().filter_map(|unit| temporary_table(&unit.text)) {
        if let Some(user) =
            before.iter().find(|unit| unit.class != Class::Session && mentions(&unit.text, table))
        {
            return Err(format!(
                "the temporary table {table} was filled by {} and is gone; settle the step by hand",
                user.summary()
            ));
        }
    }
    Ok(replay)
}

fn reads_into_variable(text: &str) -> bool {
    mentions(text, "into") && text.contains('@') && mentions(text, "select")
}

/// The name in `CREATE TEMPORARY TABLE [IF NOT EXISTS] name`.
fn temporary_table(text: &str) -> Option<&str> {
    if !["temp", "temporary"].iter().any(|word| mentions(text, word)) {
        return None;
    }
    let quotes = ['`', '"', '(', ';'];
    text.split_whitespace()
        .skip_while(|word| !word.eq_ignore_ascii_case("table"))
        .skip(1)
        .find(|word| !["if", "not", "exists"].iter().any(|skip| word.eq_ignore_ascii_case(skip)))
        .and_then(|word| word.trim_matches(quotes).split('(').next())
        .map(|word| word.trim_matches(quotes))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(text: &str, class: Class) -> Statement {
        Statement { text: text.to_owned(), line: 1, class, batch: None }
    }

    #[test]
    fn an_authors_transaction_is_one_unit_without_its_commit() {
        let units = group(&[
            statement("CREATE INDEX CONCURRENTLY i ON t (a)", Class::Ddl),
            statement("BEGIN", Class::TransactionControl),
            statement("UPDATE t SET a = 1", Class::Dml),
            statement("COMMIT", Class::TransactionControl),
            statement("VACUUM t", Class::Opaque),
        ]);
        let classes: Vec<_> = units.iter().map(|unit| unit.class).collect();
        assert_eq!(classes, [Class::Ddl, Class::TransactionControl, Class::Opaque]);
        assert_eq!(units[1].text, "BEGIN;\nUPDATE t SET a = 1;\n");
    }

    #[test]
    fn a_session_is_built_again_only_where_that_is_sure() {
        let unit =
            |text: &str, class| Unit { text: text.to_owned(), lines: vec![3], class, batch: None };
        let fine = [
            unit("SET sql_mode = 'ANSI'", Class::Session),
            unit("CREATE TEMPORARY TABLE x (a int)", Class::Session),
            unit("UPDATE t SET a = 1", Class::Dml),
        ];
        assert_eq!(prologue(&fine, 3).unwrap().len(), 2);
        for bad in [
            vec![unit("SET @n = (SELECT COUNT(*) FROM t)", Class::Session)],
            vec![unit("SELECT COUNT(*) INTO @n FROM t", Class::Query)],
            vec![
                unit("CREATE TEMPORARY TABLE x (a int)", Class::Session),
                unit("INSERT INTO x VALUES (1)", Class::Dml),
            ],
        ] {
            assert!(prologue(&bad, bad.len()).is_err(), "{bad:?}");
        }
    }
}
