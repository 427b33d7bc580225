//! What is known of a backup once it has been taken, checked or restored.

use std::fmt;
use std::sync::Arc;

use super::scope::Scope;
use super::source::Engine;

/// A backup that is durable under its name. Everything a later check needs is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Name in the destination, relative to it.
    pub location: String,
    /// Digest of the stored bytes (after compression).
    pub sha256: Sha256,
    /// Stored bytes.
    pub bytes: u64,
    /// Bytes before compression.
    pub bytes_dumped: u64,
    /// The engine it came from.
    pub engine: Engine,
    /// The PostgreSQL schema it is confined to, where the target is one schema of a database.
    pub schema: Option<String>,
    /// What it really holds, which may be more than was asked (SQLite).
    pub scope: Scope,
    /// Program and version that made it, such as `pg_dump 15.18`.
    pub tool: String,
    /// The schema's fingerprint just before it was taken, as the caller found it.
    pub fingerprint: [u8; 32],
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// What a check found in a readable archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Tables in it, sorted; PostgreSQL's as `schema.table`.
    pub tables: Vec<String>,
    /// Objects in it: entries of the table of contents (PostgreSQL), tables, views and programs
    /// (MariaDB), rows of `sqlite_schema` (SQLite).
    pub entries: u64,
    /// Bytes before compression.
    pub bytes_dumped: u64,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the archive held.
    pub listing: Listing,
    /// Objects of the archive that were left out on purpose, one a line.
    pub left_out: Vec<String>,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// A SHA-256 digest, shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// How far a dump has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Bytes that the dump tool has written so far.
    pub dumped: u64,
    /// Bytes handed to the destination so far.
    pub stored: u64,
}

/// Called about every MiB with how far the dump has come, from a thread of its own: it must not
/// block.
#[derive(Clone)]
pub struct Progress(Option<Arc<dyn Fn(Moved) + Send + Sync>>);

impl Progress {
    /// Nobody looks.
    pub const fn none() -> Self {
        Self(None)
    }

    /// `look` is called with each advance.
    pub fn new(look: impl Fn(Moved) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(look)))
    }

    pub(super) fn at(&self, moved: Moved) {
        if let Some(look) = &self.0 {
            look(moved);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress(seen)" } else { "Progress(none)" })
    }
}
