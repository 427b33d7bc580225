//! PostgreSQL: `pg_dump --format=custom`, `pg_restore`, `psql`.

mod dump;
mod empty;
mod listing;
mod restore;

pub(super) use dump::take;
pub(super) use listing::check;
pub(super) use restore::restore;

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};

use super::error::BackupError;
use super::source::Postgres;
use super::tool::Fit;

async fn connect(place: &Postgres) -> Result<PgConnection, BackupError> {
    place.options.connect().await.map_err(|error| failed("connecting", place, error))
}

/// The server's major version, which its clients must not fall below.
async fn fit(connection: &mut PgConnection, place: &Postgres) -> Result<Fit, BackupError> {
    let number: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(connection)
        .await
        .map_err(|error| failed("asking for the version", place, error))?;
    Ok(Fit::Postgres { major: u32::try_from(number / 10_000).unwrap_or_default() })
}

async fn close(connection: PgConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "connection was not closed in order");
    }
}

fn failed(doing: &'static str, place: &Postgres, source: sqlx::Error) -> BackupError {
    BackupError::Database { doing, target: place.to_string(), source }
}
