//! One connection, whichever the engine: sends SQL, brings answers, judges errors.

use std::time::Duration;

use super::answer::{Answer, Keep};
use super::failure::Broken;
use super::fingerprint::Schema;
use super::kill::Killer;
use super::ledger::Tables;
use super::location::Engine;
use super::lock_wait::{Onlooker, Whose};
use super::mysql::MysqlConnection;
use super::postgres::PostgresConnection;
use super::sqlite::{SqliteConnection, Wanted};
use super::written::Position;

/// The three dialects.
pub(crate) enum Connection {
    Postgres(PostgresConnection),
    Mysql(MysqlConnection),
    Sqlite(SqliteConnection),
}

impl Connection {
    pub(crate) fn engine(&self) -> Engine {
        match self {
            Self::Postgres(_) => Engine::Postgres,
            Self::Mysql(_) => Engine::Mysql,
            Self::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// Names of our tables on this connection.
    pub(crate) fn tables(&self) -> Tables {
        match self {
            Self::Postgres(connection) => connection.tables(),
            Self::Mysql(connection) => connection.tables(),
            Self::Sqlite(connection) => connection.tables(),
        }
    }

    /// Sends statements in one message and reads every answer.
    pub(crate) async fn send(&mut self, sql: String, keep: Keep) -> Result<Vec<Answer>, Broken> {
        match self {
            Self::Postgres(connection) => connection.send(sql, keep).await,
            Self::Mysql(connection) => connection.send(sql, keep).await,
            Self::Sqlite(connection) => connection.send(sql, keep).await,
        }
    }

    /// Reads the schema. Never called in a transaction of ours.
    pub(crate) async fn schema(&mut self) -> Result<Schema, Broken> {
        match self {
            Self::Postgres(connection) => connection.schema().await,
            Self::Mysql(connection) => connection.schema().await,
            Self::Sqlite(connection) => connection.schema().await,
        }
    }

    /// What of the schema can tell whether `statement` took effect: the names of all objects, the
    /// definitions at least of those that it names.
    pub(crate) async fn evidence(&mut self, statement: &str) -> Result<Schema, Broken> {
        match self {
            Self::Postgres(connection) => connection.schema().await,
            Self::Mysql(connection) => connection.evidence(statement).await,
            Self::Sqlite(connection) => connection.schema().await,
        }
    }

    /// Of which database or schema [`Self::schema`] tells; `None`: of all that a statement can reach.
    pub(crate) fn home(&self) -> Option<&str> {
        match self {
            Self::Postgres(connection) => connection.home(),
            Self::Mysql(connection) => Some(connection.home()),
            Self::Sqlite(_) => Some("main"),
        }
    }

    /// SQL that returns one true value while this connection holds the session lock. Empty where
    /// the lock is no matter of the server.
    pub(crate) fn holds_lock(&self) -> String {
        match self {
            Self::Postgres(connection) => connection.holds_lock(),
            Self::Mysql(connection) => connection.holds_lock(),
            Self::Sqlite(_) => String::new(),
        }
    }

    /// A statement that answers how far the server's log has come, if it tells ([`Position::of`]). Empty where
    /// that is no matter of a server.
    pub(crate) fn log_position(&self) -> String {
        match self {
            Self::Postgres(connection) => format!("SELECT {};", connection.log_position()),
            Self::Mysql(connection) => connection.log_position().to_owned(),
            Self::Sqlite(_) => String::new(),
        }
    }

    /// The same as a value in a row of another question.
    pub(crate) fn log_position_value(&self) -> &'static str {
        match self {
            Self::Postgres(connection) => connection.log_position(),
            Self::Mysql(_) | Self::Sqlite(_) => "NULL",
        }
    }

    /// How far the log has come that stands in files beside the target. `None`: a server has it.
    pub(crate) fn position(&mut self) -> Option<Position> {
        match self {
            Self::Postgres(_) | Self::Mysql(_) => None,
            Self::Sqlite(connection) => Some(connection.position()),
        }
    }

    /// Takes back what a script may have left in the session: settings, roles, temporary tables.
    pub(crate) async fn reset(&mut self) -> Result<(), Broken> {
        match self {
            Self::Postgres(connection) => connection.reset().await,
            Self::Mysql(connection) => connection.reset().await,
            Self::Sqlite(connection) => connection.reset().await,
        }
    }

    /// A query of this connection ends with what this gives: the servers have bounds of their own.
    pub(crate) async fn while_wanted(&mut self) -> Option<Wanted> {
        match self {
            Self::Postgres(_) | Self::Mysql(_) => None,
            Self::Sqlite(connection) => connection.while_wanted().await,
        }
    }

    /// Who sees from outside how long its statements wait for locks.
    pub(crate) fn onlooker(&self) -> Onlooker {
        match self {
            Self::Postgres(connection) => connection.onlooker(),
            Self::Mysql(connection) => connection.onlooker(),
            Self::Sqlite(_) => Onlooker::new(Whose::Own),
        }
    }

    /// How long they have waited, as the connection itself knows it, since this was last asked.
    pub(crate) fn take_waited(&mut self) -> Option<Duration> {
        match self {
            Self::Postgres(_) | Self::Mysql(_) => None,
            Self::Sqlite(connection) => Some(connection.take_waited()),
        }
    }

    /// How the statement that runs on it is killed.
    pub(crate) fn killer(&self) -> Killer {
        match self {
            Self::Postgres(connection) => connection.killer(),
            Self::Mysql(connection) => connection.killer(),
            Self::Sqlite(connection) => connection.killer(),
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Postgres(connection) => connection.close().await,
            Self::Mysql(connection) => connection.close().await,
            Self::Sqlite(connection) => connection.close().await,
        }
    }
}
