//! How long a step's statements waited for locks that they got: looked at from outside of its session, as no
//! engine tells a session.
//!
//! ```text
//! PostgreSQL   what the server says that the backend waits for
//! MariaDB      the state of the connection, and of its InnoDB transaction
//! ```
//! Looked for over a connection of its own, and only at a step that has run for [`FIRST`]: a light step pays for a
//! timer. After that, every twentieth of the time that it has run; a wait counts from half of the pause before it
//! was seen to half of the pause after, so that the sum is right to about as much. Nothing waits for an answer, and
//! a server that cannot be asked leaves the wait untold.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, MySqlConnection, PgConnection};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A step that is done before is not looked at.
const FIRST: Duration = Duration::from_millis(100);
/// Between two looks, by how long the step has run.
const PART: u32 = 20;
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// An answer that takes longer is none.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Whose waits are looked at.
#[derive(Debug, Clone)]
pub(in crate::db) enum Whose {
    Postgres {
        options: PgConnectOptions,
        pid: String,
    },
    Mysql {
        options: MySqlConnectOptions,
        number: String,
    },
    /// Its connection tells by itself.
    Own,
}

/// Looks at what a session waits for while it works.
#[derive(Debug)]
pub(crate) struct Onlooker(Whose);

/// What was seen so far.
#[derive(Debug)]
struct Seen {
    /// The last look, and whether it found a wait.
    last: Option<(Instant, bool)>,
    waited: Duration,
    /// The server cannot be asked.
    blind: bool,
}

impl Seen {
    /// At this moment it waits, or does not.
    fn add(&mut self, began: Instant, now: Instant, waits: bool) {
        let (before, waited) = self.last.unwrap_or((began, waits));
        let halves = u32::from(waited) + u32::from(waits);
        self.waited += now.saturating_duration_since(before) * halves / 2;
        self.last = Some((now, waits));
    }

    /// It is done now. `None`: nobody could see.
    fn end(&mut self, began: Instant, now: Instant) -> Option<Duration> {
        let known = !self.blind && self.last.is_some();
        self.add(began, now, false);
        known.then_some(self.waited)
    }
}

type Shared = Arc<Mutex<Seen>>;

fn lock(seen: &Shared) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Onlooker {
    pub(in crate::db) fn new(whose: Whose) -> Self {
        Self(whose)
    }

    /// Does the work to its end, and says how long of it was a wait for locks. `None`: nobody could see.
    pub(crate) async fn watch<T>(self, work: impl Future<Output = T>) -> (T, Option<Duration>) {
        let mut work = pin!(work);
        if matches!(self.0, Whose::Own) {
            return (work.await, None);
        }
        let began = Instant::now();
        tokio::select! {
            biased;
            done = &mut work => return (done, Some(Duration::ZERO)),
            () = tokio::time::sleep(FIRST) => {}
        }
        let (seen, _over) = self.look_on(began);
        let done = work.await;
        let waited = lock(&seen).end(began, Instant::now());
        (done, waited)
    }

    /// Looks in a task of its own until the guard is dropped, and then says goodbye to the server.
    fn look_on(self, began: Instant) -> (Shared, DropGuard) {
        let seen = Arc::new(Mutex::new(Seen { last: None, waited: Duration::ZERO, blind: false }));
        let over = CancellationToken::new();
        let (shared, guard) = (Arc::clone(&seen), over.clone().drop_guard());
        tokio::spawn(async move {
            let looked = tokio::select! {
                connected = Eye::open(&self.0) => match connected {
                    Ok(mut eye) => {
                        let looked = look(&mut eye, &shared, (began, &over)).await;
                        eye.close().await;
                        looked
                    }
                    Err(error) => Err(error),
                },
                () = over.cancelled() => Ok(()),
            };
            if let Err(error) = looked {
                tracing::debug!(%error, "waits for locks cannot be seen");
                lock(&shared).blind = true;
            }
        });
        (seen, guard)
    }
}

async fn look(
    eye: &mut Eye,
    seen: &Shared,
    (began, over): (Instant, &CancellationToken),
) -> Result<(), sqlx::Error> {
    loop {
        let waits = tokio::time::timeout(ANSWER_MAX, eye.waits()).await;
        let waits = waits.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        if over.is_cancelled() {
            return Ok(());
        }
        let now = Instant::now();
        lock(seen).add(began, now, waits);
        let pause = (now.saturating_duration_since(began) / PART).clamp(PAUSE_MIN, PAUSE_MAX);
        tokio::select! {
            () = over.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// A second connection.
enum Eye {
    Postgres(PgConnection, String),
    Mysql(MySqlConnection, String),
}

impl Eye {
    async fn open(whose: &Whose) -> Result<Self, sqlx::Error> {
        match whose {
            Whose::Postgres { options, pid } => {
                Ok(Self::Postgres(options.connect().await?, pid.clone()))
            }
            Whose::Mysql { options, number } => {
                Ok(Self::Mysql(options.connect().await?, number.clone()))
            }
            Whose::Own => Err(sqlx::Error::WorkerCrashed),
        }
    }

    /// Whether the session waits for a lock now.
    async fn waits(&mut self) -> Result<bool, sqlx::Error> {
        match self {
            Self::Postgres(connection, pid) => {
                let sql = format!(
                    "SELECT 1 FROM pg_catalog.pg_stat_get_activity({pid}) \
                     WHERE wait_event_type = 'Lock';"
                );
                let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_optional(connection).await?;
                Ok(row.is_some())
            }
            // The state tells of locks of tables; only the transaction tells of those of rows, and to see it
            // takes the privilege PROCESS.
            Self::Mysql(connection, number) => {
                let sql = format!(
                    "SELECT 1 FROM information_schema.processlist WHERE id = {number} \
                     AND state LIKE 'Waiting for%lock%' \
                     UNION ALL SELECT 1 FROM information_schema.innodb_trx \
                     WHERE trx_mysql_thread_id = {number} AND trx_state = 'LOCK WAIT';"
                );
                let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_optional(connection).await?;
                Ok(row.is_some())
            }
        }
    }

    async fn close(self) {
        let closed = match self {
            Self::Postgres(connection, _) => connection.close().await,
            Self::Mysql(connection, _) => connection.close().await,
        };
        if let Err(error) = closed {
            tracing::debug!(%error, "a connection that looked at waits did not close cleanly");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, Seen};

    /// From looks at these milliseconds, and an end.
    fn waited(looks: &[(u64, bool)], end: u64) -> Option<u64> {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut seen = Seen { last: None, waited: Duration::ZERO, blind: false };
        for (ms, waits) in looks {
            seen.add(began, at(*ms), *waits);
        }
        seen.end(began, at(end)).map(|it| u64::try_from(it.as_millis()).unwrap())
    }

    #[test]
    fn a_wait_counts_from_half_of_a_pause_before_it_was_seen_to_half_of_one_after() {
        assert_eq!(waited(&[], 500), None, "nobody has looked");
        assert_eq!(waited(&[(100, false), (200, false)], 300), Some(0));
        // From the begin, as the first look found it waiting.
        assert_eq!(waited(&[(100, true), (200, true), (300, false)], 400), Some(250));
        assert_eq!(waited(&[(100, false), (200, true)], 300), Some(100));
        assert_eq!(waited(&[(100, true)], 120), Some(110));
    }
}
