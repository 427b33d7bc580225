//! The index never says anything that the history does not.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use skein_store::history::leaf_hash;
use skein_store::{History, Hits, Index, log_id};
use support::{files, open, words};

mod support;

/// Event `seq` has the terms `all`, `n<seq % 10>` and `e<seq>`.
fn event(seq: u64) -> Bytes {
    format!("all n{} e{seq}", seq % 10).into()
}

fn grow(history: &History, count: u64) {
    let from = history.head().size;
    for seq in from..from + count {
        history.append(log_id(1, seq + 1), None, vec![event(seq)]).expect("append");
    }
}

/// Waits for the index to have reached the end.
fn caught_up(index: &Index, history: &History) {
    while index.upto() < history.head().size {
        std::thread::yield_now();
    }
}

fn check(index: &Index, history: &History) {
    let size = history.head().size;
    for (term, step, first) in [("all", 1, 0), ("n3", 10, 3), ("n0", 10, 0), ("none", 1, size)] {
        for from in [0, 1, size / 2, size.saturating_sub(2), size, size + 5] {
            let expected: Vec<u64> = (0..size)
                .filter(|seq| *seq >= from && *seq >= first && seq % step == first % step)
                .collect();
            // Page by page, as a caller does.
            let mut found = Vec::new();
            let mut at = from;
            loop {
                let hits = index.lookup(term, at, 97);
                found.extend(hits.seqs);
                if hits.upto <= at || hits.upto >= size {
                    break;
                }
                at = hits.upto;
            }
            assert_eq!(found, expected, "{term} from {from} of {size}");
        }
    }
    assert_eq!(index.lookup("e7", 0, 5), Hits { seqs: vec![7], upto: size });
    assert_eq!(index.lookup("e", 0, 5).seqs, [], "no term is found by its beginning");
}

fn start(dir: &Path, history: &Arc<History>) -> Index {
    Index::open(dir, Arc::clone(history), words)
}

#[test]
fn lookups_are_right_before_while_and_after_it_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let history = Arc::new(open(&dir.path().join("history")).unwrap().0);
    grow(&history, 3000);
    let index = start(&dir.path().join("index"), &history);
    check(&index, &history);
    caught_up(&index, &history);
    check(&index, &history);
    // Not told that the history grew: the tail comes from the history itself.
    grow(&history, 200);
    check(&index, &history);
    drop(index);
    let index = start(&dir.path().join("index"), &history);
    caught_up(&index, &history);
    check(&index, &history);
}

/// Who has it keeps [`stuck`] from going on.
static DISK: Mutex<()> = Mutex::new(());

/// The thread has come there.
static WAITS: AtomicBool = AtomicBool::new(false);

/// The terms of an event, by a thread that goes no further while the disk stands still.
fn stuck(event: &[u8]) -> Vec<String> {
    WAITS.store(true, Ordering::Release);
    let disk = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    let found = words(event);
    drop(disk);
    found
}

/// As sled, which waits for ever for what a failing disk does not take.
#[test]
fn an_index_that_goes_no_further_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let history = Arc::new(open(&dir.path().join("history")).unwrap().0);
    grow(&history, 3000);
    let disk = DISK.lock().unwrap();
    let index = Index::open(&dir.path().join("index"), Arc::clone(&history), stuck);
    while !WAITS.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    drop(index);
    drop(disk);
}

#[test]
fn an_index_of_another_or_a_shorter_history_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let history = Arc::new(open(&dir.path().join("history")).unwrap().0);
    grow(&history, 500);
    caught_up(&start(&path, &history), &history);
    for (name, count) in [("shorter", 100), ("other", 600)] {
        let other = Arc::new(open(&dir.path().join(name)).unwrap().0);
        other.append(log_id(1, 1), None, vec![Bytes::from_static(b"shift")]).unwrap();
        for seq in 1..count {
            other.append(log_id(1, seq + 1), None, vec![event(seq + 1)]).unwrap();
        }
        let index = start(&path, &other);
        caught_up(&index, &other);
        assert_eq!(index.lookup("shift", 0, 9).seqs, [0]);
        assert_eq!(index.lookup("e50", 0, 9).seqs, [49]);
    }
}

/// Damage anywhere in sled's files, or files that are none: lookups stay right.
#[test]
fn a_damaged_index_is_rebuilt_and_never_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let history = Arc::new(open(&dir.path().join("history")).unwrap().0);
    grow(&history, 300);
    caught_up(&start(&path, &history), &history);
    for round in 0..8_usize {
        let file = path.join(if round % 4 == 3 { "conf" } else { "db" });
        let mut bytes = std::fs::read(&file).unwrap();
        let len = bytes.len();
        match round {
            0 => bytes.truncate(len / 2),
            1 => bytes.fill(0xff),
            2 => bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 0x55),
            3 => bytes.fill(b'x'),
            4 => bytes.clear(),
            5 => bytes.iter_mut().take(4096).for_each(|byte| *byte = 0),
            6 => bytes.iter_mut().skip(len / 4).for_each(|byte| *byte = 1),
            _ => bytes.clear(),
        }
        std::fs::write(&file, bytes).unwrap();
        let index = start(&path, &history);
        caught_up(&index, &history);
        check(&index, &history);
        assert!(!files(&path).is_empty());
    }
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::write(&path, "not a directory").unwrap();
    let index = start(&path, &history);
    check(&index, &history);
}

/// Closed and opened again at every size around a block of 1024, and with events so large that a
/// block takes many batches.
#[test]
fn a_restart_in_the_middle_of_a_block_leaves_no_gap() {
    fn size_and_parity(event: &[u8]) -> Vec<String> {
        let parity = event.first().copied().unwrap_or(0) % 2;
        vec!["any".to_owned(), format!("p{parity}"), "any".to_owned()]
    }
    let dir = tempfile::tempdir().unwrap();
    let history = Arc::new(open(&dir.path().join("history")).unwrap().0);
    let sizes = [1, 2, 500, 1022, 1023, 1024, 1025, 1026, 1500, 2047, 2048, 2049, 2600_u64];
    for size in sizes {
        for seq in history.head().size..size {
            let large = if seq % 3 == 0 { 9_000 } else { 1 };
            let bytes = Bytes::from(vec![u8::try_from(seq % 7).unwrap(); large]);
            history.append(log_id(1, seq + 1), None, vec![bytes]).unwrap();
        }
        let path = dir.path().join("index");
        let index = Index::open(&path, Arc::clone(&history), size_and_parity);
        caught_up(&index, &history);
        let any = index.lookup("any", 0, usize::MAX);
        assert_eq!(any, Hits { seqs: (0..size).collect(), upto: size });
        for from in [0, 1023, 1024, size / 2] {
            let odd: Vec<u64> = (from..size).filter(|seq| seq % 7 % 2 == 1).collect();
            assert_eq!(index.lookup("p1", from, usize::MAX).seqs, odd, "{from} of {size}");
        }
    }
}

#[test]
fn long_terms_are_told_apart() {
    fn whole(event: &[u8]) -> Vec<String> {
        vec![String::from_utf8_lossy(event).into_owned()]
    }
    let dir = tempfile::tempdir().unwrap();
    let history = Arc::new(open(&dir.path().join("history")).unwrap().0);
    let long = |last: char| format!("{}{last}", "x".repeat(70_000));
    for (index, last) in (1..).zip(['a', 'b', 'a']) {
        history.append(log_id(1, index), None, vec![long(last).into()]).unwrap();
    }
    let index = Index::open(&dir.path().join("index"), Arc::clone(&history), whole);
    caught_up(&index, &history);
    assert_eq!(index.lookup(&long('a'), 0, 9).seqs, [0, 2]);
    assert_eq!(index.lookup(&long('b'), 0, 9).seqs, [1]);
    assert_ne!(leaf_hash(long('a').as_bytes()), leaf_hash(long('b').as_bytes()));
}
