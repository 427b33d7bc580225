//! Checking a history from its files alone, with no node running.

use std::path::Path;

use super::error::HistoryError;
use super::mark::Mark;
use super::open::{Cut, Tail, Walk};
use super::tree::TreeHead;

/// A history whose every leaf and root was recomputed and found right.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Size and root.
    pub head: TreeHead,
    /// The part of it that is known to have been forced to the disk.
    pub durable: TreeHead,
    /// How many frames.
    pub frames: u64,
    /// A last frame that was never wholly written; the next start cuts it.
    pub torn: Option<Cut>,
}

/// Reads the history in `dir` without changing anything, recomputes every leaf and root, and names
/// the first place that is wrong: file, offset and event. `dir` is the `history` folder of a data
/// directory, or a copy of it; a node may run on it, what it writes meanwhile may look torn.
pub fn verify(dir: &Path) -> Result<Verified, HistoryError> {
    let mark = Mark::load(dir)?;
    let durable = mark.as_ref().map(|mark| mark.head).unwrap_or_default();
    let mut walk = Walk::new(dir, mark, Tail::Keep);
    let mut frames = 0;
    while walk.next()?.is_some() {
        frames += 1;
    }
    let (fold, torn) = walk.finish()?;
    Ok(Verified { head: fold.head(), durable, frames, torn })
}
