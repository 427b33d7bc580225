//! What a statement does on MySQL and MariaDB.
//!
//! The list of statements that commit by themselves is the manual's "Statements That Cause an Implicit
//! Commit" (MySQL 8.4 §15.3.3; MariaDB has the same with sequences and packages).

use super::classify::{Facts, Lock, calls_the_unknown};
use super::lex::Kind;
use super::model::Class;
use super::words::Words;

const METADATA: Lock = Lock {
    name: "metadata lock",
    meaning: "it waits for open transactions on the table, and all later reads and writes wait behind it; \
              while it runs, the algorithm decides",
};
const ROWS: Lock = Lock { name: "row locks", meaning: "writes to the same rows wait, reads go on" };
const TABLES: Lock = Lock { name: "table locks", meaning: "reads and writes of others wait" };

const DDL_COMMITS: &str = "DDL commits implicitly on this engine and cannot be rolled back";
const COMMITS: &str = "this statement commits implicitly on this engine";

pub(super) fn facts(words: &Words<'_>) -> Facts {
    match words.upper(0).as_str() {
        "CREATE" => create(words),
        "ALTER" => alter(words),
        "DROP" => drop(words),
        "RENAME" => ddl().lock(METADATA).on(words.name(2).0),
        "TRUNCATE" => {
            ddl().lock(METADATA).on(words.name(words.skip(1, &["TABLE"])).0).destructive(true)
        }
        "GRANT" | "REVOKE" | "INSTALL" | "UNINSTALL" => ddl(),
        "INSERT" | "REPLACE" => {
            dml(words, &["INTO", "LOW_PRIORITY", "DELAYED", "IGNORE", "HIGH_PRIORITY"])
        }
        "UPDATE" => dml(words, &["LOW_PRIORITY", "IGNORE"]),
        "DELETE" => dml(words, &["LOW_PRIORITY", "QUICK", "IGNORE", "FROM"]).destructive(true),
        "LOAD" if words.is(1, "INDEX") => maintenance(),
        "LOAD" => {
            let table = words.find(0, &["TABLE"]).and_then(|at| words.name(at + 1).0);
            Facts::new(Class::Dml).lock(ROWS).on(table)
        }
        "WITH" => with(words),
        "SELECT" | "VALUES" | "TABLE" => select(words),
        "SHOW" | "EXPLAIN" | "DESCRIBE" | "DESC" | "HELP" | "CHECKSUM" => Facts::new(Class::Query),
        "SET" => set(words),
        "USE" | "PREPARE" | "DEALLOCATE" => Facts::new(Class::Session),
        "LOCK" => Facts::new(Class::Session).lock(TABLES).outside(COMMITS),
        "UNLOCK" => Facts::new(Class::Session).outside(COMMITS),
        "BEGIN" if words.is(1, "NOT") => Facts::new(Class::Opaque),
        "BEGIN" | "START" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "XA" => {
            match words.upper(1).as_str() {
                "REPLICA" | "SLAVE" | "ALL" => Facts::new(Class::Opaque).outside(COMMITS),
                _ => Facts::new(Class::TransactionControl),
            }
        }
        // MariaDB's ANALYZE of a statement runs it.
        "ANALYZE" => analyzed(words).map_or_else(|| upkeep(words), |at| facts(&words.from(at))),
        "CHECK" | "OPTIMIZE" | "REPAIR" | "CACHE" => upkeep(words),
        "FLUSH" | "RESET" | "CHANGE" | "STOP" | "PURGE" => {
            Facts::new(Class::Opaque).outside(COMMITS)
        }
        _ => Facts::new(Class::Opaque),
    }
}

/// Where the statement stands that an `ANALYZE [FORMAT = JSON]` runs.
fn analyzed(words: &Words<'_>) -> Option<usize> {
    let at = if words.is(1, "FORMAT") && words.symbol(2, "=") { 4 } else { 1 };
    words.any(at, &["SELECT", "UPDATE", "DELETE", "INSERT", "REPLACE", "WITH"]).then_some(at)
}

fn ddl() -> Facts {
    Facts::new(Class::Ddl).outside(DDL_COMMITS)
}

fn maintenance() -> Facts {
    Facts::new(Class::Ddl).outside(COMMITS)
}

fn upkeep(words: &Words<'_>) -> Facts {
    let at = words.find(1, &["TABLE"]).map_or(1, |at| at + 1);
    maintenance().on(words.name(at).0)
}

fn dml(words: &Words<'_>, skipped: &[&str]) -> Facts {
    let mut at = 1;
    while words.any(at, skipped) {
        at += 1;
    }
    Facts::new(Class::Dml).lock(ROWS).on(words.name(at).0)
}

/// Past `IF [NOT] EXISTS`.
fn past_condition(words: &Words<'_>, at: usize) -> usize {
    words.skip(words.skip(at, &["IF", "NOT", "EXISTS"]), &["IF", "EXISTS"])
}

fn create(words: &Words<'_>) -> Facts {
    let replaces = words.all(1, &["OR", "REPLACE"]);
    let at = if replaces { 3 } else { 1 };
    match words.upper(at).as_str() {
        "TEMPORARY" => {
            let at = past_condition(words, at + 2);
            Facts::new(Class::Session).on(words.name(at).0)
        }
        "TABLE" => {
            let (table, _) = words.name(past_condition(words, at + 1));
            let references = words.contains("REFERENCES") || replaces;
            let facts = ddl().on(table).destructive(replaces);
            if references { facts.lock(METADATA) } else { facts }
        }
        "UNIQUE" | "INDEX" | "FULLTEXT" | "SPATIAL" if words.find(at, &["INDEX"]).is_some() => {
            let table = words.find(at, &["ON"]).and_then(|on| words.name(on + 1).0);
            ddl().lock(METADATA).on(table)
        }
        "PROCEDURE" | "FUNCTION" | "EVENT" | "DATABASE" | "SCHEMA" | "VIEW" | "SEQUENCE"
        | "USER" | "ROLE" => ddl().on(words.name(past_condition(words, at + 1)).0),
        _ => {
            // DEFINER, ALGORITHM and the like stand before what is made.
            let kinds = ["TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "VIEW"];
            let Some(kind) = words.find(at, &kinds) else { return ddl() };
            let facts = ddl().on(words.name(past_condition(words, kind + 1)).0);
            if words.is(kind, "TRIGGER") { facts.lock(METADATA) } else { facts }
        }
    }
}

fn alter(words: &Words<'_>) -> Facts {
    let mut at = 1;
    while words.any(at, &["ONLINE", "OFFLINE", "IGNORE"]) {
        at += 1;
    }
    if !words.is(at, "TABLE") {
        return ddl().on(words.name(past_condition(words, at + 1)).0);
    }
    let (table, next) = words.name(past_condition(words, at + 1));
    let destructive = words.clauses(next).iter().any(drops_data);
    ddl().lock(METADATA).on(table).destructive(destructive)
}

/// `DROP [COLUMN] c`, `DROP PARTITION`, `TRUNCATE PARTITION`, `DISCARD TABLESPACE`.
fn drops_data(clause: &Words<'_>) -> bool {
    let keeps = [
        "INDEX",
        "KEY",
        "PRIMARY",
        "FOREIGN",
        "CONSTRAINT",
        "CHECK",
        "DEFAULT",
        "PERIOD",
        "SYSTEM",
    ];
    match clause.upper(0).as_str() {
        "DROP" => !clause.any(1, &keeps),
        "TRUNCATE" | "DISCARD" => true,
        _ => false,
    }
}

fn drop(words: &Words<'_>) -> Facts {
    if words.is(1, "TEMPORARY") {
        let at = past_condition(words, 3);
        return Facts::new(Class::Session).on(words.name(at).0);
    }
    if words.is(1, "PREPARE") {
        return Facts::new(Class::Session);
    }
    if words.is(1, "INDEX") {
        let table = words.find(2, &["ON"]).and_then(|on| words.name(on + 1).0);
        return ddl().lock(METADATA).on(table);
    }
    let facts = ddl().on(words.name(past_condition(words, 2)).0);
    match words.upper(1).as_str() {
        "TABLE" | "TABLES" => facts.lock(METADATA).destructive(true),
        "DATABASE" | "SCHEMA" => facts.lock(METADATA).sweeping(),
        "VIEW" | "TRIGGER" => facts.lock(METADATA),
        _ => facts,
    }
}

fn with(words: &Words<'_>) -> Facts {
    match words.find(1, &["SELECT", "UPDATE", "DELETE", "INSERT", "REPLACE"]) {
        Some(at) if words.is(at, "SELECT") => select(words),
        Some(at) => facts(&words.from(at)),
        None => Facts::new(Class::Opaque),
    }
}

fn select(words: &Words<'_>) -> Facts {
    let assigns = (0..words.len()).any(|at| words.symbol(at, ":") && words.symbol(at + 1, "="));
    match words.find(1, &["INTO"]) {
        Some(at) if words.symbol(at + 1, "@") => return Facts::new(Class::Session),
        Some(_) => return Facts::new(Class::Opaque),
        None if assigns => return Facts::new(Class::Session),
        None => {}
    }
    if calls_the_unknown(words) {
        return Facts::new(Class::Opaque);
    }
    let facts = Facts::new(Class::Query);
    let locks = words.find(1, &["FOR"]).is_some_and(|at| words.any(at + 1, &["UPDATE", "SHARE"]));
    if locks { facts.lock(ROWS) } else { facts }
}

fn set(words: &Words<'_>) -> Facts {
    if words.is(1, "PASSWORD") {
        return ddl();
    }
    if words.all(1, &["STATEMENT"]) {
        // MariaDB: SET STATEMENT variable = value FOR statement.
        return match words.find(2, &["FOR"]) {
            // No SET inside: it would let a text nest for ever.
            Some(at) if !words.is(at + 1, "SET") => facts(&words.from(at + 1)),
            _ => Facts::new(Class::Opaque),
        };
    }
    let autocommit = (1..words.len()).any(|at| {
        words.is(at, "AUTOCOMMIT")
            && (words.symbol(at + 1, "=") || words.kind(at + 1) == Some(Kind::Symbol))
    });
    if autocommit {
        return Facts::new(Class::TransactionControl).outside(COMMITS);
    }
    Facts::new(Class::Session)
}
