//! Reads directories of migrations in the formats of other tools into one model. Pure: the only IO is
//! reading the files of the directory that was asked for.

pub mod finding;
pub mod model;
pub mod sql;

pub use finding::Finding;
pub use model::{Bundle, Digits, Format, MarkedStatement, Migration, Order, Script, Transaction};
