//! The Raft log: entries, vote, committed mark and purge mark in one first-in-first-out file.
//!
//! One queue, because a vote that overtakes an entry on its way to the disk loses committed data.
//! [`records`] says what is in the file, [`store`] writes it, [`reader`] reads it.

mod reader;
mod records;
mod recover;
mod rewrite;
mod store;

pub use reader::LogReader;
pub use store::{LogStore, OpenLogError};
