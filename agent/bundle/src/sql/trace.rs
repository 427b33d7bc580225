//! What a definition statement leaves in the schema of the database that it runs in: how far a look at that
//! schema, before and after, tells whether it took effect. Judged by its words alone, and from below: what is
//! not known here to show does not.
//!
//! A schema has no rows, counters, privileges, owners or settings, and nothing of another database
//! (`agent/src/db/fingerprint.rs` has the rule).

use super::classify::{code, facts};
use super::lex::Kind;
use super::model::Dialect;
use super::names::unquoted;
use super::words::Words;

/// What a look at the schema tells of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// All that it does shows: a schema as it was says that nothing was done, or that there was nothing to do.
    Whole,
    /// Some of it shows: a change says that it took effect, and none says nothing.
    Part,
    /// Nothing of it shows.
    None,
    /// Nothing shows, and to run it once more does no harm: it changes neither data nor definitions.
    Upkeep,
}

/// Whose schema is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<'a> {
    /// The one database or schema whose objects are seen; `None`: of all that the statement can reach.
    pub home: Option<&'a str>,
    /// An earlier statement of the session made names without a schema mean something else ([`leaves_home`]).
    pub left: bool,
}

/// Whether names without a schema may mean another one's after the statement.
pub fn leaves_home(dialect: Dialect, statement: &str) -> bool {
    let tokens = code(dialect, statement);
    let words = Words { text: statement, tokens: &tokens };
    match dialect {
        Dialect::Mysql => words.is(0, "USE"),
        Dialect::Sqlite => words.is(0, "ATTACH"),
        // As a setting, as its other name, or with all of them.
        Dialect::Postgres => {
            let set = words.is(0, "SET") && words.contains("SCHEMA");
            let all = words.any(0, &["RESET", "DISCARD"]) && words.is(1, "ALL");
            set || all || statement.to_ascii_lowercase().contains("search_path")
        }
    }
}

/// What `statement`, one definition, leaves behind.
pub fn trace(dialect: Dialect, statement: &str, view: View<'_>) -> Trace {
    let tokens = code(dialect, statement);
    let words = Words { text: statement, tokens: &tokens };
    // MariaDB: SET STATEMENT variable = value FOR statement.
    let words = match words.find(2, &["FOR"]) {
        Some(at) if words.all(0, &["SET", "STATEMENT"]) => words.from(at + 1),
        _ => words,
    };
    let found = match dialect {
        Dialect::Postgres => postgres(&words, view),
        Dialect::Mysql => mysql(&words),
        Dialect::Sqlite => sqlite(&words),
    };
    match found {
        Trace::Whole | Trace::Part if is_elsewhere(dialect, &words, view) => Trace::None,
        found => found,
    }
}

/// Whether what it is about may be another schema's.
fn is_elsewhere(dialect: Dialect, words: &Words<'_>, view: View<'_>) -> bool {
    let Some(home) = view.home else { return false };
    // Nothing but names stands in a DROP.
    if words.is(0, "DROP") {
        let qualified: Vec<usize> = (1..words.len()).filter(|at| words.symbol(*at, ".")).collect();
        let strange = |at: &usize| !is_home(dialect, &word(dialect, words, at - 1), home);
        return qualified.iter().any(strange) || qualified.is_empty() && view.left;
    }
    let text = words.text.get(words.tokens.first().map_or(0, |token| token.start)..);
    let Some(name) = facts(dialect, text.unwrap_or_default()).table else { return view.left };
    let tokens = code(dialect, &name);
    let name = Words { text: &name, tokens: &tokens };
    match (0..name.len()).rev().find(|at| name.symbol(*at, ".")) {
        Some(at) => !is_home(dialect, &word(dialect, &name, at.saturating_sub(1)), home),
        None => view.left,
    }
}

fn is_home(dialect: Dialect, name: &str, home: &str) -> bool {
    match dialect {
        Dialect::Postgres | Dialect::Mysql => name == home,
        Dialect::Sqlite => name.eq_ignore_ascii_case(home),
    }
}

/// A name at `at`, as the engine keeps it.
fn word(dialect: Dialect, words: &Words<'_>, at: usize) -> String {
    let Some(token) = words.tokens.get(at) else { return String::new() };
    let text = token.of(words.text);
    match token.kind {
        Kind::Quoted => unquoted(text),
        _ if dialect == Dialect::Postgres => text.to_lowercase(),
        _ => text.to_owned(),
    }
}

fn mysql(words: &Words<'_>) -> Trace {
    let replaces = words.all(1, &["OR", "REPLACE"]);
    match words.upper(0).as_str() {
        "CREATE" => {
            let at = if replaces { 3 } else { 1 };
            match mysql_kind(words, at).as_str() {
                // What it replaces is gone with its rows or its counter.
                "TABLE" | "SEQUENCE" if replaces => Trace::Part,
                // One that has run for the last time is gone.
                "EVENT" if words.contains("AT") || words.contains("ENDS") => Trace::Part,
                // The server's, and in no database.
                "FUNCTION" if words.contains("SONAME") => Trace::None,
                kind => whole_if(MYSQL_KINDS.contains(&kind)),
            }
        }
        "ALTER" => {
            let mut at = 1;
            while words.any(at, &["ONLINE", "OFFLINE", "IGNORE"]) {
                at += 1;
            }
            match mysql_kind(words, at).as_str() {
                "TABLE" => {
                    let (_, next) = words.name(words.skip(at + 1, &["IF", "EXISTS"]));
                    let next = words.skip(next, &["NOWAIT"]);
                    let next = if words.is(next, "WAIT") { next + 2 } else { next };
                    clauses(&words.clauses(next), mysql_clause)
                }
                "SEQUENCE" if words.contains("RESTART") => Trace::Part,
                kind => whole_if(MYSQL_KINDS.contains(&kind)),
            }
        }
        "DROP" => whole_if(MYSQL_KINDS.contains(&words.upper(1).as_str())),
        "RENAME" => whole_if(words.any(1, &["TABLE", "TABLES"])),
        "ANALYZE" | "OPTIMIZE" | "CHECK" | "REPAIR" => {
            let at = if words.any(1, &["NO_WRITE_TO_BINLOG", "LOCAL"]) { 2 } else { 1 };
            upkeep_if(words.any(at, &["TABLE", "TABLES", "VIEW"]))
        }
        "CACHE" | "LOAD" => upkeep_if(words.is(1, "INDEX")),
        _ => Trace::None,
    }
}

const MYSQL_KINDS: [&str; 10] = [
    "TABLE",
    "TABLES",
    "INDEX",
    "VIEW",
    "SEQUENCE",
    "TRIGGER",
    "PROCEDURE",
    "FUNCTION",
    "PACKAGE",
    "EVENT",
];

/// What is made or altered; DEFINER, ALGORITHM and the like stand before it.
fn mysql_kind(words: &Words<'_>, at: usize) -> String {
    match words.upper(at).as_str() {
        "UNIQUE" | "FULLTEXT" | "SPATIAL" => "INDEX".to_owned(),
        "DEFINER" | "ALGORITHM" | "SQL" | "AGGREGATE" => {
            let kinds = ["TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "VIEW", "PACKAGE"];
            words.find(at, &kinds).map_or(String::new(), |at| words.upper(at))
        }
        kind => kind.to_owned(),
    }
}

/// What one clause of an `ALTER TABLE` leaves behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// It shows, whatever stood before.
    Surely,
    /// Where it changes anything, that shows; to run it once more does no harm.
    WhereItChanges,
    No,
}

/// A statement is in force with all of its clauses or with none: one that surely shows speaks for the others.
fn clauses(clauses: &[Words<'_>], one: fn(&Words<'_>) -> Shows) -> Trace {
    let shown: Vec<Shows> = clauses.iter().map(one).collect();
    if comes_back(clauses) {
        return Trace::Part;
    }
    if shown.contains(&Shows::Surely) || !shown.contains(&Shows::No) {
        return Trace::Whole;
    }
    if shown.iter().all(|one| *one == Shows::No) { Trace::None } else { Trace::Part }
}

/// Whether a column goes by one clause and its name comes by another: its values are others, under one definition.
fn comes_back(clauses: &[Words<'_>]) -> bool {
    let gone = |clause: &Words<'_>| {
        let keeps = ["INDEX", "KEY", "PRIMARY", "FOREIGN", "CONSTRAINT", "CHECK", "PARTITION"];
        let renames = clause.all(0, &["RENAME", "COLUMN"]) || clause.is(0, "CHANGE");
        let at = clause.skip(clause.skip(1, &["COLUMN"]), &["IF", "EXISTS"]);
        (renames || clause.is(0, "DROP") && !clause.any(1, &keeps))
            .then(|| word(Dialect::Mysql, clause, at))
    };
    clauses.iter().enumerate().any(|(at, clause)| {
        let Some(name) = gone(clause) else { return false };
        clauses.iter().enumerate().any(|(other, clause)| {
            let comes = clause.any(0, &["ADD", "CHANGE", "RENAME"]);
            let named = |at| word(Dialect::Mysql, clause, at).eq_ignore_ascii_case(&name);
            other != at && comes && (1..clause.len()).any(named)
        })
    })
}

/// Shows where it was not there before, or was: `IF [NOT] EXISTS` leaves that open.
fn surely(clause: &Words<'_>) -> Shows {
    if (1..4).any(|at| clause.is(at, "IF")) { Shows::WhereItChanges } else { Shows::Surely }
}

fn mysql_clause(clause: &Words<'_>) -> Shows {
    match clause.upper(0).as_str() {
        "ADD" | "DROP" | "RENAME" => surely(clause),
        // Of columns, partitions and rows in their places; keys that are switched off; what says how it is done.
        "MODIFY" | "CHANGE" | "ALTER" | "CONVERT" | "COALESCE" | "REORGANIZE" | "REMOVE"
        | "PARTITION" | "ENABLE" | "DISABLE" | "FORCE" | "ALGORITHM" | "LOCK" | "ANALYZE"
        | "CHECK" | "OPTIMIZE" | "REBUILD" | "REPAIR" | "WITH" | "WITHOUT" => Shows::WhereItChanges,
        // Options, which may stand without commas.
        "ENGINE" | "COMMENT" | "ROW_FORMAT" | "DEFAULT" | "CHARACTER" | "CHARSET" | "COLLATE"
        | "KEY_BLOCK_SIZE" | "STATS_PERSISTENT" | "STATS_AUTO_RECALC" | "STATS_SAMPLE_PAGES"
        | "PAGE_COMPRESSED" | "ENCRYPTED" | "MAX_ROWS" | "MIN_ROWS"
            if !clause.contains("AUTO_INCREMENT") =>
        {
            Shows::WhereItChanges
        }
        _ => Shows::No,
    }
}

fn postgres(words: &Words<'_>, view: View<'_>) -> Trace {
    const KINDS: [&str; 14] = [
        "TABLE",
        "INDEX",
        "VIEW",
        "SEQUENCE",
        "TRIGGER",
        "RULE",
        "POLICY",
        "STATISTICS",
        "FUNCTION",
        "PROCEDURE",
        "ROUTINE",
        "AGGREGATE",
        "TYPE",
        "DOMAIN",
    ];
    const PREFIXES: [&str; 9] = [
        "OR",
        "REPLACE",
        "UNLOGGED",
        "RECURSIVE",
        "UNIQUE",
        "CONSTRAINT",
        "FOREIGN",
        "MATERIALIZED",
        "EVENT",
    ];
    let mut at = 1;
    while words.any(at, &PREFIXES) {
        at += 1;
    }
    let kind = words.upper(at);
    // Of the database itself, and of no schema in it.
    let shows = if ["SCHEMA", "EXTENSION"].contains(&kind.as_str())
        || kind == "TRIGGER" && words.is(at - 1, "EVENT")
    {
        view.home.is_none()
    } else {
        KINDS.contains(&kind.as_str())
    };
    match words.upper(0).as_str() {
        "CREATE" => match kind.as_str() {
            // A base type, or one that is to be filled later.
            "TYPE" if words.find(at, &["AS"]).is_none() => Trace::None,
            _ => whole_if(shows),
        },
        "ALTER" if !shows => Trace::None,
        "ALTER" => match kind.as_str() {
            "TABLE" | "VIEW" | "INDEX" => {
                let name = words.skip(words.skip(at + 1, &["IF", "EXISTS"]), &["ONLY"]);
                let (_, next) = words.name(name);
                let next = if words.symbol(next, "*") { next + 1 } else { next };
                clauses(&words.clauses(next), postgres_clause)
            }
            _ => {
                let beyond = ["OWNER", "DEPENDS", "RESTART"];
                let settings = ["STATISTICS", "EXTENSION"].contains(&kind.as_str())
                    && words.find(at + 1, &["SET"]).is_some();
                let part = beyond.iter().any(|word| words.contains(word)) || settings;
                if part { Trace::Part } else { Trace::Whole }
            }
        },
        // With the privileges of the role.
        "DROP" if words.is(1, "OWNED") => Trace::Part,
        "DROP" => whole_if(shows),
        // With INTO: it makes a table.
        "SELECT" | "WITH" => Trace::Whole,
        "IMPORT" => Trace::Part,
        "VACUUM" | "ANALYZE" | "ANALYSE" | "REINDEX" | "CLUSTER" | "REFRESH" | "CHECKPOINT" => {
            Trace::Upkeep
        }
        _ => Trace::None,
    }
}

fn postgres_clause(clause: &Words<'_>) -> Shows {
    match clause.upper(0).as_str() {
        "ADD" | "DROP" | "RENAME" => surely(clause),
        "VALIDATE" | "ATTACH" | "INHERIT" | "ENABLE" | "DISABLE" | "FORCE" => Shows::WhereItChanges,
        "NO" if clause.any(1, &["INHERIT", "FORCE"]) => Shows::WhereItChanges,
        "SET" if clause.any(1, &["SCHEMA", "LOGGED", "UNLOGGED"]) => Shows::WhereItChanges,
        "SET" | "RESET" if clause.symbol(1, "(") && !clause.contains("TOAST") => {
            Shows::WhereItChanges
        }
        "ALTER" => {
            let at = clause.name(clause.skip(1, &["COLUMN"])).1;
            let typed = clause.is(at, "TYPE") || clause.all(at, &["SET", "DATA"]);
            let shows = match clause.upper(at).as_str() {
                // USING makes other values, also of the same type.
                _ if typed => !clause.contains("USING"),
                "SET" => clause.any(at + 1, &["DEFAULT", "NOT", "GENERATED", "EXPRESSION"]),
                "DROP" | "ADD" => true,
                _ => false,
            };
            if shows && !clause.contains("RESTART") { Shows::WhereItChanges } else { Shows::No }
        }
        _ => Shows::No,
    }
}

fn sqlite(words: &Words<'_>) -> Trace {
    match words.upper(0).as_str() {
        "CREATE" | "ALTER" | "DROP" => Trace::Whole,
        "VACUUM" => upkeep_if(!words.contains("INTO")),
        "ANALYZE" | "REINDEX" => Trace::Upkeep,
        _ => Trace::None,
    }
}

fn whole_if(shows: bool) -> Trace {
    if shows { Trace::Whole } else { Trace::None }
}

fn upkeep_if(is: bool) -> Trace {
    if is { Trace::Upkeep } else { Trace::None }
}
