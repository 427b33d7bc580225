//! A make-believe database: its ledger, fence, intent and session lock, and what its scripts do.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::ids::{Digest, Fence, TargetId, Version};
use skein_core::spec::{Direction, Engine};
use skein_core::state::ledger::Entry;

use crate::observation;

/// A step that was begun statement by statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Whose.
    pub entry: Entry,
    /// Which script.
    pub script: Direction,
    /// Statements in force; a script has two. Of one in batches: keys that are done.
    pub done: u32,
    /// Under which fence it was begun.
    pub fence: Fence,
}

/// Who holds the session lock: an agent, in one of its lives, under a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its place among the agents.
    pub agent: usize,
    /// How often it was started before.
    pub life: u32,
    /// Under which fence.
    pub fence: Fence,
}

/// How a script fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poison {
    /// So often.
    pub times: u32,
    /// It may pass by itself.
    pub retryable: bool,
    /// Behind its first statement, where there is no transaction.
    pub half: bool,
    /// It works, and its verification fails.
    pub verification: bool,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Database {
    /// The target's id.
    pub id: TargetId,
    /// Statement by statement on MariaDB/MySQL, else in one transaction.
    pub engine: Engine,
    /// As its agents describe it.
    pub labels: BTreeMap<String, String>,
    /// Server and database.
    pub identity: String,
    /// The fence row.
    pub fence: Fence,
    /// What is in force, in the order applied.
    pub ledger: Vec<Entry>,
    /// The intent row.
    pub intent: Option<Intent>,
    /// The session lock.
    pub lock: Option<Holder>,
    /// Scripts that fail.
    pub poison: BTreeMap<(Version, bool), Poison>,
    /// Nobody reaches it until then.
    pub down_until: u64,
    /// How often its schema was changed by hand.
    pub by_hand: u32,
    /// In force, and not in the ledger: somebody ran them by hand, or took their rows away.
    pub unrecorded: BTreeSet<Version>,
    /// In the ledger, and not in force: somebody undid them by hand.
    pub undone: BTreeSet<Version>,
    /// It was put back to an earlier state, or its ledger was changed by somebody.
    pub restored: bool,
}

impl Database {
    /// Whether DDL runs outside of transactions.
    pub fn by_statements(&self) -> bool {
        match self.engine {
            Engine::Mysql => true,
            Engine::Postgres | Engine::Sqlite => false,
        }
    }

    /// As somebody who looks at it finds it.
    pub fn found(&self) -> observation::Database {
        let open = self.intent.as_ref().filter(|intent| intent.done > 0);
        observation::Database {
            target: self.id.clone(),
            ledger: self.ledger.clone(),
            fence: self.fence,
            open_intent: open.map(|intent| intent.entry.version.to_string()),
        }
    }

    /// The schema: what the scripts in force make it, and what was changed by hand.
    pub fn schema(&self) -> String {
        let half = self.intent.iter().filter(|intent| intent.done > 0).map(|intent| &intent.entry);
        // The order in which they were applied does not show in a schema.
        let rows = self.ledger.iter().chain(half).map(|entry| &entry.version);
        let mut versions: Vec<&str> = rows
            .chain(&self.unrecorded)
            .filter(|version| !self.undone.contains(*version))
            .map(Version::as_str)
            .collect();
        versions.sort_unstable();
        versions.dedup();
        let mut text = String::with_capacity(64);
        for version in versions {
            text.push('+');
            text.push_str(version);
        }
        if self.by_hand > 0 {
            text.push('~');
            text.push_str(&self.by_hand.to_string());
        }
        text
    }

    /// Of the schema.
    pub fn fingerprint(&self) -> Digest {
        digest(&self.schema())
    }

    /// Whether a version is in force, whatever the ledger says.
    pub fn has(&self, version: &Version) -> bool {
        let row = self.ledger.iter().any(|entry| entry.version == *version);
        (row || self.unrecorded.contains(version)) && !self.undone.contains(version)
    }

    /// A ledger row, written or taken away without running anything.
    pub fn mend(&mut self, entry: &Entry, direction: Direction) {
        let is_in_force = self.has(&entry.version);
        self.record(entry, direction);
        match (direction, is_in_force) {
            (Direction::Down, true) => drop(self.unrecorded.insert(entry.version.clone())),
            (Direction::Up, false) => drop(self.undone.insert(entry.version.clone())),
            (Direction::Up | Direction::Down | Direction::Validate, _) => {}
        }
    }

    /// A script's ledger row, written or taken away.
    pub fn record(&mut self, entry: &Entry, script: Direction) {
        self.unrecorded.remove(&entry.version);
        self.undone.remove(&entry.version);
        match script {
            Direction::Up => self.ledger.push(entry.clone()),
            Direction::Down => {
                self.ledger.retain(|other| other.version != entry.version);
            }
            Direction::Validate => {}
        }
        self.intent = None;
    }

    /// The failure that a script has in stock, used up by one.
    pub fn fails(&mut self, version: &Version, script: Direction) -> Option<Poison> {
        let poison = self.poison.get_mut(&(version.clone(), script == Direction::Down))?;
        poison.times = poison.times.checked_sub(1)?;
        Some(*poison)
    }
}

/// A digest of a text, as the golden scripts of the core make it; not SHA-256, and no matter.
pub(crate) fn digest(text: &str) -> Digest {
    let mut bytes = [0_u8; 32];
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for chunk in bytes.chunks_mut(8) {
        for byte in text.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        chunk.copy_from_slice(&hash.to_be_bytes());
    }
    Digest(bytes)
}
