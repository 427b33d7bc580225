//! Backups: the gate before a leg's first step, and the way back.
//!
//! ```text
//! take      database → dump tool → zstd → SHA-256 → destination, under a name that is new
//! check     destination → SHA-256 → zstd → the engine's own reader, to the end
//! restore   check → … → an empty database, or in the place of what is there
//! ```
//!
//! What holds:
//!
//! * When [`take`] returns, the archive is durable and complete under its name; before, nothing
//!   has that name. A name is written once.
//! * [`check`] passes only for the bytes that [`take`] wrote, readable to their end.
//! * [`restore`] puts nothing into a database that is not empty unless replacement is asked for,
//!   and then leaves the tables named `_skein_…` as they are: the ledger is not rewound.
//! * A dropped future ends its child processes and leaves no half archive.
//! * Passwords are on no command line, in no error and in no `Debug`.
//!
//! An archive is the tool's own format inside one zstd frame, so that `zstd` with `pg_restore`,
//! `mariadb` or `sqlite3` restores it without Skein.

mod archive;
mod check;
mod child;
mod credentials;
mod destination;
mod error;
mod local;
mod mariadb;
mod postgres;
mod remote;
mod restore;
mod scope;
mod source;
mod sqlite;
mod stream;
mod take;
mod tool;

pub use archive::{Archive, Listing, Moved, Progress, Restored, Sha256};
pub use check::check;
pub use destination::Destination;
pub use error::BackupError;
pub use restore::{Mode, restore};
pub use scope::{Scope, Table};
pub use source::{Engine, Source};
pub use take::{Request, take};
pub use tool::Tool;
