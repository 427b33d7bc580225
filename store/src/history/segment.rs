//! A segment: a file of frames, named after the first entry in it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::error::HistoryError;
use super::frame::{self, Fault, Frame, HEADER_LEN};

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

    /// The sealed frame at `offset`, which must lie before `end`. Checks its checksum.
    pub(super) fn read_sealed(&self, offset: u64, end: u64) -> Result<Bytes, HistoryError> {
        let corrupt = |reason: String| HistoryError::Corrupt {
            path: self.path.clone(),
            offset,
            seq: 0,
            reason,
        };
        let io = |source| HistoryError::Io { what: "read", path: self.path.clone(), source };
        let mut header = [0; HEADER_LEN];
        self.file.read_exact_at(&mut header, offset).map_err(io)?;
        let [m0, m1, m2, m3, l0, l1, l2, l3, ..] = header;
        if [m0, m1, m2, m3] != frame::MAGIC {
            return Err(corrupt("no frame starts here".to_owned()));
        }
        let body = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
        let whole = body + u64::try_from(HEADER_LEN).unwrap_or(u64::MAX);
        if offset.saturating_add(whole) > end {
            return Err(corrupt(format!("the frame says {body} bytes and would leave the file")));
        }
        let whole = usize::try_from(whole).map_err(|error| corrupt(error.to_string()))?;
        let mut bytes = vec![0; whole];
        self.file.read_exact_at(&mut bytes, offset).map_err(io)?;
        let bytes = Bytes::from(bytes);
        frame::unseal(&bytes).map_err(|fault| corrupt(fault.reason))?;
        Ok(bytes)
    }

    /// The frame at `offset` and where the next one starts.
    pub(super) fn read_frame(&self, offset: u64, end: u64) -> Result<(Frame, u64), HistoryError> {
        let sealed = self.read_sealed(offset, end)?;
        let (frame, len) = frame::parse(&sealed).map_err(|fault| HistoryError::Corrupt {
            path: self.path.clone(),
            offset,
            seq: 0,
            reason: fault.reason,
        })?;
        Ok((frame, offset + u64::try_from(len).unwrap_or(u64::MAX)))
    }
}

/// Reads a segment from its start, checking everything that one file can tell.
pub(super) struct Scan {
    bytes: Bytes,
    at: usize,
}

impl Scan {
    /// A segment is read whole: it is bounded by its maximal size.
    pub(super) fn open(path: &Path) -> Result<Self, HistoryError> {
        let bytes = std::fs::read(path).map_err(HistoryError::io("read", path))?;
        Ok(Self { bytes: bytes.into(), at: 0 })
    }

    pub(super) fn offset(&self) -> u64 {
        u64::try_from(self.at).unwrap_or(u64::MAX)
    }

    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    /// Passes over the segment's own first bytes.
    pub(super) fn header(&mut self) -> Result<(), Fault> {
        let head = self.bytes.slice(..SEGMENT_MAGIC.len().min(self.bytes.len()));
        if head.len() < SEGMENT_MAGIC.len() || self.bytes.iter().all(|byte| *byte == 0) {
            return Err(Fault {
                reason: "the segment's header was never written".to_owned(),
                torn: true,
            });
        }
        if head != SEGMENT_MAGIC.as_slice() {
            return Err(Fault::altered("this is not a segment, or not of this release"));
        }
        self.at = SEGMENT_MAGIC.len();
        Ok(())
    }

    /// The next frame; `None` at the end of the file. After a fault the scan stands at its start.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Fault> {
        Ok(self.next_sealed()?.map(|(_, frame)| frame))
    }

    /// The same, with its bytes.
    pub(super) fn next_sealed(&mut self) -> Result<Option<(Bytes, Frame)>, Fault> {
        let rest = self.bytes.slice(self.at..);
        if rest.is_empty() {
            return Ok(None);
        }
        let (frame, len) = frame::parse(&rest)?;
        self.at += len;
        Ok(Some((rest.slice(..len), frame)))
    }

    /// Whether a whole frame follows the faulty one.
    pub(super) fn frame_follows(&self) -> bool {
        frame::frame_follows(&self.bytes.slice(self.at..))
    }
}
