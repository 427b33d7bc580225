//! What a statement does on PostgreSQL.
//!
//! Lock modes are those of the manual, "Explicit Locking" and the notes of each command, for
//! PostgreSQL 12 and later; what cannot run in a transaction block is what the server refuses there.

use super::classify::{Facts, Lock, calls_the_unknown};
use super::lex::Kind;
use super::model::Class;
use super::words::Words;

const ACCESS_SHARE: Lock =
    Lock { name: "ACCESS SHARE", meaning: "reads and writes go on; DROP and most ALTER wait" };
const ROW_SHARE: Lock =
    Lock { name: "ROW SHARE", meaning: "reads go on; writes to the selected rows wait" };
const ROW_EXCLUSIVE: Lock =
    Lock { name: "ROW EXCLUSIVE", meaning: "reads and writes go on; writes to the same rows wait" };
const SHARE_UPDATE_EXCLUSIVE: Lock = Lock {
    name: "SHARE UPDATE EXCLUSIVE",
    meaning: "reads and writes go on; vacuum and other schema changes wait",
};
const SHARE: Lock = Lock { name: "SHARE", meaning: "writes wait, reads go on" };
const SHARE_ROW_EXCLUSIVE: Lock =
    Lock { name: "SHARE ROW EXCLUSIVE", meaning: "writes wait, reads go on" };
const EXCLUSIVE: Lock = Lock { name: "EXCLUSIVE", meaning: "writes wait, plain reads go on" };
const ACCESS_EXCLUSIVE: Lock = Lock { name: "ACCESS EXCLUSIVE", meaning: "reads and writes wait" };

/// Weakest first.
const STRENGTH: [Lock; 8] = [
    ACCESS_SHARE,
    ROW_SHARE,
    ROW_EXCLUSIVE,
    SHARE_UPDATE_EXCLUSIVE,
    SHARE,
    SHARE_ROW_EXCLUSIVE,
    EXCLUSIVE,
    ACCESS_EXCLUSIVE,
];

pub(super) fn facts(words: &Words<'_>) -> Facts {
    match words.upper(0).as_str() {
        "CREATE" => create(words),
        "ALTER" => alter(words),
        "DROP" => drop(words),
        "TRUNCATE" => {
            let at = words.skip(words.skip(1, &["TABLE"]), &["ONLY"]);
            ddl().lock(ACCESS_EXCLUSIVE).on(words.name(at).0).destructive(true)
        }
        "INSERT" => dml(words, &["INTO"]),
        "UPDATE" => dml(words, &["ONLY"]),
        "DELETE" => dml(words, &["FROM", "ONLY"]).destructive(true),
        "MERGE" => dml(words, &["INTO", "ONLY"]),
        "COPY" => copy(words),
        "WITH" => with(words),
        "SELECT" | "TABLE" | "VALUES" => select(words),
        "EXPLAIN" => explain(words),
        "SHOW" | "FETCH" | "MOVE" | "CHECKPOINT" => Facts::new(Class::Query),
        "SET" | "RESET" | "PREPARE" | "DEALLOCATE" | "LISTEN" | "UNLISTEN" | "NOTIFY"
        | "DECLARE" | "CLOSE" | "LOAD"
            if !words.is(1, "TRANSACTION") || words.is(0, "SET") =>
        {
            Facts::new(Class::Session)
        }
        "DISCARD" if words.is(1, "ALL") => {
            Facts::new(Class::Session).outside("DISCARD ALL cannot run inside a transaction block")
        }
        "DISCARD" => Facts::new(Class::Session),
        "PREPARE" | "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT"
        | "RELEASE" => Facts::new(Class::TransactionControl),
        "VACUUM" => vacuum(words),
        "ANALYZE" | "ANALYSE" => {
            Facts::new(Class::Query).lock(SHARE_UPDATE_EXCLUSIVE).on(words.name(1).0)
        }
        "REINDEX" => reindex(words),
        "CLUSTER" => {
            let (table, _) = words.name(words.skip(1, &["VERBOSE"]));
            match table {
                None => ddl()
                    .lock(ACCESS_EXCLUSIVE)
                    .outside("CLUSTER without a table cannot run inside a transaction block"),
                table => Facts::new(Class::Query).lock(ACCESS_EXCLUSIVE).on(table),
            }
        }
        "REFRESH" => {
            let at = words.skip(1, &["MATERIALIZED", "VIEW"]);
            let concurrently = words.is(at, "CONCURRENTLY");
            let lock = if concurrently { EXCLUSIVE } else { ACCESS_EXCLUSIVE };
            let name = words.name(at + usize::from(concurrently)).0;
            Facts::new(Class::Dml).lock(lock).on(name)
        }
        "LOCK" => lock_table(words),
        "GRANT" | "REVOKE" | "REASSIGN" => ddl(),
        "COMMENT" | "SECURITY" => {
            let kind = words.find(1, &["ON"]).map_or(1, |at| at + 1);
            let facts = ddl().on(words.name(kind + 1).0);
            if words.any(kind, &["TABLE", "COLUMN", "VIEW", "INDEX", "MATERIALIZED"]) {
                facts.lock(SHARE_UPDATE_EXCLUSIVE)
            } else {
                facts
            }
        }
        "IMPORT" => ddl(),
        _ => Facts::new(Class::Opaque),
    }
}

fn ddl() -> Facts {
    Facts::new(Class::Ddl)
}

fn stronger(one: Option<Lock>, other: Lock) -> Lock {
    let rank = |lock: &Lock| STRENGTH.iter().position(|known| known == lock);
    match one {
        Some(one) if rank(&one) >= rank(&other) => one,
        _ => other,
    }
}

/// Past `IF [NOT] EXISTS`.
fn past_condition(words: &Words<'_>, at: usize) -> usize {
    words.skip(words.skip(at, &["IF", "NOT", "EXISTS"]), &["IF", "EXISTS"])
}

fn dml(words: &Words<'_>, skipped: &[&str]) -> Facts {
    let mut at = 1;
    while words.any(at, skipped) {
        at += 1;
    }
    Facts::new(Class::Dml).lock(ROW_EXCLUSIVE).on(words.name(at).0)
}

fn create(words: &Words<'_>) -> Facts {
    let replaces = words.all(1, &["OR", "REPLACE"]);
    let mut at = if replaces { 3 } else { 1 };
    let temporary = words.any(at, &["TEMP", "TEMPORARY"])
        || words.any(at, &["LOCAL", "GLOBAL"]) && words.any(at + 1, &["TEMP", "TEMPORARY"]);
    while words.any(
        at,
        &[
            "TEMP",
            "TEMPORARY",
            "LOCAL",
            "GLOBAL",
            "UNLOGGED",
            "RECURSIVE",
            "UNIQUE",
            "CONSTRAINT",
            "TRUSTED",
            "PROCEDURAL",
            "FOREIGN",
            "DEFAULT",
            "MATERIALIZED",
            "EVENT",
        ],
    ) {
        at += 1;
    }
    let named = |at: usize| words.name(past_condition(words, at)).0;
    match words.upper(at).as_str() {
        "TABLE" => {
            let name = named(at + 1);
            if temporary {
                return Facts::new(Class::Session).on(name);
            }
            let facts = ddl().on(name);
            if words.find(at, &["PARTITION"]).is_some_and(|p| words.is(p + 1, "OF")) {
                facts.lock(ACCESS_EXCLUSIVE)
            } else if words.contains("REFERENCES") {
                // Taken on the table that is referred to.
                facts.lock(SHARE_ROW_EXCLUSIVE)
            } else {
                facts
            }
        }
        "INDEX" => {
            let table = words.find(at, &["ON"]);
            let table = table.and_then(|on| words.name(words.skip(on + 1, &["ONLY"])).0);
            if words.is(at + 1, "CONCURRENTLY") {
                ddl()
                    .lock(SHARE_UPDATE_EXCLUSIVE)
                    .on(table)
                    .outside("CREATE INDEX CONCURRENTLY cannot run inside a transaction block")
            } else {
                ddl().lock(SHARE).on(table)
            }
        }
        "VIEW" | "SEQUENCE" if temporary => Facts::new(Class::Session).on(named(at + 1)),
        "VIEW" if replaces => ddl().lock(ACCESS_EXCLUSIVE).on(named(at + 1)),
        "TRIGGER" | "RULE" | "POLICY" | "STATISTICS" => {
            let word = if words.is(at, "RULE") { "TO" } else { "ON" };
            let word = if words.is(at, "STATISTICS") { "FROM" } else { word };
            let table = words.find(at, &[word]).and_then(|on| words.name(on + 1).0);
            let lock = match words.upper(at).as_str() {
                "TRIGGER" if words.is(at - 1, "EVENT") => return ddl().on(named(at + 1)),
                "TRIGGER" => SHARE_ROW_EXCLUSIVE,
                "STATISTICS" => SHARE_UPDATE_EXCLUSIVE,
                _ => ACCESS_EXCLUSIVE,
            };
            ddl().lock(lock).on(table)
        }
        "DATABASE" => {
            ddl().on(named(at + 1)).outside("CREATE DATABASE cannot run inside a transaction block")
        }
        "TABLESPACE" => ddl()
            .on(named(at + 1))
            .outside("CREATE TABLESPACE cannot run inside a transaction block"),
        "SUBSCRIPTION" => ddl().on(named(at + 1)).outside(
            "CREATE SUBSCRIPTION that creates a slot cannot run inside a transaction block",
        ),
        _ => ddl().on(named(at + 1)),
    }
}

fn drop(words: &Words<'_>) -> Facts {
    let materialized = words.all(1, &["MATERIALIZED", "VIEW"]);
    let foreign = words.all(1, &["FOREIGN", "TABLE"]);
    let at = if materialized || foreign { 2 } else { 1 };
    let concurrently = words.is(at + 1, "CONCURRENTLY");
    let next = past_condition(words, at + 1 + usize::from(concurrently));
    let (name, after) = words.name(next);
    let facts = ddl().on(name);
    match words.upper(at).as_str() {
        "INDEX" if concurrently => facts
            .lock(SHARE_UPDATE_EXCLUSIVE)
            .outside("DROP INDEX CONCURRENTLY cannot run inside a transaction block"),
        "TABLE" => facts.lock(ACCESS_EXCLUSIVE).destructive(!foreign),
        "SCHEMA" | "OWNED" => facts.lock(ACCESS_EXCLUSIVE).sweeping(),
        "INDEX" | "VIEW" | "SEQUENCE" => facts.lock(ACCESS_EXCLUSIVE),
        "TRIGGER" | "RULE" | "POLICY" if words.is(after, "ON") => {
            ddl().lock(ACCESS_EXCLUSIVE).on(words.name(after + 1).0)
        }
        "TYPE" | "DOMAIN" | "EXTENSION" => facts.destructive(words.contains("CASCADE")),
        "DATABASE" => {
            facts.sweeping().outside("DROP DATABASE cannot run inside a transaction block")
        }
        "TABLESPACE" => facts.outside("DROP TABLESPACE cannot run inside a transaction block"),
        "SUBSCRIPTION" => {
            facts.outside("DROP SUBSCRIPTION with its slot cannot run inside a transaction block")
        }
        _ => facts,
    }
}

fn alter(words: &Words<'_>) -> Facts {
    let kind = words.upper(1);
    let at = match kind.as_str() {
        "FOREIGN" | "MATERIALIZED" | "EVENT" => 3,
        _ => 2,
    };
    let at = words.skip(past_condition(words, at), &["ONLY"]);
    let (name, next) = words.name(at);
    match kind.as_str() {
        "TABLE" | "FOREIGN" => alter_table(words, name, next),
        "INDEX" if words.any(next, &["RENAME", "SET", "RESET", "ATTACH", "ALTER"]) => {
            ddl().lock(SHARE_UPDATE_EXCLUSIVE).on(name)
        }
        "INDEX" | "VIEW" | "MATERIALIZED" => ddl().lock(ACCESS_EXCLUSIVE).on(name),
        "SEQUENCE" => ddl().lock(SHARE_ROW_EXCLUSIVE).on(name),
        "POLICY" | "TRIGGER" | "RULE" => {
            let table = if words.is(next, "ON") { words.name(next + 1).0 } else { name };
            ddl().lock(ACCESS_EXCLUSIVE).on(table)
        }
        "SYSTEM" => ddl().outside("ALTER SYSTEM cannot run inside a transaction block"),
        "DATABASE" if words.all(next, &["SET", "TABLESPACE"]) => {
            ddl().on(name).outside("moving a database cannot run inside a transaction block")
        }
        "SUBSCRIPTION" if words.any(next, &["REFRESH", "SET", "ADD", "DROP"]) => ddl()
            .on(name)
            .outside("ALTER SUBSCRIPTION with refresh cannot run inside a transaction block"),
        _ => ddl().on(name),
    }
}

fn alter_table(words: &Words<'_>, name: Option<String>, next: usize) -> Facts {
    let next = if words.symbol(next, "*") { next + 1 } else { next };
    let mut facts = ddl().on(name);
    for clause in words.clauses(next) {
        facts.lock = Some(stronger(facts.lock, clause_lock(&clause)));
        let drops_column = clause.is(0, "DROP") && !clause.is(1, "CONSTRAINT");
        facts.destructive |= drops_column;
        let detaches = clause.all(0, &["DETACH", "PARTITION"]);
        if detaches && (clause.contains("CONCURRENTLY") || clause.contains("FINALIZE")) {
            facts = facts
                .outside("DETACH PARTITION CONCURRENTLY cannot run inside a transaction block");
        }
    }
    facts
}

/// The lock of one clause of `ALTER TABLE`: ACCESS EXCLUSIVE where the manual names no weaker one.
fn clause_lock(clause: &Words<'_>) -> Lock {
    match clause.upper(0).as_str() {
        "VALIDATE" | "ATTACH" | "CLUSTER" => SHARE_UPDATE_EXCLUSIVE,
        "DETACH" if clause.contains("CONCURRENTLY") || clause.contains("FINALIZE") => {
            SHARE_UPDATE_EXCLUSIVE
        }
        "ADD" => {
            let at = if clause.is(1, "CONSTRAINT") { clause.name(2).1 } else { 1 };
            if clause.all(at, &["FOREIGN", "KEY"]) { SHARE_ROW_EXCLUSIVE } else { ACCESS_EXCLUSIVE }
        }
        "ENABLE" | "DISABLE" if (1..3).any(|at| clause.is(at, "TRIGGER")) => SHARE_ROW_EXCLUSIVE,
        "SET" if clause.all(1, &["WITHOUT", "CLUSTER"]) => SHARE_UPDATE_EXCLUSIVE,
        "SET" | "RESET" if clause.symbol(1, "(") && storage_only(clause) => SHARE_UPDATE_EXCLUSIVE,
        "ALTER" => {
            let at = clause.name(clause.skip(1, &["COLUMN"])).1;
            let options = clause.any(at, &["SET", "RESET"]) && clause.symbol(at + 1, "(");
            if clause.all(at, &["SET", "STATISTICS"]) || options {
                SHARE_UPDATE_EXCLUSIVE
            } else {
                ACCESS_EXCLUSIVE
            }
        }
        _ => ACCESS_EXCLUSIVE,
    }
}

/// Fillfactor, TOAST and autovacuum parameters and planner hints: the weaker lock is for them alone.
fn storage_only(clause: &Words<'_>) -> bool {
    let known = |word: &str| {
        ["AUTOVACUUM_", "VACUUM_", "LOG_AUTOVACUUM_", "TOAST"].iter().any(|p| word.starts_with(p))
            || matches!(word, "FILLFACTOR" | "PARALLEL_WORKERS")
    };
    (2..clause.len())
        .filter(|at| {
            clause.kind(*at) == Some(Kind::Word)
                && (clause.symbol(at - 1, "(") || clause.symbol(at - 1, ","))
        })
        .all(|at| known(&clause.upper(at)))
}

fn copy(words: &Words<'_>) -> Facts {
    match words.find(1, &["FROM", "TO"]) {
        Some(at) if words.is(at, "FROM") => dml(words, &[]),
        _ => Facts::new(Class::Query).lock(ACCESS_SHARE).on(words.name(1).0),
    }
}

fn with(words: &Words<'_>) -> Facts {
    let verbs = ["SELECT", "TABLE", "VALUES", "INSERT", "UPDATE", "DELETE", "MERGE"];
    let Some(at) = words.find(1, &verbs) else { return Facts::new(Class::Opaque) };
    let body = words.from(at);
    if !words.any(at, &["SELECT", "TABLE", "VALUES"]) {
        return facts(&body);
    }
    // A WITH query may write although the statement around it reads.
    let writes =
        |verb: &str| (1..at).any(|inner| words.is(inner, verb) && words.symbol(inner - 1, "("));
    if ["INSERT", "UPDATE", "DELETE", "MERGE"].into_iter().any(writes) {
        return Facts::new(Class::Dml).lock(ROW_EXCLUSIVE).destructive(writes("DELETE"));
    }
    if calls_the_unknown(&Words { text: words.text, tokens: words.tokens }) {
        return Facts::new(Class::Opaque);
    }
    select(&body)
}

fn select(words: &Words<'_>) -> Facts {
    if let Some(at) = words.find(1, &["INTO"]) {
        let temporary = words.any(at + 1, &["TEMP", "TEMPORARY"]);
        let at = words.skip(at + 1 + usize::from(temporary), &["TABLE"]);
        let class = if temporary { Class::Session } else { Class::Ddl };
        return Facts::new(class).on(words.name(at).0);
    }
    let calls =
        |name: &str| (1..words.len()).any(|at| words.is(at, name) && words.symbol(at + 1, "("));
    if calls("SET_CONFIG") {
        return Facts::new(Class::Session);
    }
    if calls_the_unknown(words) {
        return Facts::new(if calls("SETVAL") { Class::Dml } else { Class::Opaque });
    }
    let table = words.find(1, &["FROM"]).and_then(|at| words.name(at + 1).0);
    let locks = words
        .find(1, &["FOR"])
        .is_some_and(|at| words.any(at + 1, &["UPDATE", "SHARE", "NO", "KEY"]));
    let facts = Facts::new(Class::Query).on(table.clone());
    match (locks, table) {
        (true, _) => facts.lock(ROW_SHARE),
        (false, Some(_)) => facts.lock(ACCESS_SHARE),
        (false, None) => facts,
    }
}

/// `EXPLAIN ANALYZE` runs what it explains.
fn explain(words: &Words<'_>) -> Facts {
    let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "CREATE"];
    let analyzes = words.contains("ANALYZE") || words.contains("ANALYSE");
    match words.find(1, &verbs) {
        Some(at) if analyzes => facts(&words.from(at)),
        _ => Facts::new(Class::Query),
    }
}

fn vacuum(words: &Words<'_>) -> Facts {
    let full = words.contains("FULL");
    let mut at = 1;
    while words.any(at, &["FULL", "FREEZE", "VERBOSE", "ANALYZE"]) {
        at += 1;
    }
    let lock = if full { ACCESS_EXCLUSIVE } else { SHARE_UPDATE_EXCLUSIVE };
    Facts::new(Class::Ddl)
        .lock(lock)
        .on(words.name(at).0)
        .outside("VACUUM cannot run inside a transaction block")
}

fn reindex(words: &Words<'_>) -> Facts {
    let kind = words.find(1, &["INDEX", "TABLE", "SCHEMA", "DATABASE", "SYSTEM"]).unwrap_or(1);
    let facts = Facts::new(Class::Query);
    if words.contains("CONCURRENTLY") {
        return ddl()
            .lock(SHARE_UPDATE_EXCLUSIVE)
            .on(words.name(words.skip(kind + 1, &["CONCURRENTLY"])).0)
            .outside("REINDEX CONCURRENTLY cannot run inside a transaction block");
    }
    // Writes to the table wait by SHARE; reads that would plan with the index wait too.
    let facts = facts.lock(ACCESS_EXCLUSIVE).on(words.name(kind + 1).0);
    if words.any(kind, &["SCHEMA", "DATABASE", "SYSTEM"]) {
        Facts { class: Class::Ddl, ..facts }
            .outside("REINDEX of a schema or database cannot run inside a transaction block")
    } else {
        facts
    }
}

fn lock_table(words: &Words<'_>) -> Facts {
    let at = words.skip(words.skip(1, &["TABLE"]), &["ONLY"]);
    let (table, _) = words.name(at);
    let mode = words.find(at, &["IN"]).map_or(String::new(), |from| {
        let to = words.find(from, &["MODE"]).unwrap_or(from);
        (from + 1..to).map(|at| words.upper(at)).collect::<Vec<_>>().join(" ")
    });
    let lock = STRENGTH.into_iter().find(|lock| lock.name == mode).unwrap_or(ACCESS_EXCLUSIVE);
    Facts::new(Class::Session).lock(lock).on(table)
}
