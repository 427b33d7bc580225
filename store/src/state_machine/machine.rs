//! What the replicas agree on.

use bytes::Bytes;

use crate::blobs::Chunk;

/// The fold of the history, implemented by the caller. Deterministic: the same calls give the same
/// answers on every replica and at every start.
///
/// Its state is never stored. At start it is rebuilt by [`Machine::replay`] over the whole history;
/// then committed entries come one by one through [`Machine::apply`], each exactly once.
pub trait Machine: Send + Sync + 'static {
    /// Takes in a committed payload: what to store, and what to answer.
    ///
    /// By the time this returns, the machine's own state has the events in it; they are stored
    /// right after, and `replay` is not called for them.
    ///
    /// # Errors
    /// A [`Halt`] stops the node for good: it can no longer answer as the other replicas do.
    fn apply(&self, index: u64, payload: &Bytes) -> Result<Applied, Halt>;

    /// Takes in events that an earlier [`Machine::apply`], here or on another replica, gave out:
    /// in order, one call for the events of each entry that had any.
    ///
    /// # Errors
    /// As for [`Machine::apply`].
    fn replay(&self, first_seq: u64, events: &[Bytes]) -> Result<(), Halt>;
}

/// What an entry came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// For the history, as they are to be hashed and kept.
    pub events: Vec<Bytes>,
    /// For the blob store.
    pub chunk: Option<Chunk>,
    /// For whoever wrote the entry.
    pub response: Bytes,
}

/// The node must stop: whatever it answered next could differ from the other replicas.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the node stops: {reason}")]
pub struct Halt {
    /// What could not be done, where, and what to do about it.
    pub reason: String,
}

impl Halt {
    /// A halt for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}
