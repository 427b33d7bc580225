//! What the tests of this crate share.
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use openraft::storage::RaftStateMachine;
use skein_store::history::{HistoryError, Recovered};
use skein_store::{
    Applied, Entry, EntryPayload, Halt, History, Identity, LogId, Machine, Payload, StateMachine,
    Store, log_id,
};

/// A directory in memory, where there is such a place: for tests that open a store thousands of times,
/// each of which forces its files to the disk.
pub(crate) fn memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory")
}

/// Event `seq` of the one history that the tests know: its bytes follow from its number.
pub(crate) fn event(seq: u64) -> Bytes {
    let len = usize::try_from(seq * 7 % 40).expect("small");
    let mut bytes = format!("event {seq} ").into_bytes();
    bytes.resize(bytes.len() + len, b'.');
    bytes.into()
}

/// Entry `index` brings `index % 4` events.
pub(crate) fn events_of(index: u64) -> std::ops::Range<u64> {
    let before =
        |index: u64| (index / 4) * 6 + [0, 0, 1, 3][usize::try_from(index % 4).expect("small")];
    before(index)..before(index + 1)
}

/// What entry `index` adds to a history.
pub(crate) fn frame_of(index: u64) -> (LogId, Vec<Bytes>) {
    (log_id(1 + index / 10, index), events_of(index).map(event).collect())
}

pub(crate) fn append(history: &History, indexes: std::ops::RangeInclusive<u64>) {
    for index in indexes {
        let (id, events) = frame_of(index);
        history.append(id, None, events).expect("append");
    }
}

/// Opens a history of which the Raft log holds everything.
pub(crate) fn open(dir: &Path) -> Result<(History, Recovered), HistoryError> {
    History::open(dir, None, |_, _| Ok(()))
}

/// The files in `dir`, by name.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    files(dir).into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "seg")).collect()
}

/// A machine that keeps every event it was given, and takes a payload as one event.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) events: Mutex<Vec<Bytes>>,
}

impl Recorder {
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.events.lock().expect("no panic").len()).expect("small")
    }

    pub(crate) fn events(&self) -> Vec<Bytes> {
        self.events.lock().expect("no panic").clone()
    }
}

impl Machine for Recorder {
    fn apply(&self, index: u64, payload: &Bytes) -> Result<Applied, Halt> {
        if payload.as_ref() == b"halt" {
            return Err(Halt::new("told to"));
        }
        self.events.lock().expect("no panic").push(payload.clone());
        let response = Bytes::from(index.to_string());
        Ok(Applied { events: vec![payload.clone()], chunk: None, response })
    }

    fn replay(&self, first_seq: u64, events: &[Bytes]) -> Result<(), Halt> {
        let mut have = self.events.lock().expect("no panic");
        let len = u64::try_from(have.len()).expect("small");
        if first_seq != len {
            return Err(Halt::new(format!("event {first_seq} was replayed after {len} events")));
        }
        have.extend_from_slice(events);
        Ok(())
    }
}

/// The words of an event are its terms.
pub(crate) fn words(event: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(event).split_whitespace().map(str::to_owned).collect()
}

pub(crate) fn identity(node: u64) -> Identity {
    Identity { cluster: b"a cluster of tests".to_vec(), node }
}

pub(crate) fn store(dir: &Path) -> Store<Recorder> {
    Store::open(dir, &identity(1), Arc::new(Recorder::default()), words).expect("a store")
}

pub(crate) fn normal(index: u64, payload: impl Into<Bytes>) -> Entry {
    Entry { log_id: log_id(1, index), payload: EntryPayload::Normal(Payload(payload.into())) }
}

/// Applies entries as openraft would.
pub(crate) async fn apply<M: Machine>(
    machine: &mut StateMachine<M>,
    entries: impl IntoIterator<Item = Entry>,
) -> std::io::Result<()> {
    let entries: Vec<_> = entries.into_iter().map(|entry| Ok((entry, None))).collect();
    machine.apply(futures::stream::iter(entries)).await
}
