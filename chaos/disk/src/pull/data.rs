//! Bytes: undone, the last first, and done again block by block.
//!
//! A block has a first part of its changes, in order; so has the file's length. A truncation comes with
//! the length, since both are one change of the inode.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::Outcome;
use crate::dice::Dice;
use crate::journal::Record;

/// What a disk writes whole or not at all, in bytes.
const BLOCK: u64 = 512;

/// A write or a truncation that is not durable.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// Where it starts.
    offset: u64,
    /// The file's length before and after.
    size: u64,
    size_after: u64,
    old: Vec<u8>,
    /// The bytes written; a truncation writes none.
    new: Option<Vec<u8>>,
    /// Whether an fsync that stood for it failed: no later one makes it durable.
    pub(super) doomed: bool,
    /// Whether it is on the disk. It is here because it came after one that is doomed, and that is undone
    /// and done again before it.
    pub(super) durable: bool,
}

/// An fsync has succeeded: what came before `upto` is on the disk, but for what is doomed.
pub(super) fn synced(changes: &mut Vec<(u64, Change)>, upto: u64) {
    for (_, change) in changes.iter_mut().filter(|(at, _)| *at < upto) {
        change.durable = !change.doomed;
    }
    let first = changes.iter().position(|(_, change)| !change.durable).unwrap_or(changes.len());
    changes.drain(..first);
}

impl Change {
    /// The change that a record tells of, of which so much was done.
    pub(super) fn of(record: Record, took: Option<u64>) -> Option<Self> {
        match record {
            Record::Write { offset, size, mut old, mut new, .. } => {
                if let Some(took) = took {
                    new.truncate(usize::try_from(took).ok()?);
                    old.truncate(new.len());
                }
                let end = offset + len(&new);
                let size_after = size.max(end);
                let whole = Self {
                    offset,
                    size,
                    size_after,
                    old,
                    new: Some(new),
                    doomed: false,
                    durable: false,
                };
                Some(whole).filter(|_| took != Some(0))
            }
            Record::Truncate { size, to, cut, .. } => {
                let whole = Self {
                    offset: to,
                    size,
                    size_after: to,
                    old: cut,
                    new: None,
                    doomed: false,
                    durable: false,
                };
                Some(whole).filter(|_| took.is_none())
            }
            Record::Took { .. }
            | Record::Synced { .. }
            | Record::SyncFailed { .. }
            | Record::AllSynced { .. }
            | Record::Name { .. }
            | Record::Unlink { .. }
            | Record::Rename { .. }
            | Record::Fault(_) => None,
        }
    }

    /// The blocks it changes, first and one past the last.
    fn blocks(&self) -> std::ops::Range<u64> {
        let end = match &self.new {
            Some(new) => self.offset + len(new),
            None => self.size.max(self.offset),
        };
        self.offset / BLOCK..end.div_ceil(BLOCK)
    }

    fn undo(&self, file: &File) -> io::Result<()> {
        file.set_len(self.size)?;
        file.write_all_at(&self.old, self.offset)
    }

    /// Does again what falls into `block`.
    fn redo(&self, file: &File, block: u64) -> io::Result<()> {
        let from = self.offset.max(block * BLOCK);
        let until = (block + 1) * BLOCK;
        let zeros;
        let bytes = if let Some(new) = &self.new {
            let start = usize::try_from(from - self.offset).map_err(io::Error::other)?;
            let end = usize::try_from(until - self.offset).map_err(io::Error::other)?;
            new.get(start..end.min(new.len())).unwrap_or_default()
        } else {
            let there = file.metadata()?.len().min(until).saturating_sub(from);
            zeros = vec![0; usize::try_from(there).map_err(io::Error::other)?];
            &zeros
        };
        file.write_all_at(bytes, from)
    }
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// How a file's changes reach the disk.
enum Style {
    /// In order, up to one moment; the block at which it stopped is chance.
    Moment,
    /// Each block, and the length, when it likes.
    Blocks,
    /// Not at all.
    Nothing,
}

pub(super) fn settle(
    file: &File,
    changes: &[(u64, Change)],
    dice: &mut Dice,
    outcome: &mut Outcome,
) -> io::Result<()> {
    for (_, change) in changes.iter().rev() {
        change.undo(file)?;
    }
    let count = len_of(changes);
    let style = match dice.below(8) {
        0 | 1 => Style::Nothing,
        2..=4 => Style::Moment,
        _ => Style::Blocks,
    };
    let moment = dice.below(count + 1);
    // How many of the changes the file's length has seen.
    let lengths = match style {
        Style::Nothing => 0,
        Style::Moment => (moment + dice.below(2)).min(count),
        Style::Blocks => dice.below(count + 1),
    };
    // How many of its changes, in order, each block has got.
    let mut upto: BTreeMap<u64, u64> = BTreeMap::new();
    // From this block on stand the old blocks, since a truncation that freed them is not there.
    let mut freed = u64::MAX;
    let mut size = changes.first().map_or(0, |(_, change)| change.size);
    for (place, (_, change)) in (0_u64..).zip(changes) {
        let blocks = change.blocks();
        let total = blocks.end.saturating_sub(blocks.start);
        let seen = change.durable || place < lengths;
        let mut done = 0;
        for block in blocks {
            let kept = match style {
                _ if change.durable => true,
                _ if change.new.is_none() => seen,
                _ if block >= freed => false,
                Style::Nothing => false,
                Style::Moment if place == moment => dice.one_in(2),
                Style::Moment => place < moment,
                Style::Blocks => {
                    place < *upto.entry(block).or_insert_with(|| dice.below(count + 1))
                }
            };
            if kept {
                change.redo(file, block)?;
                done += 1;
            }
        }
        if seen {
            size = change.size_after;
        } else if change.new.is_none() {
            freed = freed.min(change.offset / BLOCK);
        }
        if change.durable {
            continue;
        }
        outcome.writes += 1;
        outcome.dropped += u64::from(done == 0);
        outcome.torn += u64::from(done > 0 && done < total);
    }
    file.set_len(size)
}

fn len_of(changes: &[(u64, Change)]) -> u64 {
    u64::try_from(changes.len()).unwrap_or(u64::MAX)
}
