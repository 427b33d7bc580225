//! A process that is killed while it writes: everything it had acknowledged is there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use openraft::storage::{RaftLogReader, RaftLogStorage, RaftLogStorageExt};
use skein_store::history::verify;
use skein_store::{Chunk, Entry, Store, Vote, log_id};
use support::{Recorder, apply, identity, normal, store, words};

mod support;

const DIR: &str = "SKEIN_STORE_TEST_DIR";
const ROUNDS: u64 = 20;

fn entry(index: u64) -> Entry {
    let len = usize::try_from(index * 31 % 3000).expect("small");
    normal(index, format!("{index} {}", "x".repeat(len)))
}

fn last(store: &mut Store<Recorder>, runtime: &tokio::runtime::Runtime) -> Option<u64> {
    let state = runtime.block_on(store.log.get_log_state()).expect("a log state");
    state.last_log_id.map(|id| id.index)
}

/// Says on the standard output what it has promised, until it is killed.
fn write_until_killed(dir: &Path) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut store = store(dir);
    let mut out = std::io::stdout();
    let mut say = |text: String| {
        out.write_all(format!("\n@ {text}\n").as_bytes())
            .and_then(|()| out.flush())
            .expect("a reader");
    };
    // Whatever the log has and the history has not, as openraft does at start.
    let have = store.history.last_applied().map_or(0, |id| id.index);
    let mut next = last(&mut store, &runtime).map_or(1, |index| index + 1);
    runtime.block_on(async {
        let mut reader = store.log.get_log_reader().await;
        let owed = reader.try_get_log_entries(have + 1..next).await.expect("the log");
        apply(&mut store.state_machine, owed).await.expect("apply");
        loop {
            let count = 1 + next % 7;
            let batch: Vec<Entry> = (next..next + count).map(entry).collect();
            store.log.blocking_append(batch.clone()).await.expect("append");
            say(format!("logged {}", next + count - 1));
            let committed = log_id(1, next + count - 1);
            store.log.save_committed(Some(committed)).await.expect("committed");
            apply(&mut store.state_machine, batch).await.expect("apply");
            if next.is_multiple_of(3) {
                let vote = Vote::new(next, 1);
                store.log.save_vote(&vote).await.expect("vote");
                say(format!("voted {next}"));
            }
            if next.is_multiple_of(5) {
                let head = store.history.sync().expect("sync").head();
                say(format!("synced {} {}", head.size, head.root));
            }
            if next.is_multiple_of(40) && next > 500 {
                store.log.purge(log_id(1, next - 400)).await.expect("purge");
                say(format!("purged {}", next - 400));
            }
            next += count;
        }
    });
}

#[derive(Debug, Default)]
struct Promised {
    logged: u64,
    voted: u64,
    synced: Option<(u64, String)>,
    purged: u64,
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    if let Some(dir) = std::env::var_os(DIR) {
        write_until_killed(Path::new(&dir));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut promised = Promised::default();
    let mut cuts = 0;
    for round in 0..ROUNDS {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new(program)
            .args(["--exact", "what_was_acknowledged_survives_kill_9", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut wanted = 5 + round * 13 % 90;
        let mut learn = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["@", "logged", index] => promised.logged = index.parse().unwrap(),
                ["@", "voted", term] => promised.voted = term.parse().unwrap(),
                ["@", "purged", index] => promised.purged = index.parse().unwrap(),
                ["@", "synced", size, root] => {
                    promised.synced = Some((size.parse().unwrap(), (*root).to_owned()));
                }
                _ => return false,
            }
            true
        };
        while wanted > 0 {
            let line = lines.next().expect("the child goes on until it is killed").unwrap();
            wanted -= u64::from(learn(&line));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had promised before the signal reached it. The last line may be half.
        for line in lines.map_while(Result::ok) {
            learn(&line);
        }

        let found = verify(&dir.path().join("history")).unwrap();
        let mut store = store(dir.path());
        cuts += u64::from(store.recovered.cut.is_some());
        assert_eq!(store.recovered.cut.is_some(), found.torn.is_some(), "round {round}");
        let last = last(&mut store, &runtime).unwrap();
        assert!(last >= promised.logged, "round {round}: {last} < {}", promised.logged);
        let applied = store.history.last_applied().map_or(0, |id| id.index);
        assert!(applied <= last, "round {round}: {applied} was applied, the log ends at {last}");
        let (size, root) = promised.synced.clone().unwrap_or_default();
        assert!(store.history.head().size >= size, "round {round}");
        if size > 0 {
            assert_eq!(store.history.head_at(size).unwrap().root.to_string(), root);
        }
        let events = store.state_machine.machine().events();
        assert_eq!(u64::try_from(events.len()).unwrap(), applied, "each entry once, none left out");
        for (index, event) in (1..).zip(&events) {
            assert_eq!(normal(index, event.clone()), entry(index), "round {round}");
        }
        let log: Vec<Entry> = runtime.block_on(async {
            let mut reader = store.log.get_log_reader().await;
            let vote = reader.read_vote().await.unwrap().map_or(0, |vote| vote.leader_id.term);
            assert!(vote >= promised.voted, "round {round}: vote {vote} < {}", promised.voted);
            reader.try_get_log_entries(0..).await.unwrap()
        });
        let first = log.first().map_or(last + 1, |entry| entry.log_id.index);
        assert!(first > promised.purged, "round {round}");
        assert!(first <= applied + 1, "round {round}: purged past what is applied");
        assert_eq!(log, (first..=last).map(entry).collect::<Vec<_>>(), "round {round}");
        let committed = runtime.block_on(store.log.read_committed()).unwrap();
        assert!(committed.is_none_or(|id| id.index <= last));
    }
    assert!(promised.purged > 0 && promised.voted > 0, "{promised:?}");
    println!("{ROUNDS} kills, {promised:?}, {cuts} torn tails");
}

/// A small disk of memory at a directory of its own; none without the right to mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(dir.path())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self(dir))
    }

    fn grow(&self) {
        let grown =
            Command::new("mount").args(["-o", "remount,size=64m"]).arg(self.0.path()).status();
        assert!(grown.expect("mount runs").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// A disk that fills up stops the node with an error that says so; with room again it starts, and
/// nothing acknowledged is missing.
#[test]
fn a_full_disk_stops_the_node_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        println!("*** NOT TESTED: a full disk needs the right to mount a tmpfs (run as root) ***");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let data = disk.0.path().join("data");
    let mut opened = store(&data);
    let big = |index: u64| normal(index, vec![u8::try_from(index % 251).unwrap(); 200_000]);
    let mut acknowledged = 0;
    let error = loop {
        let index = acknowledged + 1;
        let result = runtime.block_on(apply(&mut opened.state_machine, [big(index)]));
        let result = result.and_then(|()| opened.history.sync().map_err(std::io::Error::other));
        match result {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(acknowledged > 20, "{acknowledged}");
    let mut chain = error.to_string();
    let mut source = error.get_ref().and_then(std::error::Error::source);
    while let Some(cause) = source {
        chain = format!("{chain}: {cause}");
        source = cause.source();
    }
    assert!(chain.contains("No space left"), "{chain}");
    // Nothing more is taken, even if room appears meanwhile.
    let again = runtime.block_on(apply(&mut opened.state_machine, [big(acknowledged + 2)]));
    assert!(again.unwrap_err().to_string().contains("stopped after an earlier error"));
    let chunk = Chunk {
        digest: skein_store::Digest::of(b"not this"),
        offset: 0,
        total: 9_000_000,
        bytes: vec![1; 8_000_000].into(),
    };
    assert!(opened.blobs.put(&chunk).is_err());
    drop(opened);
    disk.grow();
    let machine = Arc::new(Recorder::default());
    let mut opened = Store::open(&data, &identity(1), machine, words).unwrap();
    let applied = opened.history.last_applied().unwrap().index;
    assert!(applied >= acknowledged);
    runtime.block_on(apply(&mut opened.state_machine, [big(applied + 1)])).unwrap();
    let head = opened.history.sync().unwrap().head();
    assert_eq!(verify(&data.join("history")).unwrap().head, head);
}

#[test]
fn a_full_disk_stops_the_raft_log_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        println!("*** NOT TESTED: a full disk needs the right to mount a tmpfs (run as root) ***");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let data = disk.0.path().join("data");
    let mut opened = store(&data);
    let big = |index: u64| normal(index, vec![u8::try_from(index % 251).unwrap(); 200_000]);
    let mut acknowledged = 0;
    while runtime.block_on(opened.log.blocking_append([big(acknowledged + 1)])).is_ok() {
        acknowledged += 1;
    }
    assert!(acknowledged > 20, "{acknowledged}");
    assert!(runtime.block_on(opened.log.save_vote(&Vote::new(9, 1))).is_err(), "it has stopped");
    let released = opened.released();
    drop(opened);
    runtime.block_on(released);
    disk.grow();
    let mut opened = store(&data);
    let last = last(&mut opened, &runtime).unwrap();
    assert!(last >= acknowledged, "{last} < {acknowledged}");
    let log = runtime.block_on(async {
        opened.log.get_log_reader().await.try_get_log_entries(0..).await.unwrap()
    });
    assert_eq!(log, (1..=last).map(big).collect::<Vec<_>>());
    runtime.block_on(opened.log.blocking_append([big(last + 1)])).unwrap();
}
