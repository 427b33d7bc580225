//! Reads what a target is and what its ledger says. Changes nothing, makes no table.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use super::answer::{Answer, Keep, text};
use super::batch::{Batch, answer};
use super::connection::Connection;
use super::error::DbError;
use super::failure::Broken;
use super::fence::Token;
use super::fingerprint::{Fingerprint, Schema};
use super::identity::Identity;
use super::intent::{self, Intent};
use super::ledger::{self, LedgerRow, PREFIX};
use super::location::{Engine, Location, Options};
use super::mysql::MysqlConnection;
use super::postgres::PostgresConnection;
use super::session::{Made, Session};
use super::sqlite::SqliteConnection;
use super::tables::Tables;
use super::timeouts::Timeouts;

/// A target as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Product and version, as the server names them.
    pub version: String,
    pub identity: Identity,
    /// Marks this database and every copy of it; `None` before the first step.
    pub lineage: Option<String>,
    pub fingerprint: Fingerprint,
    /// Every row, oldest first. Empty before the first step.
    pub ledger: Vec<LedgerRow>,
    /// The highest fence that reached the target.
    pub fence: Option<Token>,
    /// The step in the middle of which the target is.
    pub intent: Option<Intent>,
    /// Why the target cannot be written to (a replica, a read-only server), if it cannot.
    pub read_only: Option<String>,
    /// Size of the database in bytes, where the server tells.
    pub size_bytes: Option<u64>,
    /// Rows of the largest tables, where the server tells.
    pub tables: Option<Tables>,
}

impl Observation {
    /// The steps in force, in the order in which they were applied.
    pub fn applied(&self) -> Vec<&LedgerRow> {
        ledger::applied(&self.ledger)
    }

    /// The latest row of the ledger: a head behind the one that the log knows means that the
    /// database was restored.
    pub fn head(&self) -> Option<&LedgerRow> {
        self.ledger.last()
    }
}

/// What each dialect tells of its server.
pub(super) struct Server {
    pub(super) version: String,
    pub(super) identity: Identity,
    pub(super) read_only: Option<String>,
    pub(super) size_bytes: Option<u64>,
    pub(super) tables: Option<Tables>,
}

/// Looks before a target that changes meanwhile counts as one that cannot be read. Five, always after the
/// same pause, were too few where tables come and go all the time.
const LOOKS_MAX: usize = 12;
/// Before the second look. Longer before each further one, and never the same twice: a target that works
/// in steps of this length would be met at the same moment again and again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(100);

/// Connects, reads and leaves. Takes no lock, so it sees a target at work too: where an object goes
/// between being listed and being read, it looks again.
pub async fn observe(location: &Location) -> Result<Observation, DbError> {
    (|| look(location))
        .retry(pauses())
        .when(|error| matches!(error, DbError::Database { session_lost: false, .. }))
        .await
}

/// How long a look behind a fence waits for whoever changes the target.
const LOCK_WAIT_MS: u32 = 10_000;

/// The same, where an executor of before may still be there: under the session lock, so that its session is
/// gone, and after its fence was raised, so that it is refused when it comes back. What is seen then stays.
///
/// # Errors
///
/// Also where somebody holds the session lock for longer than ten seconds.
pub async fn observe_behind(location: &Location, fence: Token) -> Result<Observation, DbError> {
    let timeouts = Timeouts { session_lock_wait_ms: LOCK_WAIT_MS, ..Timeouts::default() };
    let mut session = Session::open(location, &timeouts).await?;
    let seen = match session.raise_fence(fence).await {
        // Somebody has raised it further: executors of before are shut out all the more.
        Ok(()) | Err(DbError::Fence(_)) => session.observe().await,
        Err(error) => Err(error),
    };
    session.close().await;
    seen
}

async fn look(location: &Location) -> Result<Observation, DbError> {
    let mut connection = connect_to_read(location, &Timeouts::default()).await?;
    let seen = observe_on(&mut connection, &location.redacted()).await;
    connection.close().await;
    seen.map(|(seen, _)| seen)
}

/// The schema as it stands, read likewise.
pub async fn schema(location: &Location) -> Result<Schema, DbError> {
    (|| read_schema(location))
        .retry(pauses())
        .when(|error| matches!(error, DbError::Database { session_lost: false, .. }))
        .await
}

async fn read_schema(location: &Location) -> Result<Schema, DbError> {
    let mut connection = connect_to_read(location, &Timeouts::default()).await?;
    let schema = connection.schema().await;
    connection.close().await;
    schema.map_err(|broken| {
        DbError::database("read the schema", &location.redacted(), broken.failure)
    })
}

fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(LOOK_AGAIN)
        .with_max_delay(LOOK_AGAIN_MAX)
        .with_max_times(LOOKS_MAX - 1)
        .with_jitter()
}

/// Connects without the session lock.
pub(super) async fn connect_to_read(
    location: &Location,
    timeouts: &Timeouts,
) -> Result<Connection, DbError> {
    Ok(match &location.options {
        Options::Postgres(options) => {
            Connection::Postgres(PostgresConnection::observe(location, options, timeouts).await?)
        }
        Options::Mysql(options) => {
            Connection::Mysql(MysqlConnection::observe(location, options, timeouts).await?)
        }
        Options::Sqlite(options) => {
            Connection::Sqlite(SqliteConnection::observe(location, options).await?)
        }
    })
}

/// What there is to be seen without our tables.
pub(super) struct Look {
    pub(super) server: Server,
    pub(super) schema: Schema,
    pub(super) made: Made,
}

async fn look_on(connection: &mut Connection) -> Result<Look, Broken> {
    let server = match connection {
        Connection::Postgres(connection) => connection.server().await?,
        Connection::Mysql(connection) => connection.server().await?,
        Connection::Sqlite(connection) => return connection.look().await,
    };
    let schema = connection.schema().await?;
    let made = tables_of(connection).await?;
    Ok(Look { server, schema, made })
}

pub(super) async fn observe_on(
    connection: &mut Connection,
    location: &str,
) -> Result<(Observation, Made), DbError> {
    let failed = |broken: Broken| DbError::database("observe", location, broken.failure);
    let damaged = |what| DbError::LedgerDamaged { location: location.to_owned(), what };
    let Look { server, schema, made } = look_on(connection).await.map_err(failed)?;
    let fingerprint = schema.fingerprint();
    let tables = connection.tables();

    let mut batch = Batch::default();
    let at_fence = made.base.then(|| {
        batch.add(&format!("SELECT token, format, lineage FROM {} WHERE id = 1;", tables.fence()))
    });
    let at_ledger = made.base.then(|| batch.add(&tables.all()));
    let at_intent = made.intent.then(|| batch.add(&tables.read_intent()));
    let answers = if batch.is_empty() {
        Vec::new()
    } else {
        connection.send(batch.into_sql(), Keep::All).await.map_err(failed)?
    };
    let fence = at_fence.map(|at| answer(&answers, at));
    let fence_row = fence.as_ref().and_then(|fence| fence.rows.first());
    let column = |at| fence_row.and_then(|row| text(row, at));
    if let Some(found) = column(1).and_then(|format| format.parse().ok())
        && found > ledger::FORMAT
    {
        let (location, known) = (location.to_owned(), ledger::FORMAT);
        return Err(DbError::LedgerFormat { location, found, known });
    }
    let seen = Observation {
        version: server.version,
        identity: server.identity,
        lineage: column(2).map(str::to_owned),
        fingerprint,
        ledger: match at_ledger {
            Some(at) => ledger::read(&answer(&answers, at)).map_err(damaged)?,
            None => Vec::new(),
        },
        fence: column(0).and_then(|token| token.parse().ok()).map(Token),
        intent: match at_intent {
            Some(at) => intent::read(&answer(&answers, at)).map_err(damaged)?,
            None => None,
        },
        read_only: server.read_only,
        size_bytes: server.size_bytes,
        tables: server.tables,
    };
    Ok((seen, made))
}

/// Which of our tables exist.
pub(super) async fn tables_of(connection: &mut Connection) -> Result<Made, Broken> {
    let sql = match connection {
        Connection::Postgres(connection) => connection.find_tables(),
        Connection::Mysql(connection) => connection.find_tables(),
        Connection::Sqlite(connection) => connection.find_tables(),
    };
    let answers = connection.send(sql, Keep::All).await?;
    let made = made(answers.first());
    // MySQL commits each table by itself. A server that died as they were made has left them without the fence's row;
    // no step has run then, and they are made once more.
    if connection.engine() == Engine::Mysql && made.base && !made.intent {
        let tables = connection.tables();
        let (fence, ledger) = (tables.fence(), tables.ledger());
        let sql =
            format!("SELECT (SELECT COUNT(*) FROM {fence}) + (SELECT COUNT(*) FROM {ledger});");
        let answers = connection.send(sql, Keep::All).await?;
        let empty = answers.first().and_then(Answer::number) == Some(0);
        return Ok(Made { base: !empty, ..made });
    }
    Ok(made)
}

/// The same, from the names that were found.
pub(super) fn made(names: Option<&Answer>) -> Made {
    let rows = names.map(|answer| answer.rows.as_slice()).unwrap_or_default();
    let found = |table: &str| {
        let name = format!("{PREFIX}{table}");
        rows.iter().any(|row| text(row, 0) == Some(name.as_str()))
    };
    Made { base: found("fence") && found("ledger"), intent: found("intent") }
}
