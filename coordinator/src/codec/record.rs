//! Entries of the replicated log: records of events, and chunks of bundles.

use bytes::Bytes;
use prost::Message as _;
use skein_core::ids::Seq;
use skein_proto::log::v1 as log;
use skein_store::{Chunk, Digest};

use super::{Malformed, required};

/// What a log entry says.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Events decided together on `base`, each as it is stored.
    Record {
        base: Seq,
        events: Vec<Bytes>,
    },
    Chunk(Chunk),
}

/// A record's bytes.
pub(crate) fn record_entry(base: Seq, events: Vec<Bytes>) -> Bytes {
    let record = log::Record { base: base.0, events };
    let entry = log::Entry { entry: Some(log::entry::Entry::Record(record)) };
    entry.encode_to_vec().into()
}

/// A chunk's bytes.
pub(crate) fn chunk_entry(chunk: Chunk) -> Bytes {
    let chunk = log::Chunk {
        digest: Bytes::copy_from_slice(&chunk.digest.0),
        offset: chunk.offset,
        total: chunk.total,
        data: chunk.bytes,
    };
    let entry = log::Entry { entry: Some(log::entry::Entry::Chunk(chunk)) };
    entry.encode_to_vec().into()
}

/// Reads an entry. The events stay the bytes that they are.
pub(crate) fn decode_entry(bytes: &Bytes) -> Result<Entry, Malformed> {
    let entry = log::Entry::decode(bytes.clone())
        .map_err(|error| Malformed::new("a log entry", format!("cannot be read: {error}")))?;
    match required(entry.entry, "a log entry's kind")? {
        log::entry::Entry::Record(record) => {
            Ok(Entry::Record { base: Seq(record.base), events: record.events })
        }
        log::entry::Entry::Chunk(chunk) => {
            let digest = super::digest(&chunk.digest, "a chunk's digest")?;
            Ok(Entry::Chunk(Chunk {
                digest: Digest(digest.0),
                offset: chunk.offset,
                total: chunk.total,
                bytes: chunk.data,
            }))
        }
    }
}
