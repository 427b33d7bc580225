//! Damage in the Raft log: refused, unless it is the torn end of an unacknowledged write.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::storage::{RaftLogReader, RaftLogStorage, RaftLogStorageExt};
use skein_store::{Entry, OpenError, Store, Vote};
use support::{Recorder, files, identity, normal, words};

mod support;

const COUNT: u64 = 6;

fn entry(index: u64) -> Entry {
    normal(index, format!("entry {index} {}", "y".repeat(20)))
}

fn wal(dir: &Path) -> Vec<PathBuf> {
    let log = files(&dir.join("log"));
    log.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "wal")).collect()
}

async fn content(store: &mut Store<Recorder>) -> (Vec<Entry>, Option<Vote>) {
    let mut reader = store.log.get_log_reader().await;
    let entries = reader.try_get_log_entries(0..).await.expect("readable");
    (entries, reader.read_vote().await.expect("readable"))
}

/// Writes a log, then opens it once for each byte of it as `bend` leaves the file. Says how often
/// it was refused.
fn check(
    vote_last: bool,
    bend: impl Fn(&mut Vec<u8>, usize) -> bool,
    torn_from: impl Fn(usize) -> usize,
) -> u32 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = support::memory();
    let mut store = support::store(dir.path());
    let vote = Vote::new_committed(1, 1);
    runtime.block_on(async {
        if !vote_last {
            store.log.save_vote(&vote).await.expect("vote");
        }
        for index in 1..=COUNT {
            store.log.blocking_append([entry(index)]).await.expect("append");
        }
        if vote_last {
            store.log.save_vote(&vote).await.expect("vote");
        }
    });
    drop(store);
    let path = wal(dir.path()).pop().expect("a file");
    let good = std::fs::read(&path).expect("readable");
    let whole = ((1..=COUNT).map(entry).collect::<Vec<_>>(), Some(vote));
    let mut refused = 0;
    for at in 0..good.len() {
        let mut bent = good.clone();
        if !bend(&mut bent, at) {
            continue;
        }
        std::fs::write(&path, &bent).expect("written");
        let machine = Arc::new(Recorder::default());
        match Store::open(dir.path(), &identity(1), machine, words) {
            Err(_) => refused += 1,
            Ok(mut store) => {
                let found = runtime.block_on(content(&mut store));
                if at < torn_from(good.len()) {
                    assert_eq!(found, whole, "byte {at} of {}", good.len());
                } else {
                    assert_eq!(found.0, whole.0[..found.0.len()], "byte {at}");
                }
            }
        }
        for path in wal(dir.path()) {
            std::fs::remove_file(path).expect("removed");
        }
        std::fs::write(&path, &good).expect("written");
    }
    refused
}

#[test]
fn a_flipped_bit_is_never_taken_for_a_torn_end() {
    for vote_last in [false, true] {
        let mut refused = 0;
        for bit in 0..8 {
            let flip = |bytes: &mut Vec<u8>, at: usize| {
                bytes[at] ^= 1 << bit;
                true
            };
            refused += check(vote_last, flip, |len| len);
        }
        println!("vote last: {vote_last}; refused {refused} times");
        assert!(refused > 8 * 400, "{refused}");
    }
}

/// A write that did not finish: cut at any byte, or zeros from there on. What is whole stays.
#[test]
fn a_torn_end_is_cut() {
    let cut = |bytes: &mut Vec<u8>, at: usize| {
        bytes.truncate(at);
        true
    };
    assert_eq!(check(false, cut, |_| 0), 0);
    let zero = |bytes: &mut Vec<u8>, at: usize| {
        bytes.iter_mut().skip(at).for_each(|byte| *byte = 0);
        // Whole records of zeros do not occur, but zeros may end one.
        at.is_multiple_of(16)
    };
    let refused = check(false, zero, |_| 0);
    println!("zeroed at {refused} places: refused rather than cut");
}

/// A log of these entries: its file, and what is in it.
async fn written(dir: &Path, entry: impl Fn(u64) -> Entry) -> (PathBuf, Vec<u8>) {
    let mut store = support::store(dir);
    for index in 1..=COUNT {
        store.log.blocking_append([entry(index)]).await.expect("append");
    }
    drop(store);
    let path = wal(dir).pop().expect("a file");
    let bytes = std::fs::read(&path).expect("readable");
    (path, bytes)
}

/// The log that has these bytes and no others.
fn opened(dir: &Path, path: &Path, bytes: &[u8]) -> Result<Store<Recorder>, OpenError> {
    for path in wal(dir) {
        std::fs::remove_file(path).expect("removed");
    }
    std::fs::write(path, bytes).expect("written");
    Store::open(dir, &identity(1), Arc::new(Recorder::default()), words)
}

/// Blocks reach the disk in any order: of a write that was not forced to it one may be missing, with
/// whole records behind it. None of them was acknowledged.
#[test]
fn a_missing_block_is_a_torn_end() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = support::memory();
    let big = |index: u64| normal(index, format!("entry {index} {}", "z".repeat(1_700)));
    let (path, good) = runtime.block_on(written(dir.path(), big));
    let mut ends = Vec::new();
    for block in 0..good.len() / 512 {
        for blocks in 1..3 {
            let mut bent = good.clone();
            let end = bent.len().min((block + blocks) * 512);
            bent[block * 512..end].fill(0);
            let mut store = opened(dir.path(), &path, &bent).unwrap();
            let (entries, _) = runtime.block_on(content(&mut store));
            assert_eq!(entries, (1..=COUNT).map(big).take(entries.len()).collect::<Vec<_>>());
            ends.push(entries.len());
            // It goes on from there.
            let next = u64::try_from(entries.len()).unwrap() + 1;
            runtime.block_on(store.log.blocking_append([big(next)])).unwrap();
        }
    }
    assert!(ends.contains(&0) && ends.contains(&5), "{ends:?}");
}

/// A record that came in two writes, of which the second was lost with the power: the first bytes are there,
/// and the rest of their block is zeros.
#[test]
fn a_record_of_which_the_second_write_is_missing_is_a_torn_end() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = support::memory();
    let mut store = support::store(dir.path());
    let mut starts = Vec::new();
    for index in 1..=COUNT {
        let written = wal(dir.path()).pop().map_or(0, |path| path.metadata().unwrap().len());
        starts.push(usize::try_from(written).unwrap());
        runtime.block_on(store.log.blocking_append([entry(index)])).unwrap();
    }
    drop(store);
    let path = wal(dir.path()).pop().unwrap();
    let good = std::fs::read(&path).unwrap();
    let last = *starts.last().unwrap();
    // The file's length came through, and in the second round more of it than was written.
    for behind in [0, 300] {
        // Where a part of a checksum is missing, the record's or its length's, that is not told from a flipped
        // bit, and refused.
        let length = last + 24..=last + 28;
        for at in (last..=good.len() - 4).filter(|at| *at == last + 24 || !length.contains(at)) {
            let mut bent = good.clone();
            bent[at..].fill(0);
            bent.resize(good.len() + behind, 0);
            let mut store = opened(dir.path(), &path, &bent)
                .unwrap_or_else(|error| panic!("byte {at} of {}: {error:?}", good.len()));
            let (entries, _) = runtime.block_on(content(&mut store));
            assert_eq!(entries, (1..COUNT).map(entry).collect::<Vec<_>>(), "byte {at}");
        }
    }
}

/// A sector that another one overwrote, and that ends in zeros, is no torn end while whole records stand behind it:
/// the node refuses, and forgets nothing.
#[test]
fn a_sector_that_was_written_to_the_wrong_place_is_damage() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = support::memory();
    let big = |index: u64| normal(index, format!("entry {index} {}", "z".repeat(700)));
    let (path, good) = runtime.block_on(written(dir.path(), big));
    // The last sector of the file, whose rest is zeros on the disk.
    let mut stray = good[good.len() / 512 * 512..].to_vec();
    stray.resize(512, 0);
    let mut refused = 0;
    for sector in 0..good.len() / 512 - 1 {
        let mut bent = good.clone();
        bent[sector * 512..(sector + 1) * 512].copy_from_slice(&stray);
        refused += u32::from(opened(dir.path(), &path, &bent).is_err());
    }
    assert_eq!(refused as usize, good.len() / 512 - 1);
}
