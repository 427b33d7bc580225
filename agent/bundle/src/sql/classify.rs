//! What one statement does to an engine: its class, whether it may share a transaction, which lock it
//! takes and what that lock makes others wait for. Judged by its words alone, without a server.

use super::lex::{Kind, Token, lex_piece};
use super::model::{Class, Dialect};
use super::words::Words;
use super::{mysql, postgres, sqlite};

/// What is known of a statement before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub class: Class,
    /// It may run inside a transaction on this engine and goes away with it when that is rolled back.
    pub transactional: bool,
    /// Why not, where it may not: a sentence without its full stop.
    pub why_not: Option<&'static str>,
    /// The strongest lock that it takes on something that others use.
    pub lock: Option<Lock>,
    /// The table (or index, view, type…) that it names first, as written.
    pub table: Option<String>,
    /// Rows, columns or tables are gone afterwards.
    pub destructive: bool,
    /// Those may be tables that it does not name: of a role, of a schema.
    pub sweeps: bool,
}

/// A lock by the engine's own name, with what it means for everybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    pub name: &'static str,
    pub meaning: &'static str,
}

impl Facts {
    pub(super) fn new(class: Class) -> Self {
        Self {
            class,
            transactional: true,
            why_not: None,
            lock: None,
            table: None,
            destructive: false,
            sweeps: false,
        }
    }

    pub(super) fn outside(mut self, why_not: &'static str) -> Self {
        self.transactional = false;
        self.why_not = Some(why_not);
        self
    }

    pub(super) fn lock(mut self, lock: Lock) -> Self {
        self.lock = Some(lock);
        self
    }

    pub(super) fn on(mut self, table: Option<String>) -> Self {
        self.table = table;
        self
    }

    pub(super) fn destructive(mut self, destructive: bool) -> Self {
        self.destructive = destructive;
        self
    }

    /// Destructive, of what it does not name.
    pub(super) fn sweeping(mut self) -> Self {
        self.sweeps = true;
        self.destructive(true)
    }
}

/// The facts of one statement.
pub fn facts(dialect: Dialect, statement: &str) -> Facts {
    let tokens = code(dialect, statement);
    let words = Words { text: statement, tokens: &tokens };
    match dialect {
        Dialect::Postgres => postgres::facts(&words),
        Dialect::Mysql => mysql::facts(&words),
        Dialect::Sqlite => sqlite::facts(&words),
    }
}

/// The tokens of a statement that are code.
pub(super) fn code(dialect: Dialect, statement: &str) -> Vec<Token> {
    let skip = |kind| matches!(kind, Kind::ConditionalOpen | Kind::ConditionalClose);
    lex_piece(dialect, statement)
        .filter(|token| token.is_significant() && !skip(token.kind))
        .collect()
}

/// Whether a word of a read calls something that this crate cannot vouch for: a function may write.
pub(super) fn calls_the_unknown(words: &Words<'_>) -> bool {
    (0..words.len()).any(|at| {
        let callable = matches!(words.kind(at), Some(Kind::Word | Kind::Quoted));
        callable && words.symbol(at + 1, "(") && !HARMLESS.contains(&words.upper(at).as_str())
    })
}

/// Words that may stand before a parenthesis without running anything that writes.
const HARMLESS: &[&str] = &[
    "ABS",
    "ALL",
    "AND",
    "ANY",
    "ARRAY",
    "ARRAY_AGG",
    "AS",
    "AVG",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CEIL",
    "CHAR_LENGTH",
    "COALESCE",
    "CONCAT",
    "CONCAT_WS",
    "COUNT",
    "CURRENT_TIMESTAMP",
    "DATABASE",
    "DATE",
    "DISTINCT",
    "ELSE",
    "EXCEPT",
    "EXISTS",
    "EXTRACT",
    "FILTER",
    "FLOOR",
    "FROM",
    "GREATEST",
    "GROUP_CONCAT",
    "HAVING",
    "IF",
    "IFNULL",
    "IN",
    "INTERSECT",
    "JOIN",
    "JSON_EXTRACT",
    "LATERAL",
    "LEAST",
    "LEFT",
    "LENGTH",
    "LIKE",
    "LIMIT",
    "LOWER",
    "MATERIALIZED",
    "MAX",
    "MD5",
    "MIN",
    "NOT",
    "NOW",
    "NULLIF",
    "ON",
    "OR",
    "OVER",
    "PARTITION",
    "REPLACE",
    "RIGHT",
    "ROUND",
    "ROW_NUMBER",
    "SELECT",
    "SOME",
    "STRING_AGG",
    "SUBSTR",
    "SUBSTRING",
    "SUM",
    "THEN",
    "TRIM",
    "UNION",
    "UPPER",
    "USING",
    "VALUES",
    "VERSION",
    "WHEN",
    "WHERE",
    "WITHIN",
];
