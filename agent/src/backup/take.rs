//! Takes a backup.

// The engines' futures are boxed as `Send`, so that a caller may spawn what awaits them.
use futures::FutureExt;
use tokio::time::Instant;

use super::archive::{Archive, Progress};
use super::destination::{Destination, Filled, Pending};
use super::error::BackupError;
use super::scope::Scope;
use super::source::{Place, Source};
use super::{mariadb, postgres, sqlite};

/// What to take, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The database.
    pub source: &'a Source,
    /// How much of it.
    pub scope: &'a Scope,
    /// Where the archive goes.
    pub destination: &'a Destination,
    /// Its name there, relative, never used before: `eu/orders-017/3-1842.pgdump.zst`.
    pub name: &'a str,
    /// The fingerprint of the schema as the caller has just found it; it is kept with the archive.
    pub fingerprint: [u8; 32],
}

/// Takes a backup. When it returns, the archive is durable under its name.
///
/// # Errors
///
/// [`BackupError`]. The name is free and nothing is left behind, unless the process itself died.
pub async fn take(request: &Request<'_>, progress: &Progress) -> Result<Archive, BackupError> {
    let started = Instant::now();
    let taking = Taking {
        scope: request.scope,
        destination: request.destination,
        name: request.name,
        progress,
    };
    if matches!(request.scope, Scope::Tables(tables) if tables.is_empty()) {
        return Err(BackupError::Unsupported {
            what: "a backup of tables names none; name them, or take the whole database".to_owned(),
        });
    }
    let taken = match &request.source.0 {
        Place::Postgres(place) => postgres::take(place, &taking).boxed().await,
        Place::Mariadb(place) => mariadb::take(place, &taking).boxed().await,
        Place::Sqlite(path) => sqlite::take(path, &taking).boxed().await,
    }?;
    let Taken { filled, tool, scope } = taken;
    let (sha256, bytes, bytes_dumped) = (filled.sha256, filled.bytes, filled.bytes_dumped);
    filled.publish().await?;
    Ok(Archive {
        location: request.name.to_owned(),
        sha256,
        bytes,
        bytes_dumped,
        engine: request.source.engine(),
        schema: request.source.schema().map(str::to_owned),
        scope,
        tool,
        fingerprint: request.fingerprint,
        ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// The part of a request that an engine needs beside its database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taking<'a> {
    pub(super) scope: &'a Scope,
    pub(super) destination: &'a Destination,
    pub(super) progress: &'a Progress,
    name: &'a str,
}

impl Taking<'_> {
    pub(super) async fn begin(&self) -> Result<Pending, BackupError> {
        self.destination.begin(self.name).await
    }
}

/// A dump that is written and has no name yet.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) filled: Filled,
    pub(super) tool: String,
    pub(super) scope: Scope,
}
