//! A replica of the PostgreSQL server, which falls behind when it is told to; and what the primary says of it.
//!
//! How far it is behind is read from the same place from which agents read it, all the time, with when it was read:
//! the checker holds the steps of rollouts that wait for it against that.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use skein_tests::servers::postgres;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};
use tokio::time::{sleep, timeout};

use super::web::now_ms;

/// Between two readings; and how far apart two may be for what was between them to be known.
const EVERY: Duration = Duration::from_millis(100);
const GAP_MS: u64 = 600;
/// For one answer.
const ANSWER: Duration = Duration::from_millis(400);
/// So many are remembered: more than a round takes.
const READINGS_MAX: usize = 8_000;

/// A replica that was cut off comes back at once, and finds what it lacks.
const SETTINGS: [&str; 3] = [
    "ALTER SYSTEM SET wal_keep_size = '512MB'",
    "ALTER SYSTEM SET wal_retrieve_retry_interval = '500ms'",
    "SELECT pg_reload_conf()",
];

/// `NULL` and no row: nobody can say. What the replica lacks and has not told yet only makes it more.
const LAG: &str = "SELECT (extract(epoch FROM replay_lag) * 1000)::bigint FROM pg_stat_replication \
                   WHERE state = 'streaming' AND replay_lsn < pg_current_wal_lsn()";
/// Something to lag behind with.
const WRITE: &str = "SELECT pg_logical_emit_message(false, 'skein', 'behind')";

/// How far it was behind at the least at a time between the two, milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Reading {
    from: u64,
    to: u64,
    lag_ms: u64,
}

#[derive(Debug, Default)]
struct State {
    /// It should be behind.
    behind: AtomicBool,
    /// A planted bug: it counts as far behind at any time.
    lies: AtomicBool,
    readings: Mutex<VecDeque<Reading>>,
}

/// All of it. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    url: String,
    state: Arc<State>,
    /// It ends with the last of them.
    _server: Arc<postgres::Instance>,
}

impl Replica {
    /// Starts a replica of a server, and reads what that says of it until the program ends.
    pub(crate) async fn follow(primary: &postgres::Instance) -> Result<Self> {
        let mut admin = PgConnection::connect(&primary.url()).await?;
        for setting in SETTINGS {
            admin.execute(setting).await?;
        }
        admin.close().await?;
        let server = primary.replica().context("failed to start a replica")?;
        let state = Arc::new(State::default());
        let replica = Self { url: server.url(), state, _server: Arc::new(server) };
        let (state, url) = (Arc::clone(&replica.state), primary.url());
        tokio::spawn(async move {
            loop {
                // A server that was killed is there again some time.
                drop(read(&url, &state).await);
                sleep(EVERY).await;
            }
        });
        Ok(replica)
    }

    /// It applies nothing any more from now on, or goes on.
    pub(crate) async fn hold(&self, is: bool) -> Result<()> {
        let word =
            if is { "SELECT pg_wal_replay_pause()" } else { "SELECT pg_wal_replay_resume()" };
        let mut connection = PgConnection::connect(&self.url).await?;
        connection.execute(word).await?;
        connection.close().await?;
        self.state.behind.store(is, Ordering::Relaxed);
        Ok(())
    }

    /// It should be far behind all the time, and is not.
    pub(crate) fn lie(&self) {
        self.state.lies.store(true, Ordering::Relaxed);
    }

    /// How far it was behind at the least between the two; zero where that is not known all the way.
    pub(crate) fn least(&self, from: u64, to: u64) -> u64 {
        if self.state.lies.load(Ordering::Relaxed) {
            return u64::MAX;
        }
        let readings = self.state.readings.lock().unwrap_or_else(PoisonError::into_inner);
        least(&readings, from, to)
    }
}

fn least(readings: &VecDeque<Reading>, from: u64, to: u64) -> u64 {
    // The last one before, those within, and the first one behind have to follow one another closely.
    let (mut reached, mut least) = (None, u64::MAX);
    for reading in readings {
        if reading.to <= from {
            (reached, least) = (Some(reading.to), reading.lag_ms);
            continue;
        }
        let known = reached.is_some_and(|reached: u64| reading.from <= reached.max(from) + GAP_MS);
        let old = reached.is_none_or(|reached| reached + GAP_MS < from);
        if !known || old {
            return 0;
        }
        least = least.min(reading.lag_ms);
        if reading.from >= to {
            return least;
        }
        reached = Some(reading.to);
    }
    0
}

/// Until the server does not answer.
async fn read(url: &str, state: &State) -> Result<()> {
    let mut connection = timeout(ANSWER, PgConnection::connect(url)).await??;
    loop {
        if state.behind.load(Ordering::Relaxed) {
            timeout(ANSWER, connection.execute(WRITE)).await??;
        }
        let from = now_ms();
        let asked = sqlx::query_scalar::<_, Option<i64>>(LAG).fetch_all(&mut connection);
        let told = timeout(ANSWER, asked).await??;
        let to = now_ms();
        if let [Some(lag)] = told.as_slice()
            && let Ok(lag_ms) = u64::try_from(*lag)
        {
            let mut readings = state.readings.lock().unwrap_or_else(PoisonError::into_inner);
            if readings.len() == READINGS_MAX {
                readings.pop_front();
            }
            readings.push_back(Reading { from, to, lag_ms });
        }
        sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_all_the_way_is_nothing() {
        let at = |from: u64, lag_ms: u64| Reading { from, to: from + 10, lag_ms };
        let close: VecDeque<Reading> =
            (0..20).map(|n| at(1_000 + 100 * n, 500 + 100 * n)).collect();
        assert_eq!(least(&close, 1_500, 2_000), 900, "the last one before counts");
        assert_eq!(least(&close, 500, 2_000), 0, "it begins too early");
        assert_eq!(least(&close, 2_000, 4_000), 0, "it ends too late");
        let gap: VecDeque<Reading> = [1_000, 1_100, 2_000, 2_100].map(|from| at(from, 700)).into();
        assert_eq!(least(&gap, 1_050, 2_050), 0, "nobody looked in the midst");
        assert_eq!(least(&gap, 2_020, 2_050), 700);
        assert_eq!(least(&VecDeque::new(), 1, 2), 0);
    }
}
