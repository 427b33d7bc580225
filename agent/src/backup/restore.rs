//! Puts an archive back.

// The engines' futures are boxed as `Send`, so that a caller may spawn what awaits them.
use futures::FutureExt;
use tokio::time::Instant;

use super::archive::{Archive, Listing, Restored};
use super::destination::Destination;
use super::error::BackupError;
use super::source::{Place, Source};
use super::{mariadb, postgres, sqlite};

/// What the database may hold before, and what becomes of the tables named `_skein_…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The database is empty and gets everything in the archive, the ledger too: the full check of
    /// a backup on a scratch database, or a copy.
    Empty,
    /// The database is empty and gets everything but the ledger.
    EmptyWithoutLedger,
    /// What is there is replaced: **every write since the backup is lost**. The ledger's tables
    /// stay as they are, and those in the archive are left out. An archive of tables replaces
    /// these tables only.
    Replace,
}

/// Checks the archive, then restores it.
///
/// PostgreSQL and SQLite change in one transaction: after an error the database is as it was.
/// MariaDB commits as it goes, and [`BackupError::HalfRestored`] says when it stopped half way.
///
/// # Errors
///
/// [`BackupError`].
pub async fn restore(
    archive: &Archive,
    destination: &Destination,
    into: &Source,
    mode: Mode,
) -> Result<Restored, BackupError> {
    let started = Instant::now();
    if archive.engine != into.engine() {
        return Err(BackupError::Unsupported {
            what: format!(
                "{} is a backup of {}, and {into} is {}; name a database of the same engine",
                archive.location,
                archive.engine,
                into.engine()
            ),
        });
    }
    let put = match &into.0 {
        Place::Postgres(place) => {
            postgres::restore(archive, destination, place, mode).boxed().await
        }
        Place::Mariadb(place) => mariadb::restore(archive, destination, place, mode).boxed().await,
        Place::Sqlite(path) => sqlite::restore(archive, destination, path, mode).boxed().await,
    }?;
    Ok(Restored {
        listing: put.listing,
        left_out: put.left_out,
        ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// What an engine reports of a restore.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) listing: Listing,
    pub(super) left_out: Vec<String>,
}
