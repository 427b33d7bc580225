//! How long a session waits, for what.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Bounds in milliseconds. The defaults stop a migration from queueing behind a long transaction
/// (and every reader behind the migration), and put no bound on a statement: index builds and
/// backfills take the time they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the server answers a new connection. Default 10 s.
    pub connect_ms: u32,
    /// For a lock on a table or row; on SQLite for the file. Default 5 s.
    pub lock_ms: u32,
    /// For one statement; 0 is no bound, and the default. SQLite has no such bound.
    pub statement_ms: u32,
    /// Between two tries for the session lock. Default 100 ms.
    pub session_lock_poll_ms: u32,
    /// For the session lock as a whole. Default 30 s.
    pub session_lock_wait_ms: u32,
    /// How often a failure that had no effect and may pass (a lock timeout, a deadlock, a refused
    /// connection) is tried again, with growing and jittered pauses. Default 4.
    pub retries_max: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_ms: 10_000,
            lock_ms: 5_000,
            statement_ms: 0,
            session_lock_poll_ms: 100,
            session_lock_wait_ms: 30_000,
            retries_max: 4,
        }
    }
}

impl Timeouts {
    /// For one question whose answer may take so long.
    pub(crate) fn within(limit: Duration) -> Self {
        let limit_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        let defaults = Self::default();
        Self {
            connect_ms: defaults.connect_ms.min(limit_ms),
            lock_ms: defaults.lock_ms.min(limit_ms),
            statement_ms: limit_ms,
            retries_max: 0,
            ..defaults
        }
    }

    pub(crate) fn connect(&self) -> Duration {
        Duration::from_millis(self.connect_ms.into())
    }

    pub(crate) fn lock(&self) -> Duration {
        Duration::from_millis(self.lock_ms.into())
    }

    pub(crate) fn session_lock_poll(&self) -> Duration {
        Duration::from_millis(self.session_lock_poll_ms.max(1).into())
    }

    pub(crate) fn session_lock_wait(&self) -> Duration {
        Duration::from_millis(self.session_lock_wait_ms.into())
    }

    /// The pauses before each further try.
    pub(crate) fn pauses(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(3))
            .with_max_times(usize::try_from(self.retries_max).unwrap_or(usize::MAX))
            .with_jitter()
            .build()
    }
}
