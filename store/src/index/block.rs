//! How events and terms are laid out in sled.

use std::collections::{BTreeMap, BTreeSet};

use prost::encoding::{decode_varint, encode_varint};

use super::failure::Failure;
use crate::history::leaf_hash;

/// Events in a block. Part of the format.
const BLOCK: u64 = 1024;
/// A longer term is replaced by its digest.
const TERM_MAX: usize = 1024;

/// The block that is being filled.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The event after the last one that was taken in.
    pub(super) end: u64,
    /// For each term of the block, its events so far.
    terms: BTreeMap<String, Vec<u64>>,
    /// Terms that have got an event since they were written.
    touched: BTreeSet<String>,
}

impl Block {
    /// The block to go on with when `upto` events are in sled: from its first event, because a
    /// block is always written whole.
    pub(super) fn of(upto: u64) -> Self {
        Self { end: upto - upto % BLOCK, ..Self::default() }
    }

    pub(super) fn add(&mut self, terms: Vec<String>, batch: &mut sled::Batch) {
        let seq = self.end;
        if seq.is_multiple_of(BLOCK) {
            self.write(batch);
            self.terms.clear();
        }
        for term in terms {
            let seqs = self.terms.entry(term.clone()).or_default();
            if seqs.last() != Some(&seq) {
                seqs.push(seq);
            }
            self.touched.insert(term);
        }
        self.end += 1;
    }

    /// Writes the terms that have changed.
    pub(super) fn write(&mut self, batch: &mut sled::Batch) {
        for term in std::mem::take(&mut self.touched) {
            let Some(seqs) = self.terms.get(&term) else { continue };
            let Some(first) = seqs.first() else { continue };
            let mut value = Vec::new();
            let mut before = first - first % BLOCK;
            for seq in seqs {
                encode_varint(seq - before, &mut value);
                before = *seq;
            }
            batch.insert(key(&term, first / BLOCK), value);
        }
    }
}

/// The events of `term` from `from` to before `to`, `limit` at most.
pub(super) fn in_sled(
    db: &sled::Db,
    term: &str,
    from: u64,
    to: u64,
    limit: usize,
) -> Result<Vec<u64>, Failure> {
    let mut seqs = Vec::new();
    for entry in db.range(key(term, from / BLOCK)..=key(term, to / BLOCK)) {
        let (key, value) = entry?;
        let Some((_, block)) = key.split_last_chunk::<8>() else { return Err(Failure::Format) };
        let mut at = u64::from_be_bytes(*block).saturating_mul(BLOCK);
        let mut value: &[u8] = &value;
        while !value.is_empty() {
            at = decode_varint(&mut value)
                .ok()
                .and_then(|step| at.checked_add(step))
                .ok_or(Failure::Format)?;
            if (from..to).contains(&at) {
                seqs.push(at);
            }
            if seqs.len() >= limit {
                return Ok(seqs);
            }
        }
    }
    Ok(seqs)
}

/// The length first, so that no term is the beginning of another's keys.
fn key(term: &str, block: u64) -> Vec<u8> {
    let digest;
    let term = if term.len() <= TERM_MAX {
        term.as_bytes()
    } else {
        digest = leaf_hash(term.as_bytes());
        digest.0.as_slice()
    };
    let len = u16::try_from(term.len()).unwrap_or(u16::MAX);
    let mut key = Vec::with_capacity(2 + term.len() + 8);
    key.extend_from_slice(&len.to_be_bytes());
    key.extend_from_slice(term);
    key.extend_from_slice(&block.to_be_bytes());
    key
}
