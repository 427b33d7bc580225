//! What the writer writes, and the machine that takes it in.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use skein_store::{
    Applied, Chunk, Digest, Entry, EntryPayload, Halt, Identity, Machine, OpenError, Payload,
    Store, log_id,
};

/// Every so many entries one brings half of a blob.
pub const BLOB_EVERY: u64 = 11;

/// Keeps every event, and takes a payload as one event.
#[derive(Debug, Default)]
pub struct Recorder {
    events: Mutex<Vec<Bytes>>,
}

impl Recorder {
    /// All events, in order.
    pub fn events(&self) -> Vec<Bytes> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Machine for Recorder {
    fn apply(&self, index: u64, payload: &Bytes) -> Result<Applied, Halt> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(payload.clone());
        let chunk = index.is_multiple_of(BLOB_EVERY).then(|| chunk(index));
        Ok(Applied { events: vec![payload.clone()], chunk, response: Bytes::new() })
    }

    fn replay(&self, first_seq: u64, events: &[Bytes]) -> Result<(), Halt> {
        let mut have = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if u64::try_from(have.len()) != Ok(first_seq) {
            let len = have.len();
            return Err(Halt::new(format!("event {first_seq} was replayed after {len} events")));
        }
        have.extend_from_slice(events);
        Ok(())
    }
}

/// Entry `index`, whose length and content follow from its number.
pub fn entry(index: u64) -> Entry {
    let len = usize::try_from(index.wrapping_mul(2_654_435_761) % 3_000).unwrap_or_default();
    let text = format!("{index} {}", "x".repeat(len));
    Entry { log_id: log_id(1, index), payload: EntryPayload::Normal(Payload(text.into())) }
}

/// The event that entry `index` makes.
pub fn event(index: u64) -> Option<Bytes> {
    match entry(index).payload {
        EntryPayload::Normal(Payload(bytes)) => Some(bytes),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    }
}

/// Blob `number`, which two entries bring.
pub fn blob(number: u64) -> Bytes {
    let len = usize::try_from(2 + number.wrapping_mul(40_503) % 5_000).unwrap_or_default();
    let mut bytes = format!("blob {number} ").into_bytes();
    bytes.resize(bytes.len() + len, b'b');
    bytes.into()
}

/// Which blob entry `index` brings half of, and whether it is the second half.
pub fn half(index: u64) -> (u64, bool) {
    let turn = index / BLOB_EVERY;
    (turn.div_ceil(2), turn.is_multiple_of(2))
}

fn chunk(index: u64) -> Chunk {
    let (number, second) = half(index);
    let mut first = blob(number);
    let digest = Digest::of(&first);
    let total = u64::try_from(first.len()).unwrap_or(u64::MAX);
    let rest = first.split_off(first.len() / 2);
    let offset = if second { total - u64::try_from(rest.len()).unwrap_or(0) } else { 0 };
    Chunk { digest, offset, total, bytes: if second { rest } else { first } }
}

/// The words of an event are its terms.
fn words(event: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(event).split_whitespace().take(1).map(str::to_owned).collect()
}

/// The store in `dir`, as node `node` of the writer's cluster.
pub fn open(dir: &std::path::Path, node: u64) -> Result<Store<Recorder>, OpenError> {
    let identity = Identity { cluster: b"a writer and its follower".to_vec(), node };
    Store::open(dir, &identity, Arc::new(Recorder::default()), words)
}

/// An error with everything that led to it, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
