//! Blobs: whole or absent, and named after what they are.

use bytes::Bytes;
use skein_store::{BLOB_MAX, Blobs, Chunk, Digest, Stored};

fn content(len: usize) -> Bytes {
    (0..len).map(|at| u8::try_from(at % 253).expect("small")).collect()
}

fn chunks(whole: &Bytes, size: usize) -> Vec<Chunk> {
    let digest = Digest::of(whole);
    let total = u64::try_from(whole.len()).expect("small");
    let offsets = (0..whole.len()).step_by(size);
    offsets
        .map(|at| Chunk {
            digest,
            offset: u64::try_from(at).expect("small"),
            total,
            bytes: whole.slice(at..whole.len().min(at + size)),
        })
        .collect()
}

#[test]
fn chunks_make_a_blob_and_again_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let whole = content(100_000);
    let digest = Digest::of(&whole);
    let pieces = chunks(&whole, 9_000);
    for (at, chunk) in pieces.iter().enumerate() {
        // A restart between any two.
        let blobs = Blobs::open(dir.path()).unwrap();
        assert_eq!(blobs.missing(&[digest]), [digest]);
        assert_eq!(blobs.get(&digest).unwrap(), None);
        let last = at + 1 == pieces.len();
        assert_eq!(blobs.put(chunk).unwrap(), if last { Stored::Whole } else { Stored::Part });
        assert_eq!(blobs.put(chunk).unwrap(), if last { Stored::Whole } else { Stored::Part });
    }
    let blobs = Blobs::open(dir.path()).unwrap();
    assert_eq!(blobs.get(&digest).unwrap(), Some(whole));
    assert_eq!(blobs.list().unwrap(), [digest]);
    assert_eq!(blobs.missing(&[digest, Digest::of(b"other")]), [Digest::of(b"other")]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no part file is left");
    assert_eq!(blobs.put(&pieces[3]).unwrap(), Stored::Whole);
    // What it gives out for a peer is what it was made of.
    for piece in &pieces {
        assert_eq!(blobs.chunk(&digest, piece.offset, 9_000).unwrap().as_ref(), Some(piece));
    }
    assert_eq!(blobs.chunk(&digest, 100_000, 9_000).unwrap(), None);
}

#[test]
fn a_blob_that_is_not_its_digest_is_never_whole() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let whole = content(30_000);
    let pieces = chunks(&whole, 10_000);
    // The second of three never came.
    assert_eq!(blobs.put(&pieces[0]).unwrap(), Stored::Part);
    assert_eq!(blobs.put(&pieces[2]).unwrap(), Stored::Mismatch);
    assert_eq!(blobs.list().unwrap(), []);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    // Sent again, it is taken.
    let stored: Vec<_> = pieces.iter().map(|piece| blobs.put(piece).unwrap()).collect();
    assert_eq!(stored, [Stored::Part, Stored::Part, Stored::Whole]);
    // A bit that fell over on the disk is found when it is read.
    let path = dir.path().join(pieces[0].digest.to_string());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[12_345] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = blobs.get(&pieces[0].digest).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(blobs.get(&pieces[0].digest).unwrap(), None, "it counts as missing");
    for piece in &pieces {
        blobs.put(piece).unwrap();
    }
    assert_eq!(blobs.get(&pieces[0].digest).unwrap(), Some(whole));
}

#[test]
fn what_is_no_piece_of_a_blob_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let digest = Digest::of(b"x");
    let bytes = Bytes::from_static(b"xyz");
    for (offset, total) in [(0, 2), (5, 7), (u64::MAX, u64::MAX), (0, BLOB_MAX + 1)] {
        let chunk = Chunk { digest, offset, total, bytes: bytes.clone() };
        assert_eq!(blobs.put(&chunk).unwrap(), Stored::Refused, "{offset} of {total}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let empty = Chunk { digest: Digest::of(b""), offset: 0, total: 0, bytes: Bytes::new() };
    assert_eq!(blobs.put(&empty).unwrap(), Stored::Whole);
    assert_eq!(blobs.get(&empty.digest).unwrap(), Some(Bytes::new()));
}

#[test]
fn a_digest_reads_what_it_writes() {
    let digest = Digest::of(b"content");
    assert_eq!(Digest::from_hex(&digest.to_string()), Some(digest));
    for bad in ["", "abc", &"g".repeat(64), &"A".repeat(64), &"+f".repeat(32), &"é".repeat(32)] {
        assert_eq!(Digest::from_hex(bad), None, "{bad}");
    }
}

/// A bundle may come through the log and from a peer at once: both write to one file.
#[test]
fn two_at_once_make_one_blob() {
    for _ in 0..50 {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let whole = content(64_000);
        let digest = Digest::of(&whole);
        let pieces = [chunks(&whole, 16_000), chunks(&whole, 64_000)];
        std::thread::scope(|scope| {
            for pieces in &pieces {
                let blobs = &blobs;
                scope.spawn(move || {
                    for chunk in pieces {
                        blobs.put(chunk).expect("neither is in the way of the other");
                    }
                });
            }
        });
        assert_eq!(blobs.get(&digest).unwrap(), Some(whole));
    }
}
