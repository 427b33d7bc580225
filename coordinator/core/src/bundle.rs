//! A bundle as the coordinator knows it: everything but the SQL.

use crate::ids::{Digest, Version};
use crate::spec::{Engine, Lock, TransactionMode};

/// The contents of a bundle, in the order in which its migrations are applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// SHA-256 of the bundle's bytes.
    pub digest: Digest,
    /// The on-disk format it was read from.
    pub format: String,
    /// In apply order; versions are unique.
    pub migrations: Vec<Migration>,
}

/// One migration, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Unique in its bundle.
    pub version: Version,
    /// For people.
    pub name: String,
    /// The change.
    pub up: Script,
    /// What undoes it, where the author wrote that.
    pub down: Option<Script>,
    /// Whether the author wrote a verification.
    pub verify: bool,
    /// Whether the author wrote a probe.
    pub probe: bool,
}

/// One script, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Path inside the bundle's directory.
    pub file: String,
    /// SHA-256 of the file.
    pub raw: Digest,
    /// SHA-256 of what runs: comments and white space left out.
    pub normalised: Digest,
    /// What its reader found, engine by engine.
    pub facts: Vec<Facts>,
}

/// What is known of a script on one engine without running it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// On which engine.
    pub engine: Engine,
    /// How it runs there.
    pub mode: TransactionMode,
    /// Why not in one transaction; empty where it does.
    pub why: String,
    /// Locks that its statements take, where that is known.
    pub locks: Vec<Lock>,
    /// Data or schema is lost by running it.
    pub destructive: bool,
    /// Why it cannot run there; empty where it can.
    pub refusal: String,
    /// Statements in it.
    pub statements: u32,
    /// It changes the schema, so that a schema tells whether it is in force. `None`: its reader, of an earlier
    /// release, did not say.
    pub defines: Option<bool>,
    /// Its words that may be names of tables, as numbers, in their order. `None`: nobody has looked for them, or it
    /// has too many.
    pub words: Option<Box<[u32]>>,
}

impl Script {
    /// What is known of this script on `engine`.
    pub fn facts(&self, engine: Engine) -> Option<&Facts> {
        self.facts.iter().find(|facts| facts.engine == engine)
    }
}

impl Manifest {
    /// Where a version stands in the bundle.
    pub fn position(&self, version: &Version) -> Option<usize> {
        self.migrations.iter().position(|migration| migration.version == *version)
    }
}
