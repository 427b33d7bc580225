//! Connecting to PostgreSQL, its session lock, and sending SQL to it.

use futures::TryFutureExt;
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Connection, PgConnection, Postgres, Row, ValueRef,
};
use uuid::Uuid;

use super::failure;
use crate::db::answer::{Answer, Keep, Reading, drain, text};
use crate::db::batch::{At, answer};
use crate::db::connecting;
use crate::db::error::DbError;
use crate::db::failure::Broken;
use crate::db::fingerprint::Schema;
use crate::db::kill::{How, Killer};
use crate::db::ledger::Tables;
use crate::db::location::{Engine, Location};
use crate::db::lock_wait::{Onlooker, Whose};
use crate::db::patience::Patience;
use crate::db::sql::{literal, name};
use crate::db::timeouts::Timeouts;

pub(in crate::db) struct PostgresConnection {
    connection: PgConnection,
    /// Where the ledger tables live.
    pub(super) schema: String,
    /// The target is this one schema, not the whole database.
    pub(super) one_schema: bool,
    /// What every session begins with, and comes back to.
    prologue: String,
    lock_key: i64,
    /// How it was connected, and the server's number for it.
    options: PgConnectOptions,
    pid: String,
    /// The server was seen to tell how far its write-ahead log has come. Some that are managed do not, and
    /// an error would end the transaction that asks.
    pub(super) tells_log: bool,
}

/// What the first message tells.
const WHERE_AM_I: &str = "SELECT pg_catalog.current_schema(), pg_catalog.current_database(), \
     pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery(), \
     pg_catalog.current_setting('transaction_read_only');";

impl PostgresConnection {
    /// Connects for reading only, without the session lock.
    pub(in crate::db) async fn observe(
        location: &Location,
        options: &PgConnectOptions,
        timeouts: &Timeouts,
    ) -> Result<Self, DbError> {
        let (connection, _) = Self::connect(location, options, timeouts).await?;
        Ok(connection)
    }

    /// Connects and takes the session lock within the given patience.
    pub(in crate::db) async fn open(
        location: &Location,
        options: &PgConnectOptions,
        timeouts: &Timeouts,
    ) -> Result<Self, DbError> {
        let (mut connection, first) = Self::connect(location, options, timeouts).await?;
        let at = location.redacted();
        if text(&first, 3) == Some("t") {
            let why = "the server is a standby".to_owned();
            return Err(DbError::ReadOnly { location: at, why });
        }
        if text(&first, 4) == Some("on") {
            let why = "the server or the account only allows reading".to_owned();
            return Err(DbError::ReadOnly { location: at, why });
        }
        connection.take_lock(&at, text(&first, 2), timeouts).await?;
        Ok(connection)
    }

    async fn connect(
        location: &Location,
        options: &PgConnectOptions,
        timeouts: &Timeouts,
    ) -> Result<(Self, Vec<Option<String>>), DbError> {
        let options = options.clone().disable_statement_logging();
        let connection =
            connecting::connect(location, timeouts, || options.connect(), failure::of).await?;
        let mut prologue = format!(
            "SET lock_timeout = {}; SET statement_timeout = {}; \
             SET client_min_messages = warning;",
            timeouts.lock_ms, timeouts.statement_ms
        );
        if let Some(schema) = location.schema() {
            let schema = name(Engine::Postgres, schema);
            prologue = format!("{prologue} SET search_path TO {schema};");
        }
        let mut connection = Self {
            connection,
            schema: String::new(),
            one_schema: location.schema().is_some(),
            prologue,
            lock_key: 0,
            options,
            pid: String::new(),
            tells_log: false,
        };
        let at = location.redacted();
        let sql = format!("{} {WHERE_AM_I}", connection.prologue);
        let answers = connection
            .send(sql, Keep::All)
            .await
            .map_err(|broken| DbError::database("set up the session", &at, broken.failure))?;
        let first = answers.last().and_then(|answer| answer.rows.first()).cloned();
        let first = first.unwrap_or_default();
        let Some(schema) = text(&first, 0) else {
            let schema = location.schema().unwrap_or("public").to_owned();
            return Err(DbError::NoSchema { location: at, schema });
        };
        schema.clone_into(&mut connection.schema);
        text(&first, 2).unwrap_or_default().clone_into(&mut connection.pid);
        let database = text(&first, 1).unwrap_or_default();
        connection.lock_key = lock_key(database, location.schema());
        Ok((connection, first))
    }

    /// Polls for the lock: a session that waits for a lock holds a snapshot, which would stall
    /// `CREATE INDEX CONCURRENTLY` on the other side.
    async fn take_lock(
        &mut self,
        location: &str,
        pid: Option<&str>,
        timeouts: &Timeouts,
    ) -> Result<(), DbError> {
        let patience = Patience::for_session_lock(timeouts);
        let nonce = Uuid::now_v7().simple().to_string();
        let failed =
            |broken: Broken| DbError::database("take the session lock", location, broken.failure);
        let mark = format!("SELECT pg_catalog.set_config('skein.session', '{nonce}', false);");
        self.send(mark, Keep::Nothing).await.map_err(failed)?;
        loop {
            // In one message: is this still the server session that we set up, and is the lock ours?
            let sql = format!(
                "SELECT pg_catalog.current_setting('skein.session', true), \
                 pg_catalog.pg_backend_pid(), pg_catalog.pg_try_advisory_lock({});",
                self.lock_key
            );
            let answers = self.send(sql, Keep::All).await.map_err(failed)?;
            let row = answer(&answers, At(0)).rows.first().cloned().unwrap_or_default();
            if text(&row, 0) != Some(nonce.as_str()) || text(&row, 1) != pid {
                return Err(DbError::Pooled { location: location.to_owned() });
            }
            if text(&row, 2) == Some("t") {
                return Ok(());
            }
            if !patience.pause().await {
                let (location, waited_ms) = (location.to_owned(), patience.waited_ms());
                let holder = self.holder().await;
                return Err(DbError::LockHeld { location, waited_ms, holder });
            }
        }
    }

    /// Who holds the session lock, for a message.
    async fn holder(&mut self) -> String {
        let [high, low] = split(self.lock_key);
        let sql = format!(
            "SELECT 'backend ' || l.pid || COALESCE(' of ' || NULLIF(a.application_name, ''), '') \
             || COALESCE(', ' || a.state || ' since ' || a.state_change, '') \
             FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
             WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted \
             AND l.classid::bigint = {high} AND l.objid::bigint = {low} \
             AND l.database = (SELECT oid FROM pg_catalog.pg_database \
             WHERE datname = pg_catalog.current_database());"
        );
        let answers = self.send(sql, Keep::All).await.unwrap_or_default();
        answer(&answers, At(0)).scalar().unwrap_or("a session that has just gone").to_owned()
    }

    pub(in crate::db) fn tables(&self) -> Tables {
        Tables::new(Engine::Postgres, format!("{}.", name(Engine::Postgres, &self.schema)))
    }

    pub(in crate::db) fn find_tables(&self) -> String {
        let schema = literal(Engine::Postgres, &self.schema);
        format!(
            "SELECT c.relname FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {schema} AND c.relkind IN ('r', 'p') \
             AND c.relname IN ('_skein_fence', '_skein_ledger', '_skein_intent');"
        )
    }

    pub(in crate::db) fn holds_lock(&self) -> String {
        let [high, low] = split(self.lock_key);
        format!(
            "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_locks WHERE locktype = 'advisory' \
             AND pid = pg_catalog.pg_backend_pid() AND objsubid = 1 AND granted \
             AND classid::bigint = {high} AND objid::bigint = {low} \
             AND database = (SELECT oid FROM pg_catalog.pg_database \
             WHERE datname = pg_catalog.current_database()));"
        )
    }

    /// What tells how far the server's log has come, as a value of one row.
    pub(in crate::db) fn log_position(&self) -> &'static str {
        if self.tells_log {
            "pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')"
        } else {
            "NULL"
        }
    }

    pub(in crate::db) async fn send(
        &mut self,
        sql: String,
        keep: Keep,
    ) -> Result<Vec<Answer>, Broken> {
        let reading = Reading::<Postgres> {
            text: value,
            columns: PgRow::len,
            name: |row, at| {
                row.columns().get(at).map_or_else(String::new, |it| it.name().to_owned())
            },
            affected: sqlx::postgres::PgQueryResult::rows_affected,
        };
        let stream = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.connection);
        drain(stream, keep, reading)
            .map_err(|(error, done)| Broken { failure: failure::of(&error), done })
            .await
    }

    /// The one schema that the target is, where it is one.
    pub(in crate::db) fn home(&self) -> Option<&str> {
        self.one_schema.then_some(self.schema.as_str())
    }

    pub(in crate::db) async fn schema(&mut self) -> Result<Schema, Broken> {
        let sql = super::schema::query(self.home());
        let answers = match self.send(sql, Keep::All).await {
            Ok(answers) => answers,
            Err(broken) => {
                if !broken.failure.lost {
                    self.send("ROLLBACK;".to_owned(), Keep::Nothing).await?;
                }
                return Err(broken);
            }
        };
        Ok(super::schema::read(&answer(&answers, super::schema::AT)))
    }

    /// Settings, role and temporary tables; the session lock stays.
    pub(in crate::db) async fn reset(&mut self) -> Result<(), Broken> {
        let sql = format!(
            "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; DISCARD TEMP; {}",
            self.prologue
        );
        self.send(sql, Keep::Nothing).await.map(|_| ())
    }

    pub(in crate::db) fn killer(&self) -> Killer {
        Killer::new(How::Postgres { options: self.options.clone(), pid: self.pid.clone() })
    }

    pub(in crate::db) fn onlooker(&self) -> Onlooker {
        Onlooker::new(Whose::Postgres { options: self.options.clone(), pid: self.pid.clone() })
    }

    pub(in crate::db) async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "a PostgreSQL connection did not close cleanly");
        }
    }
}

/// Advisory locks are per database already; the name keeps them apart behind a pooler that is not.
fn lock_key(database: &str, schema: Option<&str>) -> i64 {
    let mut hash = Sha256::new();
    hash.update(b"skein.session\0");
    hash.update(database);
    hash.update(b"\0");
    hash.update(schema.unwrap_or_default());
    let digest: [u8; 32] = hash.finalize().into();
    let mut key = [0; 8];
    key.copy_from_slice(digest.split_at(8).0);
    i64::from_be_bytes(key)
}

/// How `pg_locks` shows a 64-bit key: its two halves, without a sign.
fn split(key: i64) -> [u64; 2] {
    let bits = u64::from_be_bytes(key.to_be_bytes());
    [bits >> 32, bits & 0xffff_ffff]
}

fn value(row: &PgRow, at: usize) -> Option<String> {
    let value = row.try_get_raw(at).ok()?;
    if value.is_null() {
        return None;
    }
    value.as_bytes().ok().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}
