//! What a writer has said to be durable.

use std::collections::BTreeMap;

/// The promises of all rounds so far over one directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promised {
    /// The last entry of the log.
    pub logged: u64,
    /// The term of the vote.
    pub voted: u64,
    /// The entry up to which the log was purged.
    pub purged: u64,
    /// Roots by the size of the history that was forced to the disk.
    pub synced: BTreeMap<u64, String>,
    /// The same of the follower, which gets its history by snapshots.
    pub installed: BTreeMap<u64, String>,
    /// The last entry whose blob was whole when it was applied and forced to the disk.
    pub blobs: u64,
    /// How many promises that were.
    pub count: u64,
}

impl Promised {
    /// Takes in a line of the writer's; whether it was a promise. The last line of a killed one may be
    /// half, so a promise ends in a full stop.
    pub fn learn(&mut self, line: &str) -> bool {
        let Some(line) = line.strip_prefix("@ ").and_then(|line| line.strip_suffix('.')) else {
            return false;
        };
        let words: Vec<&str> = line.split(' ').collect();
        let learnt = match words.as_slice() {
            ["logged", index] => index.parse().map(|index| self.logged = index).is_ok(),
            ["voted", term] => term.parse().map(|term| self.voted = term).is_ok(),
            ["purged", index] => index.parse().map(|index| self.purged = index).is_ok(),
            ["blobs", index] => index.parse().map(|index| self.blobs = index).is_ok(),
            ["synced", size, root] => {
                size.parse().map(|size| self.synced.insert(size, (*root).to_owned())).is_ok()
            }
            ["installed", size, root] => {
                size.parse().map(|size| self.installed.insert(size, (*root).to_owned())).is_ok()
            }
            _ => false,
        };
        self.count += u64::from(learnt);
        learnt
    }
}
