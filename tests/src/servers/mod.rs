//! Real database servers, private to whoever starts them.
//!
//! ```text
//! provision   finds the programs, or installs or unpacks them
//! home        a 0700 directory under a short path, owned by the account the server runs as
//! postgres    initdb  → serve on a unix socket → kill9 / restart / stop
//! mariadb     install → the same
//! etcd        a cluster on loopback ports, for benchmarks
//! record      what is written down of a server that outlives its starter
//! ```
//!
//! No database listens on the network (but a MariaDB that replicates, on loopback), nothing is shared with a server the machine may already run,
//! and only processes started here are ever signalled.

pub mod account;
pub mod etcd;
mod home;
pub mod mariadb;
pub mod postgres;
mod process;
pub mod provision;
pub mod record;
pub mod wait;

pub use home::{HOMES, homes};
pub use process::Lifetime;

/// How a server is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Whether commits wait for the disk. Off, a killed server still loses nothing, because the
    /// kernel keeps what it was given; a killed machine does.
    pub fsync: bool,
    /// Whether the server ends with the program that started it.
    pub lifetime: Lifetime,
}
