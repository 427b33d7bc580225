//! How frames of a history are sealed, for a bug that is planted: damage that no checksum tells.

/// Where the first frame of a segment starts.
const FIRST_FRAME: usize = 16;
/// `skfr`, the body's length, and the checksum of both.
const HEADER_LEN: usize = 12;
/// So many small letters in a row are a word of an event.
const WORD: usize = 6;

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.first_chunk()?))
}

/// The frame that `at` is in, with another letter there and a checksum that fits, and where the frame
/// starts; nothing where there is no word.
pub(crate) fn altered(segment: &[u8], at: usize) -> Option<(usize, Vec<u8>)> {
    let word = segment.get(at.checked_sub(WORD)?..at + WORD)?;
    if !word.iter().all(u8::is_ascii_lowercase) {
        return None;
    }
    let mut start = FIRST_FRAME;
    loop {
        let len = number(segment.get(start + 4..)?)?;
        let end = start + HEADER_LEN + usize::try_from(len).ok()?;
        if at >= end {
            start = end;
            continue;
        }
        let mut frame = segment.get(start..end)?.to_vec();
        *frame.get_mut(at.checked_sub(start)?)? ^= 1;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&len.to_le_bytes());
        hasher.update(frame.get(HEADER_LEN..)?);
        frame.get_mut(8..HEADER_LEN)?.copy_from_slice(&hasher.finalize().to_le_bytes());
        return Some((start, frame));
    }
}
