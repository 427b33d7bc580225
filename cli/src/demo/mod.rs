//! The demo: a real rollout over twelve shards, with a crash, a failure, a consistent undo and a
//! resume. Every claim that it prints is checked first; a false one fails the demo.
//!
//! ```text
//!   shards    twelve SQLite files, what is in them, what it looks like as a checksum
//!   processes three coordinators and three agents: this binary, as child processes
//!   project   the migrations and the configuration that a user would write
//!   scenes    what happens, in order
//! ```

mod processes;
mod project;
mod scenes;
mod shards;

pub(crate) use scenes::play;

use std::path::PathBuf;

/// How large and how patient.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// Where everything is put.
    pub(crate) dir: PathBuf,
    /// Rows in each shard's table of users.
    pub(crate) rows: u32,
    /// The pause after each scene, so that a reader can follow.
    pub(crate) breath: std::time::Duration,
}
