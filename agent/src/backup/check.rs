//! The gate's check: the archive is there, whole, unchanged, and a backup.

// The engines' futures are boxed as `Send`, so that a caller may spawn what awaits them.
use futures::FutureExt;

use super::archive::{Archive, Listing};
use super::destination::Destination;
use super::error::BackupError;
use super::source::Engine;
use super::{mariadb, postgres, sqlite};

/// Reads the archive to its end: size, digest, decompression, and what the engine's own reader
/// says of it (`pg_restore --list`; the trailer that `mariadb-dump` writes last; SQLite's
/// `PRAGMA quick_check` on a temporary copy beside the archive).
///
/// # Errors
///
/// [`BackupError::Missing`], [`BackupError::SizeDiffers`], [`BackupError::DigestDiffers`] and
/// [`BackupError::Unreadable`] say that the backup is worth nothing; the others that it could not
/// be looked at.
pub async fn check(archive: &Archive, destination: &Destination) -> Result<Listing, BackupError> {
    match archive.engine {
        Engine::Postgres => postgres::check(archive, destination).boxed().await,
        Engine::Mariadb => mariadb::check(archive, destination).boxed().await,
        Engine::Sqlite => sqlite::check(archive, destination).boxed().await,
    }
}
