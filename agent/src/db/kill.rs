//! Killing the statement that runs in a session, from outside of it: its session goes on, and says what stands.
//!
//! ```text
//! PostgreSQL   pg_cancel_backend, over a connection of its own
//! MariaDB      KILL QUERY, likewise
//! SQLite       the progress handler of the connection ends the statement
//! ```
//! What must hold: one statement is killed and no more, so that what the session does afterwards to roll back,
//! and to see what stands, is not killed, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

/// A wish that the statement that runs on a SQLite connection be ended. Taken up once.
#[derive(Debug, Clone, Default)]
pub(in crate::db) struct Wish(Arc<AtomicBool>);

impl Wish {
    /// Asked by the connection between operations: whether it is to go on.
    pub(in crate::db) fn goes_on(&self) -> bool {
        !self.0.swap(false, Ordering::AcqRel)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was taken up.
    fn is_met(&self) -> bool {
        !self.0.load(Ordering::Acquire)
    }

    /// Nobody wishes it any more.
    fn forget(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// How the statement of one session is killed.
#[derive(Debug)]
pub(crate) struct Killer(How);

#[derive(Debug)]
pub(in crate::db) enum How {
    Postgres { options: PgConnectOptions, pid: String },
    Mysql { options: MySqlConnectOptions, number: String },
    Sqlite { wish: Wish, asked: bool },
}

impl Killer {
    pub(in crate::db) fn new(how: How) -> Self {
        Self(how)
    }

    /// Kills the statement that runs now. Whether there was one; a second call kills nothing that came after it.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub(crate) async fn kill(&mut self) -> Result<bool, sqlx::Error> {
        match &mut self.0 {
            How::Postgres { options, pid } => {
                let mut connection = options.connect().await?;
                // A session between two statements has nothing to be killed.
                let sql = format!(
                    "SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity \
                     WHERE pid = {pid} AND state = 'active';"
                );
                let killed =
                    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_optional(&mut connection).await;
                connection.close().await?;
                Ok(killed?.is_some_and(|row| row.try_get_unchecked::<bool, _>(0).unwrap_or(false)))
            }
            How::Mysql { options, number } => {
                let mut connection = options.connect().await?;
                let killed = kill_query(&mut connection, number).await;
                connection.close().await?;
                killed
            }
            How::Sqlite { wish, asked } => {
                let met = *asked && wish.is_met();
                if !*asked {
                    wish.set();
                    *asked = true;
                }
                Ok(met)
            }
        }
    }

    /// Nothing is to be killed any more.
    pub(crate) fn forget(&self) {
        if let How::Sqlite { wish, .. } = &self.0 {
            wish.forget();
        }
    }
}

async fn kill_query(
    connection: &mut sqlx::MySqlConnection,
    number: &str,
) -> Result<bool, sqlx::Error> {
    let sql = format!(
        "SELECT 1 FROM information_schema.processlist WHERE id = {number} AND command = 'Query';"
    );
    let runs = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_optional(&mut *connection).await?;
    if runs.is_none() {
        return Ok(false);
    }
    let sql = format!("KILL QUERY {number};");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::{How, Killer, Wish};

    #[tokio::test]
    async fn a_wish_is_taken_up_once() {
        let wish = Wish::default();
        let mut killer = Killer::new(How::Sqlite { wish: wish.clone(), asked: false });
        assert!(wish.goes_on());
        assert_eq!(killer.kill().await.ok(), Some(false));
        assert!(!wish.goes_on() && wish.goes_on());
        assert_eq!(killer.kill().await.ok(), Some(true));
        assert!(wish.goes_on());
    }
}
