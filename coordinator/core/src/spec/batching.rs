//! How statements in batches are gone over.

/// Keys in one batch, at most.
const SIZE_MAX: u64 = 1_000_000;
/// The longest pause between two batches, milliseconds.
const PAUSE_MAX_MS: u64 = 3_600_000;

/// Where batches are not gone over as their author wrote it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Batching {
    /// Keys in one batch; zero: as the file says.
    pub size: u64,
    /// From the end of one batch to the beginning of the next, milliseconds.
    pub pause_ms: u64,
}

impl Batching {
    /// What is wrong with it.
    pub fn wrong(&self) -> Option<String> {
        if self.size > SIZE_MAX {
            return Some(format!("a batch of {} keys is larger than {SIZE_MAX}", self.size));
        }
        (self.pause_ms > PAUSE_MAX_MS).then(|| {
            format!("a pause of {} ms between two batches is longer than an hour", self.pause_ms)
        })
    }
}
