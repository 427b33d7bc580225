//! Forcing the history to the disk.

use std::sync::PoisonError;

use super::History;
use super::error::HistoryError;
use super::mark::{Mark, sync_dir};

impl History {
    /// Forces everything appended so far to the disk and moves the durable mark there. Appends go
    /// on meanwhile. An error is final: after a failed fdatasync the kernel may call pages clean
    /// that were never written, so the history takes no further write until the node is restarted.
    pub fn sync(&self) -> Result<Synced, HistoryError> {
        let _in_order = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let (dirty, target) = {
            let mut state = self.lock();
            state.running()?;
            let target = state.position();
            if target == state.mark {
                return Ok(Synced(target));
            }
            state.unsynced = 0;
            (std::mem::take(&mut state.dirty), target)
        };
        let result = dirty
            .iter()
            .try_for_each(|segment| {
                segment
                    .file
                    .sync_data()
                    .map_err(HistoryError::io("force to the disk", &segment.path))
            })
            .and_then(|()| {
                sync_dir(&self.dir).map_err(HistoryError::io("force to the disk", &self.dir))
            })
            .and_then(|()| target.iter().try_for_each(|mark| mark.store(&self.dir)));
        let mut state = self.lock();
        state.stop_on_error(result)?;
        state.mark.clone_from(&target);
        Ok(Synced(target))
    }

    /// Makes sure that the entry `index`, if it has been applied, is on the disk.
    pub(crate) fn sync_up_to(&self, index: u64) -> Result<(), HistoryError> {
        let durable = self.mark().is_some_and(|mark| mark.last.index >= index);
        if durable { Ok(()) } else { self.sync().map(drop) }
    }
}

/// What a sync reached; nothing, when the history is empty.
#[derive(Debug, Clone)]
pub struct Synced(Option<Mark>);

impl Synced {
    /// The size and root that are on the disk.
    pub fn head(&self) -> super::TreeHead {
        self.0.as_ref().map(|mark| mark.head).unwrap_or_default()
    }

    pub(crate) fn into_mark(self) -> Option<Mark> {
        self.0
    }
}

impl super::State {
    /// The mark as it would be if everything were on the disk.
    pub(super) fn position(&self) -> Option<Mark> {
        let tail = self.segments.last()?;
        Some(Mark {
            segment: tail.segment.first_index,
            offset: tail.len,
            head: self.fold.head(),
            last: self.fold.last?,
            membership: self.fold.membership.clone(),
        })
    }
}
