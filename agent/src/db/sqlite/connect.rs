//! Opening a SQLite file, and sending SQL to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, TryFutureExt};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Connection, Either, Row, Sqlite};
use tokio::time::Instant;

use super::failure;
use super::journal::{Journal, Journaled, beside};
use super::lock_file::LockFile;
use crate::db::answer::{Answer, Keep, Reading, drain};
use crate::db::error::DbError;
use crate::db::failure::{Broken, Failure};
use crate::db::fingerprint::Schema;
use crate::db::kill::{How, Killer, Wish};
use crate::db::ledger::Tables;
use crate::db::location::{Engine, Location};
use crate::db::patience::Patience;
use crate::db::timeouts::Timeouts;
use crate::db::written::Position;

/// Operations of SQLite's virtual machine between two looks at the wish to end a statement.
const PROGRESS: i32 = 10_000;

/// What begins sooner has not waited for the file's lock, but for a processor.
const WAIT_MIN: Duration = Duration::from_millis(50);

pub(in crate::db) struct SqliteConnection {
    // Declared first: the connection goes before the lock.
    connection: sqlx::SqliteConnection,
    options: SqliteConnectOptions,
    pub(super) path: PathBuf,
    lock: Option<LockFile>,
    /// That the statement that runs be ended.
    wish: Wish,
    journal: Journal,
    /// How long transactions waited for the file's lock when they began, and had it.
    waited: Duration,
    /// The file system has failed: a transaction may be committed, and not on the disk.
    in_doubt: bool,
}

/// Somebody waits for a query.
pub(in crate::db) struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl SqliteConnection {
    /// Opens the file without taking the session lock, for reading only.
    pub(in crate::db) async fn observe(
        location: &Location,
        options: &SqliteConnectOptions,
    ) -> Result<Self, DbError> {
        roll_back_journal(options).await;
        let options = options.clone().read_only(true).create_if_missing(false);
        let path = real_path(options.get_filename());
        Self::connect(location, options, path, None).await
    }

    /// Takes the session lock within the given patience, and opens the file.
    pub(in crate::db) async fn open(
        location: &Location,
        options: &SqliteConnectOptions,
        timeouts: &Timeouts,
    ) -> Result<Self, DbError> {
        let path = real_path(options.get_filename());
        let patience = Patience::for_session_lock(timeouts);
        let lock = loop {
            let taken = LockFile::try_take(&path).map_err(|error| DbError::Connect {
                location: location.redacted(),
                message: format!("the lock file beside the database cannot be taken: {error}"),
                retryable: error.kind() == std::io::ErrorKind::StorageFull,
            })?;
            match taken {
                Some(lock) => break lock,
                None if patience.pause().await => {}
                None => {
                    let (location, waited_ms) = (location.redacted(), patience.waited_ms());
                    let holder = "another process on this host, or another session in this one";
                    let holder = holder.to_owned();
                    return Err(DbError::LockHeld { location, waited_ms, holder });
                }
            }
        };
        // A commit that somebody was killed in may be seen, and the removal of its journal not be on the
        // disk: after a power cut it would be taken back, though it was told of.
        if lock.was_left() {
            sync_directory(&path).map_err(|error| DbError::Connect {
                location: location.redacted(),
                message: format!("the database's directory cannot be forced to the disk: {error}"),
                retryable: true,
            })?;
        }
        // A commit ends by removing the journal; with less than EXTRA the journal may be back after a
        // power cut, and takes back a step that was reported (`chaos/preload/tests/sqlite.rs`).
        let options =
            options.clone().busy_timeout(timeouts.lock()).synchronous(SqliteSynchronous::Extra);
        Self::connect(location, options, path, Some(lock)).await
    }

    async fn connect(
        location: &Location,
        options: SqliteConnectOptions,
        path: PathBuf,
        lock: Option<LockFile>,
    ) -> Result<Self, DbError> {
        // Whether keys are enforced is set for each script; the driver's default is not SQLite's.
        let options = options.foreign_keys(false).disable_statement_logging();
        let wish = Wish::default();
        let journal = Journal::of(&path);
        let connection = connect(&options, &wish, &journal.journaled).await.map_err(|error| {
            let failure = failure::of(&error);
            DbError::Connect {
                location: location.redacted(),
                message: failure.message,
                retryable: failure.transient,
            }
        })?;
        Ok(Self {
            connection,
            options,
            path,
            lock,
            wish,
            journal,
            waited: Duration::ZERO,
            in_doubt: false,
        })
    }

    /// A query that nobody waits for any more is interrupted, and with it this process' thread freed.
    pub(in crate::db) async fn while_wanted(&mut self) -> Option<Wanted> {
        const STEPS: i32 = 10_000;
        let wanted = Arc::new(AtomicBool::new(true));
        let mut handle = self.connection.lock_handle().await.ok()?;
        let asked = wanted.clone();
        handle.set_progress_handler(STEPS, move || asked.load(Ordering::Relaxed));
        Some(Wanted(wanted))
    }

    #[expect(clippy::unused_self, reason = "the same question to all three dialects")]
    pub(in crate::db) fn tables(&self) -> Tables {
        Tables::new(Engine::Sqlite, "main.".to_owned())
    }

    pub(in crate::db) async fn send(
        &mut self,
        sql: String,
        keep: Keep,
    ) -> Result<Vec<Answer>, Broken> {
        let reading = Reading::<Sqlite> {
            text: value,
            columns: SqliteRow::len,
            name: |row, at| {
                row.columns().get(at).map_or_else(String::new, |it| it.name().to_owned())
            },
            affected: sqlx::sqlite::SqliteQueryResult::rows_affected,
        };
        // The statement that takes the lock is the first, or behind one that takes no time.
        let begins = sql.starts_with("BEGIN IMMEDIATE");
        let second = !begins && sql.starts_with("PRAGMA foreign_keys");
        let (sent, mut answers, mut took) = (Instant::now(), 0, Duration::ZERO);
        let stream = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.connection);
        let stream = stream.inspect(|item| {
            if matches!(item, Ok(Either::Left(_))) {
                answers += 1;
                if answers == 1 + u32::from(second) {
                    took = sent.elapsed();
                }
            }
        });
        let stream = stream.boxed();
        let drained = drain(stream, keep, reading)
            .map_err(|(error, done)| Broken { failure: failure::of(&error), done })
            .await;
        self.journal.sent();
        if (begins || second) && took >= WAIT_MIN {
            self.waited += took;
        }
        if let Err(broken) = &drained {
            self.in_doubt |= failure::is_of_the_disk(&broken.failure);
        }
        drained
    }

    pub(in crate::db) async fn schema(&mut self) -> Result<Schema, Broken> {
        let answers = self.send(super::schema::QUERY.to_owned(), Keep::All).await?;
        Ok(super::schema::read(answers.first()))
    }

    /// A script's settings, temporary tables and attached files end with its connection.
    pub(in crate::db) async fn reset(&mut self) -> Result<(), Broken> {
        let broken = |failure: Failure| Broken { failure, done: Vec::new() };
        let fresh = connect(&self.options, &self.wish, &self.journal.journaled).await;
        let fresh = fresh.map_err(|error| broken(failure::of(&error)))?;
        let stale = std::mem::replace(&mut self.connection, fresh);
        stale.close().await.map_err(|error| broken(failure::of(&error)))
    }

    /// How far its log has come: between two statements, at the cost of two looks into the directory.
    pub(in crate::db) fn position(&mut self) -> Position {
        self.journal.position()
    }

    /// How long transactions have waited for the file's lock since this was last asked.
    pub(in crate::db) fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }

    pub(in crate::db) fn killer(&self) -> Killer {
        Killer::new(How::Sqlite { wish: self.wish.clone(), asked: false })
    }

    pub(in crate::db) async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "a SQLite connection did not close cleanly");
        } else if let Some(lock) = self.lock.filter(|_| !self.in_doubt) {
            lock.let_go();
        }
    }
}

/// A connection that asks now and then whether its statement is to go on, and counts what it commits.
async fn connect(
    options: &SqliteConnectOptions,
    wish: &Wish,
    journaled: &Journaled,
) -> Result<sqlx::SqliteConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    let (wish, journaled) = (wish.clone(), journaled.clone());
    let journal = beside(options.get_filename(), "-journal");
    let mut handle = connection.lock_handle().await?;
    handle.set_progress_handler(PROGRESS, move || wish.goes_on());
    handle.set_commit_hook(move || {
        journaled.commits(&journal);
        true
    });
    drop(handle);
    Ok(connection)
}

/// Rolls back what somebody who was killed left half written. Who reads alone cannot, and would not be
/// let read; who writes does it first of all. Where it does not work reading says why.
async fn roll_back_journal(options: &SqliteConnectOptions) {
    let path = real_path(options.get_filename());
    if !std::fs::metadata(beside(&path, "-journal")).is_ok_and(|journal| journal.len() > 0) {
        return;
    }
    // Who holds the lock is at work, and the journal his.
    let Ok(Some(_lock)) = LockFile::try_take(&path) else { return };
    let options = options.clone().create_if_missing(false).disable_statement_logging();
    let options = options.synchronous(SqliteSynchronous::Extra);
    let rolled_back = async {
        let mut connection = options.connect().await?;
        sqlx::raw_sql("SELECT COUNT(*) FROM sqlite_master;").execute(&mut connection).await?;
        connection.close().await
    };
    match rolled_back.await {
        Ok(()) => tracing::debug!(path = %path.display(), "a journal that was left is dealt with"),
        Err(error) => tracing::debug!(%error, "a journal could not be rolled back"),
    }
}

/// Makes the names beside a database durable.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// One name for one file: links must not lead two agents to two locks.
fn real_path(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match (parent.canonicalize(), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

fn value(row: &SqliteRow, at: usize) -> Option<String> {
    row.try_get_unchecked::<Option<Vec<u8>>, _>(at)
        .ok()
        .flatten()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
