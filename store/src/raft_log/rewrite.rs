//! What the log's files hold is on the disk before it counts.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use crate::again::write_again;

/// Writes the files of the log in `dir` again, as they are, and forces them to the disk: what they show may be
/// what an fsync failed for.
pub(super) fn rewrite(dir: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        files.push(entry?.path());
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wal"));
    files.sort_unstable();
    for path in files {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        write_again(&file, 0)?;
        file.sync_all()?;
    }
    Ok(())
}
