//! What a power cut leaves of bytes that were appended and not forced to the disk.
//!
//! A disk writes blocks, in any order, and a file's length may be there before its bytes: so blocks in the
//! middle of a write can be missing, with whole ones behind them, and are then zeros. A bit that was
//! altered later makes no such hole. That is how the two are told apart.

/// What a disk writes whole or not at all, in bytes. Larger ones are made of these.
const BLOCK: u64 = 512;

/// A checksum that is nothing but zeros was not written, bytes.
const CHECKSUM: usize = 4;

/// So many zeros at a block's end are a piece that was not written, bytes.
const UNWRITTEN_LEN: usize = 8;

/// Whether the end of the record at the start of `rest`, `len` bytes long, was never written, though the
/// block that it stands in was: the record's checksum, its last bytes, is zeros, and so is all behind it to
/// the file's end. That is what is left where the last record came in two writes, of which the second was
/// lost. With anything behind it, it is damage: a sector that was written to the wrong place may end in
/// zeros, and what was acknowledged stands behind it.
pub(crate) fn lacks_end(rest: &[u8], len: usize) -> bool {
    let Some(checksum) = len.checked_sub(CHECKSUM).filter(|_| len <= rest.len()) else {
        return false;
    };
    rest.get(checksum..).is_some_and(|tail| tail.iter().all(|byte| *byte == 0))
}

/// Whether a block of the record at `offset` of its file is missing. `rest` is the file from there to its
/// end, `len` how long the record is, as far as it can be read. A whole record begins with at most
/// `start_zeros` zeros: where no more of it stand in its first block, they tell nothing.
pub(crate) fn lacks_block(rest: &[u8], offset: u64, len: usize, start_zeros: usize) -> bool {
    let mut start = 0;
    while start < len.max(1) {
        let into = (offset + u64::try_from(start).unwrap_or(0)) % BLOCK;
        let left = usize::try_from(BLOCK - into).unwrap_or(1);
        let Some(piece) = rest.get(start..).filter(|piece| !piece.is_empty()) else { return false };
        let piece = piece.get(..left).unwrap_or(piece);
        // The first piece may share its block with an earlier write.
        let short = start == 0 && into > 0 && piece.len() <= start_zeros;
        if !short && piece.iter().all(|byte| *byte == 0) {
            return true;
        }
        start += left;
    }
    false
}

/// Whether a block of the record at `offset` of its file, `len` bytes long, was written in its first part
/// only: the block ends in zeros, and they begin in the record. That is what is left where the record came
/// in several writes, of which one was lost, wherever it stood. A stray sector may look the same, so this is
/// for records only of which it is known otherwise that they were not acknowledged.
pub(crate) fn lacks_piece(rest: &[u8], offset: u64, len: usize) -> bool {
    let block = usize::try_from(BLOCK).unwrap_or(usize::MAX);
    let into = usize::try_from(offset % BLOCK).unwrap_or(0);
    let starts = (0..).map(|nth: usize| (nth * block).saturating_sub(into));
    starts.take_while(|start| *start < len.min(rest.len())).any(|start| {
        let end = (start + into + block) / block * block - into;
        let piece = rest.get(start..end.min(rest.len())).unwrap_or_default();
        let zeros = piece.iter().rev().take_while(|byte| **byte == 0).count();
        zeros >= UNWRITTEN_LEN && start + piece.len() - zeros < len
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_found_where_a_block_is_missing() {
        let whole = vec![7_u8; 3_000];
        let hole = |from: usize, until: usize| {
            let mut bytes = whole.clone();
            bytes.iter_mut().take(until).skip(from).for_each(|byte| *byte = 0);
            bytes
        };
        // The record stands at byte 100 of its file: its blocks begin at 0, 412, 924 …
        for (from, until, missing) in [
            (0, 0, false),
            (0, 412, true),
            (0, 411, false),
            (412, 924, true),
            (413, 924, false),
            (412, 923, false),
            (600, 1_000, false),
            (2_972, 3_000, true),
            (2_973, 3_000, false),
        ] {
            assert_eq!(lacks_block(&hole(from, until), 100, 3_000, 0), missing, "{from}..{until}");
        }
        // What is behind the record says nothing about it.
        assert!(!lacks_block(&hole(924, 1_436), 100, 900, 0));
        // A record that begins right before a block's end may begin with zeros, or never does.
        assert!(!lacks_block(&[0, 0, 0, 1], 509, 4, 3));
        assert!(lacks_block(&[0, 0, 0, 0, 9], 508, 5, 3));
        assert!(lacks_block(&[0, 1], 511, 2, 0));
    }

    #[test]
    fn an_end_is_missing_where_the_checksum_and_all_behind_it_are_zeros() {
        let written = |until: usize, len: usize| {
            let mut bytes = vec![7_u8; until];
            bytes.resize(len, 0);
            bytes
        };
        // The record has 300 bytes.
        for (until, len, missing) in [
            (200, 300, true),
            (296, 300, true),
            (297, 300, false),
            (300, 300, false),
            (200, 412, true),
            (200, 900, true),
            // It reaches past the end of the file: that is told otherwise.
            (200, 299, false),
        ] {
            assert_eq!(lacks_end(&written(until, len), 300), missing, "{until} of {len}");
        }
        // What is behind it was written: it was there once.
        let mut followed = written(200, 900);
        followed.extend([1]);
        assert!(!lacks_end(&followed, 300));
    }

    #[test]
    fn a_piece_is_missing_where_a_block_ends_in_zeros() {
        let hole = |from: usize, until: usize| {
            let mut bytes = vec![7_u8; 3_000];
            bytes.iter_mut().take(until).skip(from).for_each(|byte| *byte = 0);
            bytes
        };
        // The record has 2 800 bytes and stands at byte 100 of its file: blocks end at 412, 924 … 2 972.
        for (from, until, missing) in [
            (0, 0, false),
            (0, 412, true),
            (300, 412, true),
            (404, 412, true),
            (405, 412, false),
            (404, 411, false),
            (600, 924, true),
            (600, 900, false),
            (2_799, 2_972, true),
            // What is behind the record says nothing about it.
            (2_800, 2_972, false),
            (2_990, 3_000, false),
        ] {
            assert_eq!(lacks_piece(&hole(from, until), 100, 2_800), missing, "{from}..{until}");
        }
        assert!(lacks_piece(&hole(2_980, 3_000), 100, 3_000), "the file ends before the block");
        assert!(!lacks_piece(&[], 100, 0));
    }
}
