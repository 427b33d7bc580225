//! Before the log is opened: what a power cut left of it is made what the crate underneath can read, and
//! what is read is forced to the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use raft_log::RaftLogRecord;
use raft_log::codeq::Decode;

use super::records::Records;
use crate::history::sync_dir;
use crate::torn::{lacks_block, lacks_end};

/// A record begins with its kind, a small number of four bytes, the highest first: so many zeros.
const START_ZEROS: usize = 3;

/// Cuts the last file of the log in `dir` at the first record that a power cut tore, and forces all of
/// the log to the disk.
///
/// The crate itself cuts a record that reaches past the end of the file, or is nothing but zeros to it.
/// It refuses any other that does not decode, and leaves altered ones refused; a record of which a
/// *block*, or the end, is missing was never acknowledged, nor was anything behind it.
///
/// What a killed process wrote may be in the page cache alone. From here on this node counts it as
/// had, so it has to be on the disk.
pub(super) fn recover(dir: &Path) -> io::Result<()> {
    let files = files(dir)?;
    if let Some(last) = files.last() {
        let bytes = std::fs::read(last)?;
        if let Some(offset) = torn(&bytes) {
            tracing::warn!(
                path = %last.display(),
                offset,
                bytes = bytes.len() - offset,
                "the Raft log's tail was torn by a power cut and is cut; none of it was acknowledged"
            );
            let file = OpenOptions::new().write(true).open(last)?;
            file.set_len(u64::try_from(offset).map_err(io::Error::other)?)?;
        }
    }
    files.iter().try_for_each(|path| File::open(path)?.sync_all())?;
    sync_dir(dir)
}

/// The files of the log, in order.
pub(super) fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wal") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Where a record stands of which a block or the end is missing, if one does.
fn torn(bytes: &[u8]) -> Option<usize> {
    let mut offset = 0;
    loop {
        let rest = bytes.get(offset..).filter(|rest| !rest.is_empty())?;
        let mut reader = Cursor::new(rest);
        let decoded = RaftLogRecord::<Records>::decode(&mut reader);
        let read = usize::try_from(reader.position()).ok()?;
        if decoded.is_err() {
            let at = u64::try_from(offset).ok()?;
            let torn = lacks_block(rest, at, read, START_ZEROS) || lacks_end(rest, read);
            return torn.then_some(offset);
        }
        offset += read;
    }
}
