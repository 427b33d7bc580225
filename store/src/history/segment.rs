//! A segment: a file of frames, named after the first entry in it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::error::HistoryError;
use super::frame::{self, Fault, Frame, HEADER_LEN};
use crate::torn::{lacks_block, lacks_piece};

/// The first bytes of each segment.
pub(super) const SEGMENT_MAGIC: [u8; 16] = *b"skein-history-1\n";
/// Where the first frame starts.
pub(super) const FIRST_FRAME: u64 = 16;
const EXTENSION: &str = "seg";

/// An open segment. Writes go to its end only, so a reader that stays before the end it was told
/// needs no lock.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// The index of the first entry in it.
    pub(super) first_index: u64,
    pub(super) file: File,
}

impl Segment {
    pub(super) fn path_of(dir: &Path, first_index: u64) -> PathBuf {
        dir.join(format!("{first_index:020}.{EXTENSION}"))
    }

    pub(super) fn create(dir: &Path, first_index: u64) -> Result<Self, HistoryError> {
        let path = Self::path_of(dir, first_index);
        let opened = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = opened.map_err(HistoryError::io("create", &path))?;
        file.write_all_at(&SEGMENT_MAGIC, 0).map_err(HistoryError::io("write", &path))?;
        Ok(Self { path, first_index, file })
    }

    pub(super) fn open(path: PathBuf, first_index: u64) -> Result<Self, HistoryError> {
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let file = opened.map_err(HistoryError::io("open", &path))?;
        Ok(Self { path, first_index, file })
    }

    /// The segments in `dir`, by first entry.
    pub(super) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, HistoryError> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(HistoryError::io("list", dir))? {
            let path = entry.map_err(HistoryError::io("list", dir))?.path();
            let is_segment = path.extension().is_some_and(|extension| extension == EXTENSION);
            if !is_segment {
                continue;
            }
            let first_index = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            let Some(first_index) = first_index else {
                let reason = "a segment is named after a number".to_owned();
                return Err(HistoryError::Corrupt { path, offset: 0, seq: 0, reason });
            };
            found.push((first_index, path));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The frame at `offset`, which must lie before `end`: its bytes, and what they say.
    pub(super) fn read(&self, offset: u64, end: u64) -> Result<(Bytes, Frame), HistoryError> {
        let corrupt = |reason: String| HistoryError::Corrupt {
            path: self.path.clone(),
            offset,
            seq: 0,
            reason,
        };
        let io = |source| HistoryError::Io { what: "read", path: self.path.clone(), source };
        let mut header = [0; HEADER_LEN];
        self.file.read_exact_at(&mut header, offset).map_err(io)?;
        let Some(body) = frame::body_len(&header) else {
            return Err(corrupt("no frame starts here".to_owned()));
        };
        let whole = body + u64::try_from(HEADER_LEN).unwrap_or(u64::MAX);
        if offset.saturating_add(whole) > end {
            return Err(corrupt(format!("the frame says {body} bytes and would leave the file")));
        }
        let whole = usize::try_from(whole).map_err(|error| corrupt(error.to_string()))?;
        let mut bytes = vec![0; whole];
        self.file.read_exact_at(&mut bytes, offset).map_err(io)?;
        let bytes = Bytes::from(bytes);
        let (frame, _) = frame::parse(&bytes).map_err(|fault| corrupt(fault.reason))?;
        Ok((bytes, frame))
    }
}

/// Reads a segment from its start, checking everything that one file can tell.
#[derive(Debug)]
pub(super) struct Scan {
    path: PathBuf,
    file: File,
    len: u64,
    at: u64,
}

/// What stands in the way of the next frame.
#[derive(Debug)]
pub(super) enum Stop {
    /// The bytes are not a frame.
    Fault(Fault),
    /// The bytes could not be read.
    Unread(HistoryError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Scan {
    pub(super) fn open(path: &Path) -> Result<Self, HistoryError> {
        let file = File::open(path).map_err(HistoryError::io("open", path))?;
        let len = file.metadata().map_err(HistoryError::io("read", path))?.len();
        Ok(Self { path: path.to_owned(), file, len, at: 0 })
    }

    pub(super) fn offset(&self) -> u64 {
        self.at
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// What is left of the file, up to `len_max` bytes.
    fn rest(&self, len_max: u64) -> Result<Bytes, HistoryError> {
        let len = usize::try_from(len_max.min(self.len - self.at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        let read = self.file.read_exact_at(&mut bytes, self.at);
        read.map_err(HistoryError::io("read", &self.path))?;
        Ok(bytes.into())
    }

    /// Passes over the segment's own first bytes.
    pub(super) fn header(&mut self) -> Result<(), Stop> {
        let head = self.rest(FIRST_FRAME).map_err(Stop::Unread)?;
        if head.len() < SEGMENT_MAGIC.len() || head.iter().all(|byte| *byte == 0) {
            let reason = "the segment's header was never written".to_owned();
            return Err(Fault { reason, torn: true }.into());
        }
        if head != SEGMENT_MAGIC.as_slice() {
            return Err(Fault::altered("this is not a segment, or not of this release").into());
        }
        self.at = FIRST_FRAME;
        Ok(())
    }

    /// The next frame; `None` at the end of the file. After a stop the scan stands at its start.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Stop> {
        Ok(self.next_sealed()?.map(|(_, frame)| frame))
    }

    /// The same, with its bytes.
    pub(super) fn next_sealed(&mut self) -> Result<Option<(Bytes, Frame)>, Stop> {
        if self.at == self.len {
            return Ok(None);
        }
        let header_len = u64::try_from(HEADER_LEN).unwrap_or(u64::MAX);
        let header = self.rest(header_len).map_err(Stop::Unread)?;
        // A length that leaves the file, or no frame at all: the parser says which, given the rest.
        let whole = frame::body_len(&header).map_or(u64::MAX, |body| header_len + body);
        let bytes = self.rest(whole).map_err(Stop::Unread)?;
        let (frame, len) = frame::parse(&bytes)?;
        self.at += u64::try_from(len).unwrap_or(u64::MAX);
        Ok(Some((bytes, frame)))
    }

    /// Whether the faulty frame was never written whole, as a power cut leaves it.
    pub(super) fn never_whole(&self) -> Result<bool, HistoryError> {
        let rest = self.rest(u64::MAX)?;
        let body = frame::body_len(&rest).and_then(|body| usize::try_from(body).ok());
        let len = HEADER_LEN.saturating_add(body.unwrap_or(0)).min(rest.len());
        // A frame begins with letters.
        Ok(lacks_block(&rest, self.at, len, 0) || lacks_piece(&rest, self.at, len))
    }

    /// Whether a whole frame follows the faulty one.
    pub(super) fn frame_follows(&self) -> Result<bool, HistoryError> {
        Ok(frame::frame_follows(&self.rest(u64::MAX)?))
    }
}
