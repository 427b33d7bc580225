//! SQLite: transactional throughout; other agents are kept out by a lock file beside the database.

mod connect;
mod failure;
mod journal;
mod lock_file;
mod observe;
mod schema;
mod tables;

pub(super) use connect::{SqliteConnection, Wanted};
