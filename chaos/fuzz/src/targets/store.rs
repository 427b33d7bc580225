//! What the store reads from the disk and from its peers.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use openraft::storage::{
    RaftLogReader, RaftLogStorage, RaftLogStorageExt, RaftSnapshotBuilder, RaftStateMachine,
};
use skein_chaos::writer::machine::{entry, open};
use skein_store::history::{Joint, verify};
use skein_store::{History, SnapshotData, Store, codec, log_id};

use super::Target;

/// The words on Raft's own wire.
fn codecs(bytes: &[u8]) -> bool {
    let bytes = Bytes::copy_from_slice(bytes);
    let entry = codec::decode_entry(bytes.clone());
    if let Ok(entry) = &entry {
        let again = codec::decode_entry(codec::encode_entry(entry));
        assert_eq!(again.ok().as_ref(), Some(entry), "an entry is read as it was written");
    }
    let vote = codec::decode_vote(bytes.clone());
    let meta = codec::decode_snapshot_meta(bytes.clone());
    let membership = codec::decode_stored_membership(bytes);
    entry.is_ok() || vote.is_ok() || meta.is_ok() || membership.is_ok()
}

/// The frames of a snapshot, as they come from a peer.
fn frames(scratch: &Path, bytes: &[u8]) -> bool {
    let dir = fresh(scratch);
    let (history, _) = History::open(&dir, None, |_, _| Ok(())).expect("an empty history");
    let mut incoming = history.receive().expect("a snapshot can be begun");
    let (mut rest, mut taken) = (Bytes::copy_from_slice(bytes), false);
    // A case is frames behind one another, each with its length before it.
    while let Some((len, _)) = rest.split_first_chunk::<4>() {
        let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
        let frame = rest.slice(4..).slice(..len.min(rest.len() - 4));
        rest = rest.slice(4 + frame.len()..);
        if incoming.push(&frame).is_err() {
            return taken;
        }
        taken = true;
    }
    taken
}

fn fresh(dir: &Path) -> PathBuf {
    if dir.exists() {
        fs::remove_dir_all(dir).expect("the scratch directory is ours");
    }
    fs::create_dir_all(dir).expect("the scratch directory can be made");
    dir.to_owned()
}

/// A store with a few entries and a vote: its directory.
fn written(dir: &Path) -> PathBuf {
    let dir = fresh(dir);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut store = open(&dir, 1).expect("a store");
    runtime.block_on(async {
        for index in 1..=4 {
            store.log.blocking_append([entry(index)]).await.expect("appended");
        }
    });
    for index in 1..=4 {
        let event = Bytes::from(format!("event {index}"));
        store.history.append(log_id(1, index), None, vec![event]).expect("appended");
    }
    dir
}

fn only(dir: &Path, ending: &str) -> PathBuf {
    let entries =
        fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut found = entries.filter(|path| path.extension().is_some_and(|found| found == ending));
    found.next().expect("the store has written one")
}

/// A file of the store is what the case says, and the node starts on it, or says why not.
fn file(from: &Path, scratch: &Path, name: &str, bytes: &[u8]) -> bool {
    let dir = fresh(scratch);
    skein_chaos::place::copy(from, &dir).expect("copied");
    fs::write(dir.join(name), bytes).expect("written");
    drop(verify(&dir.join("history")));
    match open(&dir, 1) {
        Err(error) => {
            assert!(!error.to_string().is_empty(), "a refusal says why");
            false
        }
        Ok(store) => read_all(&store),
    }
}

fn read_all<M: skein_store::Machine>(store: &Store<M>) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut log = store.log.clone();
        let mut reader = log.get_log_reader().await;
        let entries = reader.try_get_log_entries(0..).await;
        entries.is_ok() && reader.read_vote().await.is_ok()
    }) && store.history.events(0).all(|event| event.is_ok())
}

/// All frames of a snapshot, each with its length before it.
fn snapshot<M: skein_store::Machine>(store: &mut Store<M>) -> Vec<u8> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let built = runtime.block_on(async {
        let mut builder = store.state_machine.get_snapshot_builder().await;
        builder.build_snapshot().await.expect("a snapshot")
    });
    let SnapshotData::Outgoing(outgoing) = built.snapshot else { return Vec::new() };
    let mut all = Vec::new();
    for frame in outgoing.frames_after(&Joint::default()).expect("ours") {
        let frame = frame.expect("whole");
        let len = u32::try_from(frame.len()).expect("small");
        all.extend_from_slice(&len.to_le_bytes());
        all.extend_from_slice(&frame);
    }
    all
}

pub(super) fn targets(scratch: &Path) -> Vec<Target> {
    let from = written(&scratch.join("store-seed"));
    let mut store = open(&from, 1).expect("a store");
    let frames_seed = snapshot(&mut store);
    drop(store);
    let entries: Vec<Vec<u8>> =
        (1..5).map(|index| codec::encode_entry(&entry(index)).to_vec()).collect();
    let mut targets = Vec::new();
    targets.push(Target {
        name: "store-codec",
        seeds: entries
            .into_iter()
            .chain([
                codec::encode_vote(&skein_store::Vote::new(3, 1)).to_vec(),
                codec::encode_log_id(&log_id(1, 2)).to_vec(),
                codec::encode_snapshot_meta(&skein_store::SnapshotMeta::default()).to_vec(),
            ])
            .collect(),
        words: &[],
        door: Box::new(codecs),
    });
    let place = scratch.join("frames");
    targets.push(Target {
        name: "snapshot",
        seeds: vec![frames_seed],
        words: &["skfr"],
        door: Box::new(move |bytes| frames(&place, bytes)),
    });
    let wal = only(&from.join("log"), "wal");
    let segment = only(&from.join("history"), "seg");
    for (name, path) in [
        ("raft-log-file", wal),
        ("history-file", segment),
        ("durable-mark", from.join("history/synced")),
        ("identity", from.join("identity")),
    ] {
        let seed = fs::read(&path).expect("the store has written it");
        let within = path.strip_prefix(&from).expect("in it").to_string_lossy().into_owned();
        let (from, place) = (from.clone(), scratch.join(name));
        targets.push(Target {
            name,
            seeds: vec![seed],
            words: &["skfr"],
            door: Box::new(move |bytes| file(&from, &place, &within, bytes)),
        });
    }
    targets
}
