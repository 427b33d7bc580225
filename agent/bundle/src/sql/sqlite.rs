//! What a statement does on SQLite.

use super::classify::{Facts, Lock};
use super::model::Class;
use super::words::Words;

/// SQLite locks the file: one writer at a time, whatever it writes.
const WHOLE_DATABASE: Lock = Lock {
    name: "whole database",
    meaning: "other writers wait; readers go on in WAL mode, else they wait while it commits",
};

/// Pragmas that do nothing, or fail, inside a transaction.
const OUTSIDE_PRAGMAS: &[&str] = &["JOURNAL_MODE", "FOREIGN_KEYS", "AUTO_VACUUM", "SYNCHRONOUS"];

pub(super) fn facts(words: &Words<'_>) -> Facts {
    match words.upper(0).as_str() {
        "CREATE" => create(words),
        "ALTER" => {
            let (table, next) = words.name(words.skip(1, &["TABLE"]));
            let drops = words.is(next, "DROP") && !words.is(next + 1, "CONSTRAINT");
            write(Class::Ddl).on(table).destructive(drops)
        }
        "DROP" => {
            let at = words.skip(2, &["IF", "EXISTS"]);
            write(Class::Ddl).on(words.name(at).0).destructive(words.is(1, "TABLE"))
        }
        "INSERT" | "REPLACE" => write(Class::Dml).on(after(words, "INTO")),
        "UPDATE" => {
            let at = if words.is(1, "OR") { 3 } else { 1 };
            write(Class::Dml).on(words.name(at).0)
        }
        "DELETE" => write(Class::Dml).on(after(words, "FROM")).destructive(true),
        "WITH" => with(words),
        "SELECT" | "VALUES" | "EXPLAIN" => Facts::new(Class::Query),
        "PRAGMA" => pragma(words),
        "VACUUM" => Facts::new(Class::Ddl)
            .lock(WHOLE_DATABASE)
            .outside("SQLite refuses VACUUM inside a transaction"),
        "ATTACH" => Facts::new(Class::Session).outside(
            "SQLite does not undo ATTACH with its transaction, and older releases refuse it",
        ),
        "DETACH" => Facts::new(Class::Session).outside(
            "SQLite does not undo DETACH with its transaction, and refuses it while it is in use",
        ),
        "ANALYZE" | "REINDEX" => write(Class::Query),
        "BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" => {
            Facts::new(Class::TransactionControl)
        }
        _ => Facts::new(Class::Opaque),
    }
}

fn write(class: Class) -> Facts {
    Facts::new(class).lock(WHOLE_DATABASE)
}

fn after(words: &Words<'_>, word: &str) -> Option<String> {
    words.find(0, &[word]).and_then(|at| words.name(at + 1).0)
}

fn create(words: &Words<'_>) -> Facts {
    let temporary = words.any(1, &["TEMP", "TEMPORARY"]);
    let at = if temporary { 2 } else { 1 };
    let at = words.skip(at, &["UNIQUE"]);
    let at = words.skip(words.skip(at, &["VIRTUAL"]) + 1, &["IF", "NOT", "EXISTS"]);
    let name = words.name(at).0;
    if temporary { Facts::new(Class::Session).on(name) } else { write(Class::Ddl).on(name) }
}

fn with(words: &Words<'_>) -> Facts {
    let verbs = ["SELECT", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE"];
    match words.find(1, &verbs) {
        Some(at) if !words.any(at, &["SELECT", "VALUES"]) => facts(&words.from(at)),
        _ => Facts::new(Class::Query),
    }
}

fn pragma(words: &Words<'_>) -> Facts {
    let at = if words.symbol(2, ".") { 3 } else { 1 };
    let name = words.upper(at);
    let facts = Facts::new(Class::Session);
    let sets = words.symbol(at + 1, "=") || words.symbol(at + 1, "(");
    if sets && OUTSIDE_PRAGMAS.contains(&name.as_str()) {
        facts.outside("SQLite ignores or refuses this PRAGMA inside a transaction")
    } else {
        facts
    }
}
