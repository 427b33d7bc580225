//! What can go wrong with a backup, and what to do about it.

use std::io;
use std::path::PathBuf;

use super::tool::Tool;

/// Why a backup could not be taken, checked or restored.
///
/// No variant carries a URL or a password; what a tool wrote on its error output has the password
/// struck out of it before it comes here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The address of the database cannot be used.
    #[error("the target's URL cannot be used for a backup: {what}; correct it in the agent's file")]
    Source {
        /// What is wrong with it, without the URL itself.
        what: String,
    },
    /// The address of the destination cannot be used.
    #[error("the backup destination {shown} cannot be used: {what}")]
    Destination {
        /// The destination, as it may be shown.
        shown: String,
        /// What is wrong with it, and what to change.
        what: String,
    },
    /// The name of an archive is no plain relative name.
    #[error(
        "{name:?} cannot be the name of an archive: {why}; use letters, digits, '.', '-', '_' and '/'"
    )]
    Name {
        /// The name asked for.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// The name is in use; nothing was written.
    #[error(
        "{name} is already in {destination}, and archives are never overwritten: {why}; take the backup under a new name"
    )]
    NameTaken {
        /// The destination.
        destination: String,
        /// The name asked for.
        name: String,
        /// An archive, or another writer's claim.
        why: &'static str,
    },
    /// The destination is full; what had been written was removed.
    #[error(
        "no space left in {place} while {doing}; the unfinished part was removed: free space, or choose another destination"
    )]
    NoSpace {
        /// Where the space ran out.
        place: String,
        /// What was being done.
        doing: &'static str,
    },
    /// A file could not be read or written.
    #[error("{doing} failed on {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The object store refused.
    #[error("{doing} {name} failed in {destination}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// The object's name.
        name: String,
        /// The destination.
        destination: String,
        /// The store's reason.
        source: Box<object_store::Error>,
    },
    /// The database could not be asked.
    #[error("{doing} failed on {target}")]
    Database {
        /// What was being asked.
        doing: &'static str,
        /// The database, without credentials.
        target: String,
        /// The driver's reason.
        source: sqlx::Error,
    },
    /// The SQLite file could not be read or written.
    #[error("{doing} failed on {}", path.display())]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// The database file.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// Another process holds the SQLite file.
    #[error(
        "{} stayed locked by another process for {waited_ms} ms; end its transaction and try again", path.display()
    )]
    SqliteLocked {
        /// The database file.
        path: PathBuf,
        /// How long was waited, in milliseconds.
        waited_ms: u128,
    },
    /// A client program is not there, or is too old for the server.
    #[error("{tool} for {need} was not found ({found}); install {package} on the agent's host")]
    ToolMissing {
        /// The program.
        tool: Tool,
        /// The server it must serve, such as `PostgreSQL 15 or later`.
        need: String,
        /// What there is instead.
        found: String,
        /// The Debian package that has it.
        package: String,
    },
    /// A client program could not be started.
    #[error("{} could not be started", path.display())]
    ToolNotStarted {
        /// The program.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A client program reported failure.
    #[error("{tool} failed ({status}): {said}")]
    ToolFailed {
        /// The program.
        tool: Tool,
        /// Its exit status.
        status: String,
        /// What it wrote on its error output, cut to a bound, without passwords.
        said: String,
    },
    /// The archive is not in the destination.
    #[error("{name} is not in {destination}; the backup is lost, take a new one")]
    Missing {
        /// The archive's name.
        name: String,
        /// The destination.
        destination: String,
    },
    /// The archive is longer or shorter than when it was taken.
    #[error(
        "{name} has {found} bytes, {expected} were written; it is truncated or was changed, take a new backup"
    )]
    SizeDiffers {
        /// The archive's name.
        name: String,
        /// Bytes when it was taken.
        expected: u64,
        /// Bytes now.
        found: u64,
    },
    /// The archive's bytes are not those that were written.
    #[error(
        "{name} has the digest {found}, {expected} was written; its bytes were changed, take a new backup"
    )]
    DigestDiffers {
        /// The archive's name.
        name: String,
        /// Digest when it was taken, in hexadecimal.
        expected: String,
        /// Digest now, in hexadecimal.
        found: String,
    },
    /// The bytes are those that were written, and they make no readable backup.
    #[error("{name} cannot be read as a backup: {why}; take a new one")]
    Unreadable {
        /// The archive's name.
        name: String,
        /// What was found.
        why: String,
    },
    /// A restore was asked into a database that holds something.
    #[error(
        "{target} is not empty ({found}); restore into an empty database, or ask for the replacement of this one"
    )]
    NotEmpty {
        /// The database.
        target: String,
        /// What it holds.
        found: String,
    },
    /// The archive and the database do not fit each other, or the engine cannot do it.
    #[error("{what}")]
    Unsupported {
        /// What does not fit, and what to do.
        what: String,
    },
    /// A restore failed half way on an engine that cannot undo it.
    #[error("{target} is left half restored; restore into it again before anybody uses it")]
    HalfRestored {
        /// The database.
        target: String,
        /// What stopped the restore.
        source: Box<Self>,
    },
    /// A blocking task ended without an answer.
    #[error("{doing} ended without an answer")]
    Task {
        /// What was being done.
        doing: &'static str,
        /// Panic or cancellation.
        source: tokio::task::JoinError,
    },
}

impl BackupError {
    /// An IO error, told apart when it means that the disk is full.
    pub(super) fn io(doing: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        if is_full(&source) {
            return Self::NoSpace { place: path.display().to_string(), doing };
        }
        Self::Io { doing, path: path.to_owned(), source }
    }

    /// A SQLite error, told apart when it means a full disk or a lock.
    pub(super) fn sqlite(
        doing: &'static str,
        path: &std::path::Path,
        source: rusqlite::Error,
    ) -> Self {
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => {
                Self::NoSpace { place: path.display().to_string(), doing }
            }
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                Self::SqliteLocked {
                    path: path.to_owned(),
                    waited_ms: super::sqlite::BUSY_TIMEOUT.as_millis(),
                }
            }
            _ => Self::Sqlite { doing, path: path.to_owned(), source },
        }
    }
}

/// Whether the file system refused for want of space.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
