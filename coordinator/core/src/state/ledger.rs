//! What is in force in targets. Thousands of targets share few migrations, so that each ledger is a
//! row of small numbers.

use std::collections::BTreeMap;

use crate::ids::{Digest, Version};

/// A migration in force: its version and the SHA-256 of its up script's file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Which.
    pub version: Version,
    /// With which content.
    pub digest: Digest,
}

/// An entry's place in [`Entries`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryIx(u32);

/// All entries that any ledger has ever had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    by_ix: Vec<Entry>,
    ix: BTreeMap<Entry, EntryIx>,
}

impl Entries {
    /// The number for an entry, new or not.
    pub fn intern(&mut self, entry: &Entry) -> EntryIx {
        if let Some(&ix) = self.ix.get(entry) {
            return ix;
        }
        let ix = EntryIx(u32::try_from(self.by_ix.len()).unwrap_or(u32::MAX));
        self.by_ix.push(entry.clone());
        self.ix.insert(entry.clone(), ix);
        ix
    }

    /// The number that an entry has, if any ledger has ever had it.
    pub fn find(&self, entry: &Entry) -> Option<EntryIx> {
        self.ix.get(entry).copied()
    }

    /// The entry behind a number.
    pub fn get(&self, ix: EntryIx) -> Option<&Entry> {
        usize::try_from(ix.0).ok().and_then(|ix| self.by_ix.get(ix))
    }

    /// A whole ledger, spelled out.
    pub fn spell<'a>(&'a self, ledger: &'a [EntryIx]) -> impl Iterator<Item = &'a Entry> {
        ledger.iter().filter_map(|ix| self.get(*ix))
    }
}
