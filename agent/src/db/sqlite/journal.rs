//! What SQLite writes so that a change lasts: its rollback journal, or its write-ahead log.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::db::written::Position;

/// Bytes of rollback journals that the commits of a connection found, each as it was before it is removed.
#[derive(Debug, Clone, Default)]
pub(super) struct Journaled(Arc<AtomicU64>);

impl Journaled {
    /// To be called before each commit, on whichever thread.
    pub(super) fn commits(&self, journal: &Path) {
        let bytes = std::fs::metadata(journal).map_or(0, |file| file.len());
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The journals beside one file.
#[derive(Debug)]
pub(super) struct Journal {
    file: PathBuf,
    index: PathBuf,
    pub(super) journaled: Journaled,
    /// What was seen of the write-ahead log, where there is one.
    ahead: Option<Ahead>,
}

/// A write-ahead log begins anew now and then: its frames are counted from look to look.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    bytes: u64,
    /// Where it stood at the last look.
    frames: u32,
}

impl Journal {
    pub(super) fn of(file: &Path) -> Self {
        let (index, journaled) = (beside(file, "-shm"), Journaled::default());
        Self { file: file.to_owned(), index, journaled, ahead: None }
    }

    pub(super) fn position(&mut self) -> Position {
        let journaled = self.journaled.0.load(Ordering::Relaxed);
        if let Some(ahead) = self.look() {
            return Position { logged: journaled + ahead.bytes, size: 0 };
        }
        let size = std::fs::metadata(&self.file).map_or(0, |file| file.len());
        Position { logged: journaled, size }
    }

    /// Something may have been committed. The next commit may begin the log anew.
    pub(super) fn sent(&mut self) {
        if self.ahead.is_some() {
            self.look();
        }
    }

    fn look(&mut self) -> Option<Ahead> {
        let (frames, page) = frames(&self.index)?;
        let ahead = self.ahead.unwrap_or(Ahead { bytes: 0, frames });
        let new = if frames >= ahead.frames { frames - ahead.frames } else { frames };
        let bytes = ahead.bytes + u64::from(new) * (FRAME_HEADER + page);
        self.ahead = Some(Ahead { bytes, frames });
        self.ahead
    }
}

pub(super) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut path = file.to_owned().into_os_string();
    path.push(ending);
    path.into()
}

/// Before each page in a write-ahead log.
const FRAME_HEADER: u64 = 24;

/// How many pages the write-ahead log holds, and how large they are, from its index in shared memory
/// (<https://www.sqlite.org/walformat.html#walidxfmt>). `None`: there is none.
fn frames(index: &Path) -> Option<(u32, u64)> {
    let mut header = [0; 20];
    File::open(index).ok()?.read_exact_at(&mut header, 0).ok()?;
    let [.., p0, p1, f0, f1, f2, f3] = header;
    let page = match u16::from_ne_bytes([p0, p1]) {
        1 => 65_536,
        page => u64::from(page),
    };
    Some((u32::from_ne_bytes([f0, f1, f2, f3]), page))
}
