//! A store on a disk whose fsync fails once: what the next process reads of it and goes on from is on the disk.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use skein_chaos::writer::machine::{Recorder, chain, entry};
use skein_chaos_interpose::disk::{Behaviour, Left};
use skein_chaos_interpose::{Chance, Owner, Simulation, disk};
use skein_store::{Identity, Store, log_id};

const NODE: &str = "node";

/// A process that has the store open.
struct Process<'a> {
    os: &'a Simulation,
    owner: Owner,
    runtime: tokio::runtime::Runtime,
    store: Store<Recorder>,
}

impl<'a> Process<'a> {
    fn start(os: &'a Simulation, owner: u32) -> Result<Self, String> {
        let owner = Owner(owner);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let identity = Identity { cluster: b"one node".to_vec(), node: 1 };
        let store = os.on_behalf(owner, || {
            let machine = Arc::new(Recorder::default());
            Store::open_unindexed(Path::new(NODE), &identity, machine, |_| Vec::new())
        });
        let store = store.map_err(|error| chain(&error))?;
        Ok(Self { os, owner, runtime: runtime.map_err(|error| chain(&error))?, store })
    }

    fn append(&mut self, entries: std::ops::RangeInclusive<u64>) -> std::io::Result<()> {
        let (log, batch) = (&mut self.store.log, entries.map(entry).collect::<Vec<_>>());
        let appended =
            self.os.on_behalf(self.owner, || self.runtime.block_on(log.blocking_append(batch)));
        appended.map_err(std::io::Error::other)
    }

    fn apply(&mut self, entries: std::ops::RangeInclusive<u64>) {
        let entries = stream::iter(entries.map(|index| Ok((entry(index), None))));
        let machine = &mut self.store.state_machine;
        let applied =
            self.os.on_behalf(self.owner, || self.runtime.block_on(machine.apply(entries)));
        applied.unwrap();
    }

    fn purge(&mut self, upto: u64) {
        let log = &mut self.store.log;
        let purged =
            self.os.on_behalf(self.owner, || self.runtime.block_on(log.purge(log_id(1, upto))));
        purged.unwrap();
    }

    fn last(&mut self) -> Option<u64> {
        let state = self.runtime.block_on(self.store.log.get_log_state()).unwrap();
        state.last_log_id.map(|id| id.index)
    }

    /// The next fsync fails.
    fn fail(&self) {
        disk::behave(self.owner, Behaviour { failing_syncs: 1, ..Behaviour::default() });
    }

    /// It is killed; what it wrote is in the page cache.
    fn kill(self) {
        let Self { os, owner, runtime, store } = self;
        os.kill(owner);
        os.on_behalf(owner, || drop((store, runtime)));
        assert!(os.buried(owner));
    }
}

fn power_cut() {
    disk::power_cut(Path::new(NODE), Left::Nothing, &mut Chance::new(1));
}

/// Plays in a simulation, in a thread and a directory of its own.
fn simulated(play: impl FnOnce(&Simulation) + Send) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let root = tempfile::tempdir().unwrap();
    std::env::set_current_dir(root.path()).unwrap();
    std::thread::scope(|scope| {
        let played = scope.spawn(|| play(&Simulation::begin(1, root.path())));
        played.join().unwrap();
    });
    std::env::set_current_dir("/").unwrap();
}

#[test]
fn entries_whose_fsync_failed_outlast_a_power_cut_once_others_stand_behind_them() {
    simulated(|os| {
        let mut first = Process::start(os, 1).unwrap();
        first.append(1..=10).unwrap();
        first.fail();
        assert!(first.append(11..=20).is_err(), "it says so");
        first.kill();
        let mut second = Process::start(os, 2).unwrap();
        let next = second.last().unwrap() + 1;
        second.append(next..=30).unwrap();
        second.kill();
        power_cut();
        let mut third = Process::start(os, 3).unwrap();
        assert_eq!(third.last(), Some(30));
    });
}

#[test]
fn events_whose_fsync_failed_outlast_a_power_cut_once_the_log_is_purged() {
    simulated(|os| {
        let mut first = Process::start(os, 1).unwrap();
        first.append(1..=10).unwrap();
        first.apply(1..=10);
        first.fail();
        let synced = os.on_behalf(first.owner, || first.store.history.sync().is_ok());
        assert!(!synced, "it says so");
        first.kill();
        let mut second = Process::start(os, 2).unwrap();
        second.purge(10);
        second.append(11..=11).unwrap();
        second.kill();
        power_cut();
        let third = Process::start(os, 3).unwrap();
        assert_eq!(third.store.history.head().size, 10);
    });
}
