//! What a power cut leaves of bytes that were appended and not forced to the disk.
//!
//! A disk writes blocks, in any order, and a file's length may be there before its bytes: so blocks in the
//! middle of a write can be missing, with whole ones behind them, and are then zeros. A bit that was
//! altered later makes no such hole. That is how the two are told apart.

/// What a disk writes whole or not at all, in bytes. Larger ones are made of these.
const BLOCK: u64 = 512;

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
}
