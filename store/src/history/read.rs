//! Reading events back.

use bytes::Bytes;

use super::error::HistoryError;
use super::frame::Frame;
use super::segment::FIRST_FRAME;
use super::tree::{Hash, Tree, TreeHead, leaf_hash};
use super::{History, Part, State};

/// An event as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its sequence number; the first event ever has 0.
    pub seq: u64,
    /// The log entry that brought it.
    pub index: u64,
    /// Its bytes, exactly as they were hashed.
    pub bytes: Bytes,
}

/// Proof that an event is in the tree of `head`; check it with [`super::verify_inclusion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// The event.
    pub seq: u64,
    /// The tree it is in.
    pub head: TreeHead,
    /// The sibling hashes, from the leaf up.
    pub path: Vec<Hash>,
}

/// Frames in order, up to where the history ended when the reader was made.
#[derive(Debug)]
pub(super) struct FrameReader {
    parts: std::vec::IntoIter<Part>,
    part: Option<Part>,
    offset: u64,
}

impl FrameReader {
    /// From the last known place at which `before` still holds, so the frame looked for comes at or
    /// after the reader's start.
    fn starting(state: &State, before: impl Fn(&super::Place) -> bool) -> Self {
        let known = state.places.partition_point(before);
        let place = known.checked_sub(1).and_then(|at| state.places.get(at));
        let (part, offset) = place.map_or((0, FIRST_FRAME), |place| (place.part, place.offset));
        let mut parts = state.segments.get(part..).unwrap_or_default().to_vec().into_iter();
        let part = parts.next();
        Self { parts, part, offset }
    }

    /// Where the next frame is, and the end of its file.
    fn place(&mut self) -> Option<(Part, u64)> {
        loop {
            let part = self.part.as_ref()?;
            if self.offset < part.len {
                return Some((part.clone(), self.offset));
            }
            self.part = self.parts.next();
            self.offset = FIRST_FRAME;
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Frame>, HistoryError> {
        Ok(self.next_sealed()?.map(|(_, frame)| frame))
    }

    /// The next frame as it is stored, with its meaning.
    pub(super) fn next_sealed(&mut self) -> Result<Option<(Bytes, Frame)>, HistoryError> {
        let Some((part, offset)) = self.place() else { return Ok(None) };
        let (sealed, frame) = part.segment.read(offset, part.len)?;
        self.offset = offset + u64::try_from(sealed.len()).unwrap_or(u64::MAX);
        Ok(Some((sealed, frame)))
    }
}

/// The events from some sequence number on. Ends where the history ended when it was made.
#[derive(Debug)]
pub struct Events {
    frames: FrameReader,
    from: u64,
    frame: Option<Frame>,
    failed: bool,
}

impl Events {
    fn advance(&mut self) -> Result<Option<Event>, HistoryError> {
        loop {
            if let Some(frame) = &self.frame {
                let first = frame.first_seq();
                let at = usize::try_from(self.from.saturating_sub(first)).unwrap_or(usize::MAX);
                if let Some(bytes) = frame.events.get(at) {
                    let event =
                        Event { seq: self.from, index: frame.log_id.index, bytes: bytes.clone() };
                    self.from += 1;
                    return Ok(Some(event));
                }
            }
            self.frame = self.frames.next()?;
            if self.frame.is_none() {
                return Ok(None);
            }
        }
    }
}

impl Iterator for Events {
    type Item = Result<Event, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.advance().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

impl History {
    /// The events from sequence number `from` on. Reads the files as it goes, without the lock.
    pub fn events(&self, from: u64) -> Events {
        let frames = FrameReader::starting(&self.lock(), |place| place.seq <= from);
        Events { frames, from, frame: None, failed: false }
    }

    /// Hands the events from `from` on to `replay`, one call for each entry that brought some.
    pub(crate) fn replay(
        &self,
        from: u64,
        mut replay: impl FnMut(u64, &[Bytes]) -> Result<(), crate::Halt>,
    ) -> Result<(), HistoryError> {
        let mut frames = FrameReader::starting(&self.lock(), |place| place.seq <= from);
        while let Some(frame) = frames.next()? {
            if frame.first_seq() >= from && !frame.events.is_empty() {
                replay(frame.first_seq(), &frame.events)?;
            }
        }
        Ok(())
    }

    /// The frames after entry `after`, or all of them.
    pub(super) fn frames_after(&self, after: Option<u64>) -> FrameReader {
        FrameReader::starting(&self.lock(), |place| after.is_some_and(|after| place.index <= after))
    }

    /// Events from `from` on, until they make `size_max` bytes.
    pub(crate) fn page(&self, from: u64, size_max: usize) -> Result<Vec<Bytes>, HistoryError> {
        let mut page = Vec::new();
        let mut size = 0;
        for event in self.events(from) {
            let event = event?;
            size += event.bytes.len();
            page.push(event.bytes);
            if size >= size_max {
                break;
            }
        }
        Ok(page)
    }

    /// The head when the history had `size` events: two nodes that agree there agree on everything
    /// before. An error if it has fewer.
    pub fn head_at(&self, size: u64) -> Result<TreeHead, HistoryError> {
        let tree = self.tree_of(size)?;
        let root = if size == 0 {
            super::empty_root()
        } else {
            tree.subtree(0, size, &mut |from, to| self.leaves(from, to))?
        };
        Ok(TreeHead { size, root })
    }

    /// Proof that event `seq` is in the tree as it was with `size` events.
    pub fn inclusion_proof(&self, seq: u64, size: u64) -> Result<InclusionProof, HistoryError> {
        let tree = self.tree_of(size)?;
        if seq >= size {
            return Err(HistoryError::OutOfRange { asked: seq, size });
        }
        let path = tree.path(seq, size, &mut |from, to| self.leaves(from, to))?;
        Ok(InclusionProof { seq, head: self.head_at(size)?, path })
    }

    /// Proof that the history of `new` events continues the one of `old` events; check it with
    /// [`super::verify_consistency`].
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, HistoryError> {
        let tree = self.tree_of(new)?;
        if old > new {
            return Err(HistoryError::OutOfRange { asked: old, size: new });
        }
        if old == 0 || old == new {
            return Ok(Vec::new());
        }
        tree.consistency(old, new, &mut |from, to| self.leaves(from, to))
    }

    fn tree_of(&self, size: u64) -> Result<Tree, HistoryError> {
        let state = self.lock();
        let has = state.fold.tree.size();
        if size > has {
            return Err(HistoryError::OutOfRange { asked: size, size: has });
        }
        Ok(state.fold.tree.clone())
    }

    fn leaves(&self, from: u64, to: u64) -> Result<Vec<Hash>, HistoryError> {
        let wanted = usize::try_from(to - from).unwrap_or(usize::MAX);
        self.events(from).take(wanted).map(|event| Ok(leaf_hash(&event?.bytes))).collect()
    }
}
