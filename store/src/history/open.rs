//! Opening a history: every frame is read, every leaf and root recomputed.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::error::HistoryError;
use super::fold::Fold;
use super::frame::{Fault, Frame};
use super::mark::{Mark, make_dir, sync_dir};
use super::segment::{FIRST_FRAME, Scan, Segment, Stop};
use super::tree::TreeHead;
use super::{History, Part, State};
use crate::again::write_again;

/// What opening found.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// Size and root.
    pub head: TreeHead,
    /// What was cut off at the end, if anything was.
    pub cut: Option<Cut>,
}

/// A tail that was not wholly written when the node died. The Raft log holds its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: PathBuf,
    /// Where its first unusable frame started, in bytes.
    pub offset: u64,
    /// How much was cut, in bytes, later files included.
    pub bytes: u64,
    /// What was wrong there.
    pub reason: String,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, offset, bytes, reason } = self;
        write!(f, "{bytes} bytes at offset {offset} of {}: {reason}", path.display())
    }
}

/// Whether the place of a fault may be cut.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tail {
    /// Purged up to this entry, the Raft log gives back whatever came after it.
    InLog { purged: Option<u64> },
    /// Nothing is changed; a torn tail is only reported.
    Keep,
}

impl History {
    /// Opens the history in `dir`, creating it when absent, and hands every event to `replay`, one
    /// call for each entry that brought some: the first event's sequence number, and the events.
    ///
    /// `purged` is the last entry that the Raft log no longer holds. An unusable tail behind the
    /// durable mark is cut if the log still holds its entries; any other fault is an error, and
    /// then nothing has been changed.
    pub fn open(
        dir: &Path,
        purged: Option<u64>,
        mut replay: impl FnMut(u64, &[Bytes]) -> Result<(), crate::Halt>,
    ) -> Result<(Self, Recovered), HistoryError> {
        make_dir(dir).map_err(HistoryError::io("create", dir))?;
        let mut state = State {
            fold: Fold::default(),
            segments: Vec::new(),
            places: Vec::new(),
            mark: Mark::load(dir)?,
            dirty: Vec::new(),
            unsynced: 0,
            stopped: None,
        };
        let mut walk = Walk::new(dir, state.mark.clone(), Tail::InLog { purged });
        while let Some(step) = walk.next()? {
            if step.opens_segment {
                let segment = Arc::new(Segment::open(step.path.clone(), step.first_index)?);
                state.dirty.push(Arc::clone(&segment));
                state.segments.push(Part { segment, len: FIRST_FRAME });
            }
            state.note_place(&step.frame, step.offset);
            if let Some(part) = state.segments.last_mut() {
                part.len = step.end;
            }
            if !step.frame.events.is_empty() {
                replay(step.frame.first_seq(), &step.frame.events)?;
            }
        }
        let (fold, cut) = walk.finish()?;
        let recovered = Recovered { head: fold.head(), cut: cut.clone() };
        state.fold = fold;
        if let Some(cut) = &cut {
            tracing::warn!(%cut, "history: the tail was torn and is cut; the Raft log holds it");
            cut_off(dir, cut)?;
        }
        remove_staged(dir)?;
        let history =
            Self { dir: dir.to_owned(), state: Mutex::new(state), syncing: Mutex::new(()) };
        // What was read may be in the page cache alone, or be what an fsync failed for; and the Raft log is
        // purged behind the mark.
        history.rewrite_tail()?;
        history.sync()?;
        Ok((history, recovered))
    }
}

impl History {
    /// Writes what stands behind the mark once more.
    fn rewrite_tail(&self) -> Result<(), HistoryError> {
        let state = self.lock();
        let (marked, end) = state.mark.as_ref().map_or((0, 0), |mark| (mark.segment, mark.offset));
        for Part { segment, .. } in &state.segments {
            let offset = match segment.first_index.cmp(&marked) {
                Ordering::Less => continue,
                Ordering::Equal => end,
                Ordering::Greater => 0,
            };
            write_again(&segment.file, offset)
                .map_err(HistoryError::io("write again", &segment.path))?;
        }
        Ok(())
    }
}

/// Removes what follows the cut, the last file first, so that a crash in between leaves a tail again.
fn cut_off(dir: &Path, cut: &Cut) -> Result<(), HistoryError> {
    for (_, path) in Segment::list(dir)?.into_iter().rev() {
        if path > cut.path || (path == cut.path && cut.offset <= FIRST_FRAME) {
            std::fs::remove_file(&path).map_err(HistoryError::io("remove", &path))?;
        } else if path == cut.path {
            let file = std::fs::OpenOptions::new().write(true).open(&path);
            let file = file.map_err(HistoryError::io("open", &path))?;
            file.set_len(cut.offset).map_err(HistoryError::io("cut", &path))?;
            file.sync_all().map_err(HistoryError::io("force to the disk", &path))?;
        }
    }
    sync_dir(dir).map_err(HistoryError::io("force to the disk", dir))
}

/// Snapshots that were being received when the node died.
fn remove_staged(dir: &Path) -> Result<(), HistoryError> {
    for entry in std::fs::read_dir(dir).map_err(HistoryError::io("list", dir))? {
        let path = entry.map_err(HistoryError::io("list", dir))?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            std::fs::remove_file(&path).map_err(HistoryError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// A frame that was found where it belongs.
pub(super) struct Step {
    pub(super) frame: Frame,
    pub(super) path: PathBuf,
    pub(super) first_index: u64,
    /// Whether it is the first of its file.
    pub(super) opens_segment: bool,
    pub(super) offset: u64,
    pub(super) end: u64,
}

/// Goes over all frames in order, and stops at the first that does not belong.
pub(super) struct Walk {
    dir: PathBuf,
    mark: Option<Mark>,
    tail: Tail,
    fold: Fold,
    /// The segments, once listed; the current one is at `at`.
    segments: Option<Vec<(u64, PathBuf)>>,
    at: usize,
    scan: Option<Scan>,
    reached_mark: bool,
    cut: Option<Cut>,
}

impl Walk {
    pub(super) fn new(dir: &Path, mark: Option<Mark>, tail: Tail) -> Self {
        let reached_mark = mark.is_none();
        Self {
            dir: dir.to_owned(),
            mark,
            tail,
            fold: Fold::default(),
            segments: None,
            at: 0,
            scan: None,
            reached_mark,
            cut: None,
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Step>, HistoryError> {
        loop {
            if self.cut.is_some() {
                return Ok(None);
            }
            if self.segments.is_none() {
                self.segments = Some(Segment::list(&self.dir)?);
            }
            let here = self.segments.as_ref().and_then(|all| all.get(self.at).cloned());
            let Some((first_index, path)) = here else { return Ok(None) };
            let mut scan = match self.scan.take() {
                Some(scan) => scan,
                None => Scan::open(&path)?,
            };
            let opens_segment = scan.offset() == 0;
            let header = if opens_segment { scan.header() } else { Ok(()) };
            let offset = scan.offset();
            match header.and_then(|()| scan.next()) {
                Ok(Some(frame)) => {
                    self.take(&frame, &path, offset, opens_segment.then_some(first_index))?;
                    let end = scan.offset();
                    self.pass_mark(first_index, end, &path)?;
                    self.scan = Some(scan);
                    return Ok(Some(Step { frame, path, first_index, opens_segment, offset, end }));
                }
                // A file without a frame was created just before the crash.
                Ok(None) if opens_segment => {
                    let fault = Fault { reason: "no frame in the file".to_owned(), torn: true };
                    self.fault(&fault, &path, first_index, &scan)?;
                }
                Ok(None) => self.at += 1,
                Err(Stop::Fault(fault)) => self.fault(&fault, &path, first_index, &scan)?,
                Err(Stop::Unread(error)) => return Err(error),
            }
        }
    }

    /// What it all added up to, and what is to be cut.
    pub(super) fn finish(self) -> Result<(Fold, Option<Cut>), HistoryError> {
        match &self.mark {
            Some(mark) if !self.reached_mark => Err(HistoryError::Shorter {
                dir: self.dir,
                found: self.fold.head(),
                expected: mark.head,
            }),
            Some(_) | None => Ok((self.fold, self.cut)),
        }
    }

    fn take(
        &mut self,
        frame: &Frame,
        path: &Path,
        offset: u64,
        first_index: Option<u64>,
    ) -> Result<(), HistoryError> {
        let seq = self.fold.tree.size();
        let corrupt = |reason| HistoryError::Corrupt { path: path.to_owned(), offset, seq, reason };
        if let Some(first) = first_index
            && first != frame.log_id.index
        {
            let index = frame.log_id.index;
            return Err(corrupt(format!(
                "the file is named after entry {first} and begins with {index}"
            )));
        }
        // The checksum held, so no crash can have made this.
        self.fold.accept(frame).map_err(|misfit| corrupt(misfit.to_string()))
    }

    fn pass_mark(&mut self, segment: u64, end: u64, path: &Path) -> Result<(), HistoryError> {
        let Some(mark) = self.mark.as_ref().filter(|mark| mark.is_at(segment, end)) else {
            return Ok(());
        };
        let same = mark.head == self.fold.head()
            && Some(mark.last) == self.fold.last
            && mark.membership == self.fold.membership;
        if !same {
            return Err(HistoryError::Corrupt {
                path: path.to_owned(),
                offset: end,
                seq: self.fold.tree.size(),
                reason: format!(
                    "here the durable mark says {}, the events say {}",
                    mark.head,
                    self.fold.head()
                ),
            });
        }
        self.reached_mark = true;
        Ok(())
    }

    /// Decides whether the fault is a torn tail.
    fn fault(
        &mut self,
        fault: &Fault,
        path: &Path,
        first_index: u64,
        scan: &Scan,
    ) -> Result<(), HistoryError> {
        let offset = scan.offset();
        let seq = self.fold.tree.size();
        let durable = self.mark.as_ref().is_some_and(|mark| mark.covers(first_index, offset));
        // Blocks reach the disk in any order, so whole frames may follow one that is not.
        let never_whole = scan.never_whole()?;
        let in_log = match self.tail {
            Tail::InLog { purged } => purged <= self.fold.last.map(|last| last.index),
            Tail::Keep => fault.torn || never_whole,
        };
        // A length that was altered looks like a file that ends early.
        let once_whole = !never_whole && scan.frame_follows()?;
        let reason = fault.reason.clone();
        if durable || once_whole || !in_log {
            return Err(HistoryError::Corrupt { path: path.to_owned(), offset, seq, reason });
        }
        let later = self.segments.iter().flatten().skip(self.at + 1);
        let later: u64 =
            later.filter_map(|(_, path)| path.metadata().ok()).map(|meta| meta.len()).sum();
        let bytes = scan.len() - offset + later;
        self.cut = Some(Cut { path: path.to_owned(), offset, bytes, reason });
        Ok(())
    }
}
