//! Files that were edited after they were applied, and of which somebody said that both texts count as the
//! same migration. Ledgers keep the digest of the text that ran.

use std::collections::BTreeSet;

use crate::ids::{Digest, Version};

/// What was accepted, for the whole fleet: of a version, the text that ran, and what runs of the text that
/// counts as the same. A later edit of that one's comments is no edit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted(BTreeSet<(Version, Digest, Digest)>);

impl Accepted {
    /// Whether the text that ran and the text that `normalised` stands for count as the same migration.
    pub fn allows(&self, version: &Version, ran: Digest, normalised: Digest) -> bool {
        self.0.contains(&(version.clone(), ran, normalised))
    }

    pub(crate) fn accept(&mut self, version: &Version, ran: &[Digest], normalised: Digest) {
        self.0.extend(ran.iter().map(|ran| (version.clone(), *ran, normalised)));
    }
}
