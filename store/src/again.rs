//! What was read is written again where it stands.
//!
//! After an fsync that failed, the kernel shows bytes that are not on the disk and calls their pages clean: no later
//! fsync writes them, and the one that succeeds proves nothing. A node that starts does not know
//! whether the process before it met that. Written again, with the same bytes, the pages are dirty, and the next
//! fsync says the truth.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Read and written at once, in bytes.
const PIECE: usize = 1024 * 1024;

/// Writes what stands in `file` from `offset` on, to its end, once more.
pub(crate) fn write_again(file: &File, mut offset: u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = match file.read_at(&mut piece, offset) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        file.write_all_at(piece.get(..read).unwrap_or_default(), offset)?;
        offset += u64::try_from(read).map_err(io::Error::other)?;
    }
}
