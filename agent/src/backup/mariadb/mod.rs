//! MariaDB and MySQL: `mariadb-dump --single-transaction` and the `mariadb` client.

mod dump;
mod empty;
mod restore;
mod script;

pub(super) use dump::take;
pub(super) use restore::{check, restore};

use sqlx::mysql::MySqlConnection;
use sqlx::{ConnectOptions, Connection};

use super::error::BackupError;
use super::source::Mariadb;
use super::tool::Fit;

async fn connect(place: &Mariadb) -> Result<MySqlConnection, BackupError> {
    place.options.connect().await.map_err(|error| failed("connecting", place, error))
}

/// The server's kind and major version, which its clients must not fall below.
async fn fit(connection: &mut MySqlConnection, place: &Mariadb) -> Result<Fit, BackupError> {
    let version: String = sqlx::query_scalar("SELECT VERSION()")
        .fetch_one(connection)
        .await
        .map_err(|error| failed("asking for the version", place, error))?;
    let major = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
    Ok(if version.contains("MariaDB") { Fit::Mariadb { major } } else { Fit::Mysql { major } })
}

async fn close(connection: MySqlConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "connection was not closed in order");
    }
}

fn failed(doing: &'static str, place: &Mariadb, source: sqlx::Error) -> BackupError {
    BackupError::Database { doing, target: place.to_string(), source }
}
