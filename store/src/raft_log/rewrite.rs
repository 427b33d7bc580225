//! What the log's files hold is on the disk before it counts.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use super::recover::files;
use crate::again::write_again;

/// Files that may hold something which was not forced to the disk: one that is full is forced before anything
/// of the next one is.
const OPEN_MAX: usize = 2;

/// Writes the last files of the log in `dir` again, as they are, and forces them to the disk: what they show may
/// be what an fsync failed for.
pub(super) fn rewrite(dir: &Path) -> io::Result<()> {
    for path in files(dir)?.into_iter().rev().take(OPEN_MAX) {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        write_again(&file, 0)?;
        file.sync_all()?;
    }
    Ok(())
}
