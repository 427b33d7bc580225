//! A make-believe database: its ledger, fence, intent and session lock, and what its scripts do.

use std::collections::BTreeMap;

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
    /// Statements in force; a script has two.
    pub done: u32,
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

    /// Of the schema: what the scripts in force make it.
    pub fn fingerprint(&self) -> Digest {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let half = self.intent.iter().filter(|intent| intent.done > 0).map(|intent| &intent.entry);
        // The order in which they were applied does not show in a schema.
        let mut versions: Vec<&Entry> = self.ledger.iter().chain(half).collect();
        versions.sort_unstable();
        for byte in versions.iter().flat_map(|entry| entry.version.as_str().bytes().chain([b'/'])) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&hash.to_be_bytes());
        bytes[8] = 1;
        Digest(bytes)
    }

    /// A script's ledger row, written or taken away.
    pub fn record(&mut self, entry: &Entry, script: Direction) {
        match script {
            Direction::Up => self.ledger.push(entry.clone()),
            Direction::Down => {
                if let Some(place) = self.ledger.iter().rposition(|other| other == entry) {
                    self.ledger.remove(place);
                }
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
