//! Queries that are not ours, and how long their answers take: in one transaction, which only reads and is
//! rolled back.

use tokio::time::Instant;

use super::answer::Keep;
use super::connection::Connection;
use super::location::Location;
use super::observe::connect_to_read;
use super::sqlite::Wanted;
use super::timeouts::Timeouts;
use crate::text::chain;

/// A connection that is good for nothing but reading.
pub(crate) struct Timed {
    connection: Connection,
    location: String,
    /// SQLite has no bound of its own: a query ends with this.
    wanted: Option<Wanted>,
}

impl Timed {
    /// Connects, and opens the transaction. The error holds no password.
    pub(crate) async fn open(location: &Location, timeouts: &Timeouts) -> Result<Self, String> {
        let mut connection =
            connect_to_read(location, timeouts).await.map_err(|error| chain(&error))?;
        let begin = match connection {
            Connection::Postgres(_) => "BEGIN READ ONLY",
            Connection::Mysql(_) => "START TRANSACTION READ ONLY",
            Connection::Sqlite(_) => "PRAGMA query_only = 1; BEGIN",
        };
        let wanted = connection.while_wanted().await;
        let location = location.redacted();
        match connection.send(begin.to_owned(), Keep::Nothing).await {
            Ok(_) => Ok(Self { connection, location, wanted }),
            Err(broken) => {
                connection.close().await;
                Err(format!("{location}: {}", broken.failure.message))
            }
        }
    }

    /// Microseconds until the whole answer was there.
    pub(crate) async fn run(&mut self, query: &str) -> Result<u64, String> {
        let began = Instant::now();
        let answered = self.connection.send(query.to_owned(), Keep::Nothing).await;
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        match answered {
            Ok(_) => Ok(took),
            Err(broken) => Err(format!("{}: {}", self.location, broken.failure.message)),
        }
    }

    /// Leaves nothing behind: the server rolls back what a closed connection had open.
    pub(crate) async fn close(self) {
        self.connection.close().await;
        drop(self.wanted);
    }
}
