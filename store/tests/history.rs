//! The history's promises: nothing twice, nothing lost, no damage unnoticed.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use skein_store::history::{HistoryError, verify};
use skein_store::{History, log_id};
use support::{append, event, events_of, files, frame_of, open, segments};

mod support;

/// A history of twelve entries that was never forced to the disk: no mark.
fn unsynced(dir: &Path) -> History {
    let (history, recovered) = open(dir).unwrap();
    assert_eq!(recovered.cut, None);
    append(&history, 1..=12);
    history
}

fn flip(path: &Path, at: usize, bit: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1 << bit;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let dir = support::memory();
    let (head, membership) = {
        let history = unsynced(dir.path());
        (history.head(), history.membership())
    };
    let mut replayed = Vec::new();
    let (history, recovered) = History::open(dir.path(), None, |first, events| {
        assert_eq!(usize::try_from(first).unwrap(), replayed.len());
        replayed.extend_from_slice(events);
        Ok(())
    })
    .unwrap();
    assert_eq!(recovered.head, head);
    assert_eq!(history.last_applied(), Some(log_id(2, 12)));
    assert_eq!(history.membership(), membership);
    assert_eq!(history.durable(), head, "a start forces what it found to the disk");
    let expected: Vec<_> = (0..head.size).map(event).collect();
    assert_eq!(replayed, expected);
    for from in 0..=head.size + 1 {
        let read: Vec<_> = history.events(from).map(|event| event.unwrap()).collect();
        let seqs: Vec<_> = read.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (from..head.size).collect::<Vec<_>>());
        for found in read {
            assert_eq!(found.bytes, event(found.seq));
            assert!(events_of(found.index).contains(&found.seq));
        }
    }
}

#[test]
fn no_entry_is_recorded_twice() {
    let dir = support::memory();
    let history = unsynced(dir.path());
    let head = history.head();
    for index in [1, 11, 12] {
        let (id, events) = frame_of(index);
        let error = history.append(id, None, events).unwrap_err();
        assert!(matches!(error, HistoryError::OutOfOrder { last: 12, .. }), "{error}");
    }
    let error = history.append(log_id(1, 13), None, Vec::new()).unwrap_err();
    assert!(matches!(error, HistoryError::OutOfOrder { .. }), "an older term: {error}");
    assert_eq!(history.head(), head);
    append(&history, 13..=13);
    drop(history);
    assert_eq!(open(dir.path()).unwrap().0.last_applied(), Some(log_id(2, 13)));
}

/// Cut at every byte of the last frame, and with the rest of the frame zeroed instead.
#[test]
fn a_torn_tail_is_cut_at_every_byte() {
    let dir = support::memory();
    let (before, length_before) = {
        let (history, _) = open(dir.path()).unwrap();
        append(&history, 1..=14);
        (history.head(), segments(dir.path())[0].metadata().unwrap().len())
    };
    let whole = support::memory();
    std::fs::copy(&segments(dir.path())[0], whole.path().join("00000000000000000001.seg")).unwrap();
    let after = {
        let (history, _) = open(whole.path()).unwrap();
        append(&history, 15..=15);
        history.head()
    };
    let bytes = std::fs::read(&segments(whole.path())[0]).unwrap();
    let start = usize::try_from(length_before).unwrap();
    let mut cuts = 0;
    for at in start..bytes.len() {
        for zeroed in [false, true] {
            let torn = support::memory();
            let path = torn.path().join("00000000000000000001.seg");
            let mut content = bytes[..at].to_vec();
            if zeroed {
                content.resize(bytes.len(), 0);
            }
            std::fs::write(&path, &content).unwrap();
            // Fewer than eight zeros at the end might be the frame's own.
            let told_apart = !zeroed || at + 8 <= bytes.len();
            if (at > start || zeroed) && told_apart {
                let reported = verify(torn.path()).unwrap().torn.unwrap();
                assert_eq!((reported.offset, &reported.path), (length_before, &path));
                assert_eq!(std::fs::read(&path).unwrap(), content, "verify changes nothing");
            }
            let (history, recovered) = open(torn.path()).unwrap();
            assert_eq!(recovered.head, before, "cut at {at}, zeroed {zeroed}");
            assert_eq!(recovered.cut.is_some(), at > start || zeroed, "cut at {at}");
            cuts += 1;
            append(&history, 15..=15);
            assert_eq!(history.head(), after);
            drop(history);
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "the frame came back as it was");
        }
    }
    assert!(cuts > 200, "only {cuts} places were tried");
}

/// The first frame of a later file: the whole file goes.
#[test]
fn a_file_without_a_whole_frame_is_removed() {
    for length in [0, 5, 16, 17, 40] {
        let dir = support::memory();
        let head = unsynced(dir.path()).head();
        let mut content = b"skein-history-1\nskfr".to_vec();
        content.resize(40, 7);
        std::fs::write(dir.path().join("00000000000000000013.seg"), &content[..length]).unwrap();
        assert!(verify(dir.path()).unwrap().torn.is_some());
        let (history, recovered) = open(dir.path()).unwrap();
        assert_eq!(recovered.head, head);
        assert!(recovered.cut.is_some());
        assert_eq!(segments(dir.path()).len(), 1);
        append(&history, 13..=14);
    }
}

/// Every byte of every file, one bit at a time.
#[test]
fn a_flipped_bit_below_the_mark_is_found_and_nothing_is_touched() {
    let dir = support::memory();
    unsynced(dir.path()).sync().unwrap();
    assert_eq!(verify(dir.path()).unwrap().frames, 12);
    assert_eq!(verify(dir.path()).unwrap().torn, None);
    let mut tried = 0;
    for path in files(dir.path()) {
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            for bit in [0, 7] {
                flip(&path, at, bit);
                let bent = std::fs::read(&path).unwrap();
                let error = verify(dir.path()).unwrap_err();
                let HistoryError::Corrupt { path: named, offset, .. } = &error else {
                    panic!("byte {at} of {path:?}: {error}")
                };
                assert!(
                    *named == path && *offset <= u64::try_from(at).unwrap()
                        || path.ends_with("synced"),
                    "byte {at} of {path:?} was reported as {named:?}, {offset}"
                );
                assert!(open(dir.path()).is_err(), "byte {at} of {path:?} was taken");
                assert_eq!(std::fs::read(&path).unwrap(), bent, "nothing was changed");
                std::fs::write(&path, &good).unwrap();
                tried += 1;
            }
        }
    }
    assert!(tried > 2000, "only {tried} flips were tried");
    open(dir.path()).unwrap();
}

/// Above the mark the Raft log holds the entries. A flip in the middle is damage all the same; one
/// in the last frame may be cut, if the log gives the entry back.
#[test]
fn a_flipped_bit_above_the_mark_is_never_taken_for_good() {
    let dir = support::memory();
    drop(unsynced(dir.path()));
    let path = segments(dir.path()).remove(0);
    let good = std::fs::read(&path).unwrap();
    let last_frame = good.windows(4).rposition(|window| window == b"skfr").unwrap();
    let before_last = 11;
    for at in 0..good.len() {
        flip(&path, at, 3);
        match verify(dir.path()) {
            Ok(verified) => assert!(at >= last_frame && verified.torn.is_some(), "byte {at}"),
            Err(error) => assert!(matches!(error, HistoryError::Corrupt { .. }), "{error}"),
        }
        let purged = History::open(dir.path(), Some(12), |_, _| Ok(()));
        assert!(purged.is_err(), "byte {at}: the log no longer has the entry");
        match open(dir.path()) {
            Ok((history, recovered)) => {
                assert!(at >= last_frame, "byte {at} in the middle was cut");
                assert!(recovered.cut.is_some());
                assert_eq!(history.last_applied().unwrap().index, before_last);
                drop(history);
            }
            Err(error) => {
                assert!(at < last_frame, "byte {at}: {error}");
                assert!(matches!(error, HistoryError::Corrupt { .. }), "{error}");
            }
        }
        let mark = dir.path().join("synced");
        if mark.exists() {
            std::fs::remove_file(mark).unwrap();
        }
        std::fs::write(&path, &good).unwrap();
    }
}

#[test]
fn a_history_shorter_than_its_mark_is_refused() {
    let dir = support::memory();
    unsynced(dir.path()).sync().unwrap();
    let path = segments(dir.path()).remove(0);
    let good = std::fs::read(&path).unwrap();
    for keep in 0..good.len() {
        std::fs::write(&path, &good[..keep]).unwrap();
        let error = open(dir.path()).unwrap_err();
        let told = matches!(error, HistoryError::Corrupt { .. } | HistoryError::Shorter { .. });
        assert!(told, "cut to {keep} bytes: {error}");
        assert!(verify(dir.path()).is_err());
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(open(dir.path()), Err(HistoryError::Shorter { .. })));
}

/// Two whole frames exchanged, one left out, one twice: each checksum holds, the tree does not.
#[test]
fn frames_in_another_order_are_found() {
    let dir = support::memory();
    drop(unsynced(dir.path()));
    let path = segments(dir.path()).remove(0);
    let good = std::fs::read(&path).unwrap();
    let starts: Vec<usize> =
        good.windows(4).enumerate().filter(|(_, w)| *w == b"skfr").map(|(at, _)| at).collect();
    let frame = |n: usize| &good[starts[n]..starts.get(n + 1).copied().unwrap_or(good.len())];
    let header = &good[..starts[0]];
    let orders: [&[usize]; 4] = [&[0, 2, 1, 3], &[0, 1, 3], &[0, 1, 1, 2], &[1, 2]];
    for order in orders {
        let mut bytes = header.to_vec();
        for n in order {
            bytes.extend_from_slice(frame(*n));
        }
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(verify(dir.path()), Err(HistoryError::Corrupt { .. })), "{order:?}");
        assert!(matches!(open(dir.path()), Err(HistoryError::Corrupt { .. })), "{order:?}");
    }
}

/// Large enough for several files and many known places.
#[test]
fn reading_seeks_across_files() {
    let dir = support::memory();
    let (history, _) = open(dir.path()).unwrap();
    let big = |seq: u64| bytes::Bytes::from(vec![u8::try_from(seq % 251).unwrap(); 300_000]);
    let count = 500;
    for seq in 0..count {
        history.append(log_id(1, seq + 1), None, vec![big(seq)]).unwrap();
    }
    assert!(segments(dir.path()).len() >= 3);
    let head = history.sync().unwrap().head();
    for from in (0..count).step_by(61).chain([count - 1]) {
        let found = history.events(from).next().unwrap().unwrap();
        assert_eq!((found.seq, found.bytes), (from, big(from)));
    }
    assert_eq!(history.events(0).count(), 500);
    drop(history);
    let (history, recovered) = open(dir.path()).unwrap();
    assert_eq!(recovered.head, head);
    assert_eq!(history.events(count - 2).count(), 2);
    assert_eq!(verify(dir.path()).unwrap().head, head);
    drop(history);
    // A file that is missing, wherever it was.
    for path in segments(dir.path()) {
        let aside = dir.path().join("aside");
        std::fs::rename(&path, &aside).unwrap();
        assert!(verify(dir.path()).is_err(), "{path:?} is missing");
        assert!(open(dir.path()).is_err(), "{path:?} is missing");
        std::fs::rename(&aside, &path).unwrap();
    }
    assert_eq!(open(dir.path()).unwrap().1.head, head);
}

/// Blocks reach the disk in any order, so that a power cut may take one from the middle of what was not
/// forced to it. Above the mark that is a torn tail; below it is damage.
#[test]
fn a_missing_block_above_the_mark_is_cut_and_below_it_is_found() {
    let starts_at = missing_blocks(0);
    // The first frame above the mark begins one, two and three bytes before a block ends, too.
    for left in 1..=3 {
        let pad = (1_024 - left - starts_at % 512) % 512;
        assert_eq!(missing_blocks(pad) % 512, 512 - left);
    }
}

/// Takes each block in turn, and then all of it but its first part, out of a history of which five frames
/// are not forced to the disk; `pad` bytes stand before them. Where the first of them begins.
fn missing_blocks(pad: usize) -> usize {
    let dir = support::memory();
    let big = |index: u64| {
        let filled = 1_500 + if index == 4 { pad } else { 0 };
        vec![format!("event {index} {}", "z".repeat(filled)).into()]
    };
    let synced = {
        let (history, _) = open(dir.path()).unwrap();
        (1..=4).for_each(|index| drop(history.append(log_id(1, index), None, big(index))));
        let synced = history.sync().unwrap().head();
        (5..=9).for_each(|index| drop(history.append(log_id(1, index), None, big(index))));
        synced
    };
    let path = segments(dir.path()).remove(0);
    let good = std::fs::read(&path).unwrap();
    let mark = std::fs::read(dir.path().join("synced")).unwrap();
    let frames = good.windows(4).enumerate().filter(|(_, window)| window == b"skfr");
    let start = frames.map(|(at, _)| at).nth(4).unwrap();
    let (mut cuts, mut damages) = (0, 0);
    for (block, kept) in (0..good.len() / 512).flat_map(|block| [(block, 0), (block, 200)]) {
        let mut bent = good.clone();
        bent[block * 512 + kept..(block + 1) * 512].fill(0);
        // Of a block that both share the first part was forced to the disk before.
        if block == start / 512 {
            bent[..start].copy_from_slice(&good[..start]);
        }
        std::fs::write(&path, &bent).unwrap();
        let above = block >= start / 512;
        match verify(dir.path()) {
            Ok(found) => assert!(above && found.torn.is_some(), "block {block}"),
            Err(error) => assert!(!above, "block {block}: {error}"),
        }
        let purged = History::open(dir.path(), Some(8), |_, _| Ok(()));
        let whole = purged.is_ok_and(|(history, _)| history.last_applied() == Some(log_id(1, 8)));
        let late = block * 512 + kept > good.len() - 1_600;
        assert!(!whole || late, "block {block}: the log has no longer");
        std::fs::write(&path, &bent).unwrap();
        std::fs::write(dir.path().join("synced"), &mark).unwrap();
        match open(dir.path()) {
            Ok((history, recovered)) => {
                assert!(above && recovered.cut.is_some(), "block {block}");
                assert!(history.head().size >= synced.size, "block {block}");
                cuts += 1;
            }
            Err(error) => {
                assert!(!above, "block {block}: {error}");
                assert!(matches!(error, HistoryError::Corrupt { .. }), "{error}");
                damages += 1;
            }
        }
        std::fs::write(dir.path().join("synced"), &mark).unwrap();
    }
    assert!(cuts > 10 && damages > 8, "{cuts}, {damages}");
    start
}
