//! Whether everything promised is there, and whether what is there is right.

use std::path::Path;

use openraft::storage::{RaftLogReader, RaftLogStorage};
use skein_store::history::{TreeHead, verify};
use skein_store::{Digest, Entry, Store};
use tokio::runtime::Runtime;

use super::machine::{BLOB_EVERY, Recorder, blob, chain, entry, event, half, open};
use super::promised::Promised;

/// What a check saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found {
    /// Entries of the log's end.
    pub last: u64,
    /// How many of the two histories had a torn tail, which was cut.
    pub torn: u64,
}

macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err(format!($($text)*));
        }
    };
}

/// Opens the stores in `dir`, and compares. Changes what opening changes.
pub fn check(dir: &Path, promised: &Promised) -> Result<Found, String> {
    let runtime = Runtime::new().map_err(|error| chain(&error))?;
    let mut found = Found::default();
    for (node, name) in [(1, "leader"), (2, "follower")] {
        let dir = dir.join(name);
        if !dir.exists() {
            let any = if node == 1 { promised.count > 0 } else { !promised.installed.is_empty() };
            ensure!(!any, "{name}: nothing is left of what was promised: {promised:?}");
            continue;
        }
        let before = dir.join("history").exists().then(|| verify(&dir.join("history"))).transpose();
        let before = before.map_err(|error| format!("{name}: {}", chain(&error)))?;
        let mut store = open(&dir, node).map_err(|error| format!("{name}: {}", chain(&error)))?;
        let torn = before.as_ref().is_some_and(|seen| seen.torn.is_some());
        ensure!(torn == store.recovered.cut.is_some(), "{name}: torn {torn}, but cut otherwise");
        found.torn += u64::from(torn);
        let synced = if node == 1 { &promised.synced } else { &promised.installed };
        for (size, root) in synced {
            let head = store.history.head();
            ensure!(
                head.size >= *size,
                "{name}: {size} events were forced to the disk, {head} is there"
            );
            let then = store.history.head_at(*size).map(|head: TreeHead| head.root.to_string());
            let then = then.map_err(|error| format!("{name}: {}", chain(&error)))?;
            ensure!(then == *root, "{name}: another root at {size}: {then}, not {root}");
        }
        events(&store).map_err(|what| format!("{name}: {what}"))?;
        if node == 1 {
            found.last = runtime.block_on(log(&mut store, promised))?;
            blobs(&store, promised)?;
        }
    }
    Ok(found)
}

/// Every event once, in order, none that was never written.
fn events(store: &Store<Recorder>) -> Result<(), String> {
    let events = store.state_machine.machine().events();
    let applied = store.history.last_applied().map_or(0, |id| id.index);
    let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
    ensure!(count == applied, "{count} events by entry {applied}");
    for (index, found) in (1..).zip(&events) {
        ensure!(event(index).as_ref() == Some(found), "event of entry {index} is another");
    }
    Ok(())
}

/// The log: all promised entries, a vote no older than promised, and no hole to what is applied.
async fn log(store: &mut Store<Recorder>, promised: &Promised) -> Result<u64, String> {
    let applied = store.history.last_applied().map_or(0, |id| id.index);
    let broken = |error: std::io::Error| chain(&error);
    let state = store.log.get_log_state().await.map_err(broken)?;
    let last = state.last_log_id.map_or(0, |id| id.index);
    ensure!(last >= promised.logged, "the log ends at {last}, and had {}", promised.logged);
    ensure!(applied <= last, "{applied} is applied, the log ends at {last}");
    let mut reader = store.log.get_log_reader().await;
    let vote = reader.read_vote().await.map_err(broken)?.map_or(0, |vote| vote.leader_id.term);
    ensure!(vote >= promised.voted, "the vote is of term {vote}, and was of {}", promised.voted);
    let log: Vec<Entry> = reader.try_get_log_entries(0..).await.map_err(broken)?;
    let first = log.first().map_or(last + 1, |entry| entry.log_id.index);
    ensure!(first <= applied + 1, "the log begins at {first}, and only {applied} is applied");
    for (index, found) in (first..).zip(&log) {
        ensure!(*found == entry(index), "entry {index} is another");
    }
    ensure!(log.last().is_none_or(|entry| entry.log_id.index == last), "the log has a hole");
    let committed = store.log.read_committed().await.map_err(broken)?;
    ensure!(committed.is_none_or(|id| id.index <= last), "committed past the log's end");
    Ok(last)
}

/// Blobs whose entries will not be applied again are whole.
fn blobs(store: &Store<Recorder>, promised: &Promised) -> Result<(), String> {
    for index in (BLOB_EVERY..=promised.blobs).step_by(11) {
        let (number, second) = half(index);
        if !second {
            continue;
        }
        let content = blob(number);
        let there = store.blobs.get(&Digest::of(&content)).map_err(|error| chain(&error))?;
        ensure!(there.as_ref() == Some(&content), "blob {number} of entry {index} is not there");
    }
    Ok(())
}
