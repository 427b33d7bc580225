//! Connecting to MariaDB or MySQL, its session lock, and sending SQL to it.

use futures::TryFutureExt;
use sha2::{Digest, Sha256};
use sqlx::mysql::{MySqlConnectOptions, MySqlRow};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Connection, MySql, MySqlConnection, Row};

use super::failure;
use crate::db::answer::{Answer, Keep, Reading, drain, text};
use crate::db::connecting;
use crate::db::error::DbError;
use crate::db::failure::{Broken, Failure};
use crate::db::fingerprint::Schema;
use crate::db::kill::{How, Killer};
use crate::db::ledger::Tables;
use crate::db::location::{Engine, Location};
use crate::db::lock_wait::{Onlooker, Whose};
use crate::db::patience::Patience;
use crate::db::sql::{hex, literal, name};
use crate::db::timeouts::Timeouts;

pub(in crate::db) struct MysqlConnection {
    connection: MySqlConnection,
    options: MySqlConnectOptions,
    pub(super) database: String,
    /// What every session begins with.
    prologue: String,
    lock: String,
    /// The server's number for this connection.
    number: String,
    pub(super) version: String,
    /// Whether the session lock is held, and is to be taken again with a new connection.
    locked: bool,
}

impl MysqlConnection {
    /// Connects for reading only, without the session lock.
    pub(in crate::db) async fn observe(
        location: &Location,
        options: &MySqlConnectOptions,
        timeouts: &Timeouts,
    ) -> Result<Self, DbError> {
        Self::connect(location, options, timeouts).await
    }

    /// Connects and takes the session lock within the given patience.
    pub(in crate::db) async fn open(
        location: &Location,
        options: &MySqlConnectOptions,
        timeouts: &Timeouts,
    ) -> Result<Self, DbError> {
        let mut connection = Self::connect(location, options, timeouts).await?;
        let at = location.redacted();
        let failed =
            |broken: Broken| DbError::database("take the session lock", &at, broken.failure);
        if let Some(why) = connection.read_only().await.map_err(failed)? {
            return Err(DbError::ReadOnly { location: at, why });
        }
        let patience = Patience::for_session_lock(timeouts);
        loop {
            let (taken, number) = connection.try_lock(0).await.map_err(failed)?;
            if number != connection.number {
                return Err(DbError::Pooled { location: at });
            }
            if taken {
                connection.locked = true;
                return Ok(connection);
            }
            if !patience.pause().await {
                let waited_ms = patience.waited_ms();
                let holder = connection.holder().await;
                return Err(DbError::LockHeld { location: at, waited_ms, holder });
            }
        }
    }

    async fn connect(
        location: &Location,
        options: &MySqlConnectOptions,
        timeouts: &Timeouts,
    ) -> Result<Self, DbError> {
        let options = options.clone().disable_statement_logging();
        let connection =
            connecting::connect(location, timeouts, || options.connect(), failure::of).await?;
        let mut connection = Self {
            connection,
            options,
            database: String::new(),
            prologue: String::new(),
            lock: String::new(),
            number: String::new(),
            version: String::new(),
            locked: false,
        };
        let at = location.redacted();
        let failed = |broken: Broken| DbError::database("set up the session", &at, broken.failure);
        let sql = "SELECT DATABASE(), CONNECTION_ID(), VERSION();".to_owned();
        let answers = connection.send(sql, Keep::All).await.map_err(failed)?;
        let row = answers.first().and_then(|answer| answer.rows.first()).cloned();
        let row = row.unwrap_or_default();
        let part = |at| text(&row, at).unwrap_or_default().to_owned();
        connection.database = part(0);
        connection.number = part(1);
        connection.version = part(2);
        connection.lock = lock_name(&connection.database);
        connection.prologue = prologue(timeouts, connection.is_mariadb());
        let prologue = connection.prologue.clone();
        connection.send(prologue, Keep::Nothing).await.map_err(failed)?;
        Ok(connection)
    }

    pub(super) fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    /// Whether a single data definition statement either happens whole or not at all, even when the
    /// server dies in it: MariaDB from 10.6, MySQL from 8.0.
    pub(in crate::db) fn has_atomic_ddl(&self) -> bool {
        let mut numbers = self.version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        if self.is_mariadb() { version >= (10, 6) } else { version >= (8, 0) }
    }

    /// Whether the lock is ours now, and the number of the connection that answered.
    async fn try_lock(&mut self, seconds: u32) -> Result<(bool, String), Broken> {
        let lock = literal(Engine::Mysql, &self.lock);
        let sql = format!("SELECT GET_LOCK({lock}, {seconds}), CONNECTION_ID();");
        let answers = self.send(sql, Keep::All).await?;
        let row = answers.first().and_then(|answer| answer.rows.first()).cloned();
        let row = row.unwrap_or_default();
        Ok((text(&row, 0) == Some("1"), text(&row, 1).unwrap_or_default().to_owned()))
    }

    /// Who holds the session lock, for a message.
    async fn holder(&mut self) -> String {
        let lock = literal(Engine::Mysql, &self.lock);
        let sql = format!(
            "SELECT CONCAT('connection ', p.id, ' of ', p.user, '@', p.host, ', ', p.command, \
             ' for ', p.time, ' s') FROM information_schema.processlist p \
             WHERE p.id = IS_USED_LOCK({lock});"
        );
        let answers = self.send(sql, Keep::All).await.unwrap_or_default();
        let told = answers.first().and_then(Answer::scalar);
        told.unwrap_or("a connection that this account may not see").to_owned()
    }

    pub(in crate::db) fn tables(&self) -> Tables {
        Tables::new(Engine::Mysql, format!("{}.", name(Engine::Mysql, &self.database)))
    }

    pub(in crate::db) fn find_tables(&self) -> String {
        let database = literal(Engine::Mysql, &self.database);
        format!(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = {database} \
             AND table_name IN ('_skein_fence', '_skein_ledger', '_skein_intent');"
        )
    }

    pub(in crate::db) fn holds_lock(&self) -> String {
        format!("SELECT IS_USED_LOCK({}) = CONNECTION_ID();", literal(Engine::Mysql, &self.lock))
    }

    /// What tells how far the server's log has come, behind its name. No row where it has no such number:
    /// MySQL before 8.0.30.
    pub(in crate::db) fn log_position(&self) -> &'static str {
        if self.is_mariadb() {
            "SHOW GLOBAL STATUS LIKE 'Innodb_lsn_current';"
        } else {
            "SHOW GLOBAL STATUS LIKE 'Innodb_redo_log_current_lsn';"
        }
    }

    pub(in crate::db) async fn send(
        &mut self,
        sql: String,
        keep: Keep,
    ) -> Result<Vec<Answer>, Broken> {
        let reading = Reading::<MySql> {
            text: value,
            columns: MySqlRow::len,
            name: |row, at| {
                row.columns().get(at).map_or_else(String::new, |it| it.name().to_owned())
            },
            affected: sqlx::mysql::MySqlQueryResult::rows_affected,
        };
        let stream = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.connection);
        drain(stream, keep, reading)
            .map_err(|(error, done)| Broken { failure: failure::of(&error), done })
            .await
    }

    /// The database that it connected to.
    pub(in crate::db) fn home(&self) -> &str {
        &self.database
    }

    pub(in crate::db) async fn schema(&mut self) -> Result<Schema, Broken> {
        super::schema::schema(self, None).await
    }

    pub(in crate::db) async fn evidence(&mut self, statement: &str) -> Result<Schema, Broken> {
        super::schema::schema(self, Some(statement)).await
    }

    /// There is no word that takes back settings and temporary tables and leaves the lock, so this
    /// is a new connection; whoever takes the lock in between holds a later lease, and the check
    /// before each step finds it.
    pub(in crate::db) async fn reset(&mut self) -> Result<(), Broken> {
        let broken = |failure: Failure| Broken { failure, done: Vec::new() };
        let fresh = self.options.connect().await.map_err(|error| broken(failure::of(&error)))?;
        let stale = std::mem::replace(&mut self.connection, fresh);
        stale.close().await.map_err(|error| broken(failure::of(&error)))?;
        let prologue = self.prologue.clone();
        self.send(prologue, Keep::Nothing).await?;
        if !self.locked {
            return Ok(());
        }
        let (taken, number) = self.try_lock(2).await?;
        self.number = number;
        if taken {
            return Ok(());
        }
        Err(broken(Failure::protocol("another session took the session lock of the target")))
    }

    pub(in crate::db) fn killer(&self) -> Killer {
        Killer::new(How::Mysql { options: self.options.clone(), number: self.number.clone() })
    }

    pub(in crate::db) fn onlooker(&self) -> Onlooker {
        Onlooker::new(Whose::Mysql { options: self.options.clone(), number: self.number.clone() })
    }

    pub(in crate::db) async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "a connection did not close cleanly");
        }
    }
}

/// `max_statement_time` is MariaDB's; MySQL bounds only reads, so there is none to set.
fn prologue(timeouts: &Timeouts, mariadb: bool) -> String {
    let seconds = timeouts.lock_ms.div_ceil(1000).max(1);
    let mut sql = format!(
        "SET SESSION lock_wait_timeout = {seconds}; \
         SET SESSION innodb_lock_wait_timeout = {seconds};"
    );
    if mariadb && timeouts.statement_ms > 0 {
        let bound = f64::from(timeouts.statement_ms) / 1000.0;
        sql = format!("{sql} SET SESSION max_statement_time = {bound:.3};");
    }
    sql
}

/// The server's lock names are shared by all its databases, and no longer than 64 bytes.
fn lock_name(database: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"skein.session\0");
    hash.update(database);
    let digest: [u8; 32] = hash.finalize().into();
    format!("skein:{}", hex(digest.split_at(20).0))
}

fn value(row: &MySqlRow, at: usize) -> Option<String> {
    row.try_get_unchecked::<Option<Vec<u8>>, _>(at)
        .ok()
        .flatten()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
