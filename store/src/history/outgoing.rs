//! Sending: the frames that another node lacks.

use std::sync::Arc;

use bytes::Bytes;

use super::error::HistoryError;
use super::read::FrameReader;
use super::tree::TreeHead;
use super::{History, Mark};
use crate::types::LogId;

/// The last entry of a history and the tree as of it: where two histories are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Joint {
    /// The last entry; none when the history is empty.
    pub last: Option<LogId>,
    /// Size and root after it.
    pub head: TreeHead,
}

/// The history up to a snapshot's last entry, for sending. Holds no copy.
#[derive(Debug, Clone)]
pub struct Outgoing {
    history: Arc<History>,
    /// None: of a history without an entry.
    upto: Option<Mark>,
}

impl History {
    /// Everything so far, forced to the disk first.
    pub fn outgoing(self: &Arc<Self>) -> Result<Outgoing, HistoryError> {
        let synced = self.sync()?;
        Ok(Outgoing::new(Arc::clone(self), synced.into_mark()))
    }
}

impl Outgoing {
    pub(crate) fn new(history: Arc<History>, upto: Option<Mark>) -> Self {
        Self { history, upto }
    }

    /// What the receiver will have in the end.
    pub fn joint(&self) -> Joint {
        self.upto
            .as_ref()
            .map_or_else(Joint::default, |upto| Joint { last: Some(upto.last), head: upto.head })
    }

    /// The frames that come after `theirs`, the receiver's own [`History::joint`]. An error if this
    /// history was another one at that entry.
    pub fn frames_after(&self, theirs: &Joint) -> Result<Frames, HistoryError> {
        let upto = self.upto.as_ref().map(|upto| upto.last.index);
        let after = theirs.last.map(|last| last.index);
        let mut frames = self.history.frames_after(after);
        // A receiver that is ahead of the snapshot lacks nothing.
        let mut met = after.is_none();
        while !met && after <= upto {
            let Some(frame) = frames.next()? else { break };
            met = Some(frame.log_id.index) >= after;
            let same = Some(frame.log_id) == theirs.last && frame.head == theirs.head;
            if met && !same {
                let index = frame.log_id.index;
                return Err(HistoryError::Diverged {
                    index,
                    ours: frame.head,
                    theirs: theirs.head,
                });
            }
        }
        Ok(Frames { source: frames, upto, done: !met })
    }
}

/// Stored frames, byte for byte, in order.
#[derive(Debug)]
pub struct Frames {
    source: FrameReader,
    upto: Option<u64>,
    done: bool,
}

impl Frames {
    fn advance(&mut self) -> Result<Option<Bytes>, HistoryError> {
        let next = self.source.next_sealed()?;
        Ok(next
            .filter(|(_, frame)| Some(frame.log_id.index) <= self.upto)
            .map(|(sealed, _)| sealed))
    }
}

impl Iterator for Frames {
    type Item = Result<Bytes, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.advance().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}
