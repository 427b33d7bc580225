//! What the splitter and the classifier say of a script. Shared by the planner and the agents.

use super::batch::Batch;

/// Whose SQL it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    Postgres,
    /// MariaDB and MySQL.
    Mysql,
    Sqlite,
}

/// A statement of a script, as it is sent to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Without its delimiter.
    pub text: String,
    /// One-based line within the script's file.
    pub line: u32,
    pub class: Class,
    /// It runs over a range of keys at a time; `text` has their places in it.
    pub batch: Option<Batch>,
}

/// What a statement does, as far as its first words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Data definition: judged by the schema fingerprint, as far as that tells ([`trace`](fn@super::trace)). Also
    /// maintenance that no transaction takes (`VACUUM`, `OPTIMIZE TABLE`, `REINDEX CONCURRENTLY`): it
    /// leaves the fingerprint as it was, and may run again.
    Ddl,
    /// Data manipulation: shares a transaction with its progress row.
    Dml,
    /// Changes neither schema nor data, may run again and inside of a transaction: reads, and
    /// maintenance such as `ANALYZE` on PostgreSQL.
    Query,
    /// `SET`, `USE`, `PRAGMA`, temporary tables, user variables: must be replayed by a session that
    /// resumes in the middle of a file.
    Session,
    /// `BEGIN`, `START TRANSACTION`, `COMMIT`, `ROLLBACK`, `SAVEPOINT` and the like.
    TransactionControl,
    /// `CALL`, `DO` and whatever else cannot be judged from outside.
    Opaque,
}

/// How a script is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    Statements(Vec<Statement>),
    /// The splitter is not sure where statements end: the whole script goes to the server at once.
    Whole {
        why: String,
        line: u32,
    },
}
