//! Adding a frame.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::error::HistoryError;
use super::fold::Misfit;
use super::frame::{BODY_MAX, Frame};
use super::segment::{FIRST_FRAME, Segment};
use super::tree::{TreeHead, leaf_hash};
use super::{History, Part, Place, State};
use crate::types::{LogId, Membership};

/// A segment is closed when the next frame would take it past this size, in bytes.
const SEGMENT_MAX: u64 = 64 * 1024 * 1024;
/// About this many bytes are read past to find an event: readers that follow the history pay it at each
/// turn. A place is remembered in 32 bytes.
const PLACE_EVERY: u64 = 16 * 1024;

impl History {
    /// Adds what `log_id`'s entry brought. Returns once the operating system has the bytes; they
    /// are on the disk after the next [`History::sync`], and in the Raft log anyway.
    ///
    /// An entry that is already there, or came too late, is refused: nothing is recorded twice.
    pub fn append(
        &self,
        log_id: LogId,
        membership: Option<&Membership>,
        events: Vec<Bytes>,
    ) -> Result<TreeHead, HistoryError> {
        let mut state = self.lock();
        state.running()?;
        if let Err(Misfit::OutOfOrder { index, last }) = state.fold.check_order(&log_id) {
            return Err(HistoryError::OutOfOrder { index, last });
        }
        // From here on an error leaves the tree ahead of the file, so it stops the history.
        let result = state.write(&self.dir, log_id, membership, events);
        state.stop_on_error(result)
    }
}

impl State {
    pub(super) fn running(&self) -> Result<(), HistoryError> {
        match &self.stopped {
            Some(why) => Err(HistoryError::Stopped(why.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn stop_on_error<T>(
        &mut self,
        result: Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        if let Err(error) = &result {
            self.stopped.get_or_insert_with(|| error.to_string());
        }
        result
    }

    fn write(
        &mut self,
        dir: &std::path::Path,
        log_id: LogId,
        membership: Option<&Membership>,
        events: Vec<Bytes>,
    ) -> Result<TreeHead, HistoryError> {
        for event in &events {
            self.fold.tree.push(leaf_hash(event));
        }
        let frame =
            Frame { log_id, membership: membership.cloned(), events, head: self.fold.head() };
        let bytes = frame.encode().map_err(|len| HistoryError::TooLarge {
            index: log_id.index,
            len,
            max: BODY_MAX,
        })?;
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let part = self.tail_for(dir, log_id.index, len)?;
        let (segment, offset) = (Arc::clone(&part.segment), part.len);
        segment
            .file
            .write_all_at(&bytes, offset)
            .map_err(HistoryError::io("write", &segment.path))?;
        part.len += len;
        if self.dirty.last().is_none_or(|dirty| !Arc::ptr_eq(dirty, &segment)) {
            self.dirty.push(segment);
        }
        self.unsynced += len;
        self.note_place(&frame, offset);
        self.fold.advance(&frame);
        Ok(frame.head)
    }

    /// The segment that the next frame goes to.
    fn tail_for(
        &mut self,
        dir: &std::path::Path,
        index: u64,
        len: u64,
    ) -> Result<&mut Part, HistoryError> {
        let fits = self.segments.last().is_some_and(|part| part.len + len <= SEGMENT_MAX);
        if !fits {
            let segment = Arc::new(Segment::create(dir, index)?);
            self.segments.push(Part { segment, len: FIRST_FRAME });
        }
        self.segments
            .last_mut()
            .ok_or_else(|| HistoryError::Stopped("no segment is open".to_owned()))
    }

    /// Remembers where `frame` starts in the last segment.
    pub(super) fn note_place(&mut self, frame: &Frame, offset: u64) {
        let part = self.segments.len().saturating_sub(1);
        note_place(&mut self.places, part, frame, offset);
    }
}

/// Remembers where `frame` starts, unless a place nearby is known.
pub(super) fn note_place(places: &mut Vec<Place>, part: usize, frame: &Frame, offset: u64) {
    let near = places
        .last()
        .is_some_and(|place| place.part == part && offset - place.offset < PLACE_EVERY);
    if !near {
        places.push(Place { seq: frame.first_seq(), index: frame.log_id.index, part, offset });
    }
}
