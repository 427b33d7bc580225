//! Which database this is, by marks that a copy does not carry, and one that it does.

use std::fmt;

/// Two targets with equal identities are one database under two names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The server: PostgreSQL's system identifier and timeline, MySQL's uuid or else
    /// MariaDB's server id with host, port and data directory, SQLite's device and inode.
    pub server: String,
    /// The database within the server, by its own number where it has one, and the schema.
    pub database: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.server, self.database)
    }
}
