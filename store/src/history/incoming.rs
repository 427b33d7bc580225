//! Receiving: frames are staged beside the history, checked as they come, and become part of it
//! by one rename.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::append::note_place;
use super::error::HistoryError;
use super::fold::{Fold, Misfit};
use super::frame::{self, Frame};
use super::mark::sync_dir;
use super::outgoing::Joint;
use super::segment::{FIRST_FRAME, SEGMENT_MAGIC, Scan, Segment, Stop};
use super::{History, Part, Place, State};
use crate::types::LogId;

/// Tells apart the staging files of one process.
static STAGED: AtomicU64 = AtomicU64::new(0);

/// A run of frames that is being received. Dropped before it is installed, it leaves nothing.
#[derive(Debug)]
pub struct Incoming {
    path: PathBuf,
    file: BufWriter<File>,
    /// The history that the frames continue, and then what they add up to.
    fold: Fold,
    base: Option<LogId>,
    first_index: Option<u64>,
    /// As [`State::places`], but for the part, which is known when the frames are installed.
    places: Vec<Place>,
    len: u64,
}

impl Incoming {
    fn create(dir: &std::path::Path, fold: Fold) -> Result<Self, HistoryError> {
        let number = STAGED.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("incoming-{number}.tmp"));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        let mut file = BufWriter::new(file.map_err(HistoryError::io("create", &path))?);
        file.write_all(&SEGMENT_MAGIC).map_err(HistoryError::io("write", &path))?;
        let base = fold.last;
        let places = Vec::new();
        Ok(Self { path, file, fold, base, first_index: None, places, len: FIRST_FRAME })
    }

    /// Where the frames end so far.
    pub fn joint(&self) -> Joint {
        Joint { last: self.fold.last, head: self.fold.head() }
    }

    /// Takes the next frame as [`super::Frames`] gave it. An error if it is not whole, not the next
    /// one, or if its root is not the root over this node's events and those received: then the
    /// sender's history is another one.
    pub fn push(&mut self, sealed: &Bytes) -> Result<(), HistoryError> {
        let bad = |reason: String| HistoryError::BadFrame { reason };
        let (frame, len) = frame::parse(sealed).map_err(|fault| bad(fault.reason))?;
        if len != sealed.len() {
            return Err(bad(format!("{} bytes follow the frame", sealed.len() - len)));
        }
        self.accept(&frame)?;
        self.file.write_all(sealed).map_err(HistoryError::io("write", &self.path))?;
        self.first_index.get_or_insert(frame.log_id.index);
        note_place(&mut self.places, 0, &frame, self.len);
        self.len += u64::try_from(len).unwrap_or(u64::MAX);
        Ok(())
    }

    fn accept(&mut self, frame: &Frame) -> Result<(), HistoryError> {
        self.fold.accept(frame).map_err(|misfit| match misfit {
            Misfit::OutOfOrder { index, last } => HistoryError::OutOfOrder { index, last },
            Misfit::OtherRoot { index, ours, theirs } => {
                HistoryError::Diverged { index, ours, theirs }
            }
        })
    }

    /// Forces the staged frames to the disk.
    fn seal(&mut self) -> Result<(), HistoryError> {
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(HistoryError::io("force to the disk", &self.path))
    }

    /// These frames without those that `fold` already has.
    fn rebased(&mut self, dir: &std::path::Path, fold: &Fold) -> Result<Self, HistoryError> {
        let mut rebased = Self::create(dir, fold.clone())?;
        let mut scan = Scan::open(&self.path)?;
        let stopped = |stop| match stop {
            Stop::Fault(fault) => HistoryError::BadFrame { reason: fault.reason },
            Stop::Unread(error) => error,
        };
        scan.header().map_err(stopped)?;
        while let Some((sealed, frame)) = scan.next_sealed().map_err(stopped)? {
            if Some(frame.log_id.index) > fold.last.map(|last| last.index) {
                rebased.push(&sealed)?;
            }
        }
        Ok(rebased)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After an install the name is gone; otherwise the next start would remove it.
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(path = ?self.path, %error, "a staged snapshot stays until the next start");
        }
    }
}

impl History {
    /// Begins to receive frames that continue this history.
    pub fn receive(&self) -> Result<Incoming, HistoryError> {
        let fold = self.lock().fold.clone();
        Incoming::create(&self.dir, fold)
    }

    /// Makes the received frames part of the history, all or none of them, durably. `upto` is the
    /// last entry that they must reach. Returns the sequence number of the first new event.
    pub(crate) fn install(
        &self,
        mut incoming: Incoming,
        upto: Option<LogId>,
    ) -> Result<u64, HistoryError> {
        let index = |id: Option<LogId>| id.map(|id| id.index);
        incoming.seal()?;
        let mut state = self.lock();
        state.running()?;
        let first_seq = state.fold.tree.size();
        if index(upto) <= index(state.fold.last) {
            return Ok(first_seq);
        }
        if incoming.fold.last != upto {
            let (found, expected) = (index(incoming.fold.last), index(upto));
            return Err(HistoryError::Incomplete { found, expected });
        }
        if incoming.base != state.fold.last {
            // Entries were applied while the frames came.
            incoming = incoming.rebased(&self.dir, &state.fold)?;
            incoming.seal()?;
        }
        let result = state.adopt(&self.dir, &incoming);
        state.stop_on_error(result)?;
        drop(state);
        self.sync()?;
        Ok(first_seq)
    }
}

impl State {
    fn adopt(&mut self, dir: &std::path::Path, incoming: &Incoming) -> Result<(), HistoryError> {
        let Some(first_index) = incoming.first_index else { return Ok(()) };
        // The old tail first: a durable segment must not follow one that may be torn.
        for segment in &self.dirty {
            segment
                .file
                .sync_data()
                .map_err(HistoryError::io("force to the disk", &segment.path))?;
        }
        let path = Segment::path_of(dir, first_index);
        std::fs::rename(&incoming.path, &path)
            .and_then(|()| sync_dir(dir))
            .map_err(HistoryError::io("install", &path))?;
        let segment = Arc::new(Segment::open(path, first_index)?);
        let part = self.segments.len();
        self.places.extend(incoming.places.iter().map(|place| Place { part, ..*place }));
        self.segments.push(Part { segment: Arc::clone(&segment), len: incoming.len });
        self.dirty.push(segment);
        self.fold = incoming.fold.clone();
        Ok(())
    }
}
