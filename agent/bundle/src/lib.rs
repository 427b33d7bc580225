//! Reads directories of migrations in the formats of other tools into one model. Pure: the only IO is
//! reading the files of the directory that was asked for.

mod read;

mod detect;
mod directory;
pub mod finding;
pub mod model;
mod script;
mod sidecar;

mod dbmate;
mod diesel;
mod golang_migrate;
mod goose;
mod pairs;
mod sqlx;

pub mod sql;

pub use directory::FILE_BYTES_MAX;
pub use finding::Finding;
pub use model::{Bundle, Digits, Format, MarkedStatement, Migration, Order, Script, Transaction};
pub use read::{ReadError, read};
