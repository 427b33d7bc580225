//! Snapshots: a node that lacks a part of the history is given that part, and no other history.

use std::sync::Arc;

use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use skein_store::history::{HistoryError, verify};
use skein_store::{DataDir, Entry, EntryPayload, SnapshotData, SnapshotMeta, Store, log_id};
use support::{Recorder, apply, identity, normal, store, words};

mod support;

fn entries(range: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    range.map(|index| normal(index, format!("entry {index}"))).collect()
}

/// What the network does: ask for the head, ship the frames after it, install.
async fn ship(
    from: &mut Store<Recorder>,
    to: &mut Store<Recorder>,
) -> Result<SnapshotMeta, String> {
    let snapshot = from.state_machine.get_snapshot_builder().await.build_snapshot().await;
    let snapshot = snapshot.map_err(|error| error.to_string())?;
    let SnapshotData::Outgoing(outgoing) = snapshot.snapshot else {
        return Err("a built snapshot is for sending".to_owned());
    };
    let mut incoming = to.state_machine.receive().map_err(|error| error.to_string())?;
    let frames = outgoing.frames_after(&incoming.joint()).map_err(|error| error.to_string())?;
    for frame in frames {
        incoming.push(&frame.expect("readable")).map_err(|error| error.to_string())?;
    }
    to.state_machine
        .install_snapshot(&snapshot.meta, SnapshotData::Incoming(incoming))
        .await
        .map_err(|error| error.to_string())?;
    Ok(snapshot.meta)
}

#[tokio::test]
async fn a_node_is_given_what_it_lacks() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut leader = store(dirs[0].path());
    let mut follower = store(dirs[1].path());
    apply(&mut leader.state_machine, entries(1..=40)).await.unwrap();
    for have in [0, 1, 17, 40_u64] {
        let dir = tempfile::tempdir().unwrap();
        let mut other = store(dir.path());
        if have > 0 {
            apply(&mut other.state_machine, entries(1..=have)).await.unwrap();
        }
        let meta = ship(&mut leader, &mut other).await.unwrap();
        assert_eq!(meta.last_log_id, Some(log_id(1, 40)));
        assert_eq!(other.history.head(), leader.history.head());
        assert_eq!(other.state_machine.machine().events(), leader.state_machine.machine().events());
        // It goes on from there.
        apply(&mut other.state_machine, entries(41..=41)).await.unwrap();
        let head = other.history.head();
        drop(other);
        let reopened = store(dir.path());
        assert_eq!(reopened.history.head(), head);
        assert_eq!(reopened.state_machine.machine().len(), 41);
        assert_eq!(verify(&dir.path().join("history")).unwrap().head, head);
    }
    // A membership comes along.
    let membership = openraft::Membership::new_with_defaults(vec![[1, 2].into()], []);
    let payload = EntryPayload::Membership(membership);
    apply(&mut leader.state_machine, [Entry { log_id: log_id(1, 41), payload }]).await.unwrap();
    ship(&mut leader, &mut follower).await.unwrap();
    assert_eq!(follower.history.membership(), leader.history.membership());
    let current = follower.state_machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta.last_log_id, Some(log_id(1, 41)));
}

/// Frames that arrive while the receiver itself applies some of the same entries.
#[tokio::test]
async fn entries_applied_meanwhile_are_not_recorded_twice() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut leader = store(dirs[0].path());
    let mut follower = store(dirs[1].path());
    apply(&mut leader.state_machine, entries(1..=30)).await.unwrap();
    apply(&mut follower.state_machine, entries(1..=5)).await.unwrap();
    let snapshot =
        leader.state_machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let SnapshotData::Outgoing(outgoing) = snapshot.snapshot else { panic!("for sending") };
    let mut incoming = follower.state_machine.receive().unwrap();
    for frame in outgoing.frames_after(&incoming.joint()).unwrap() {
        incoming.push(&frame.unwrap()).unwrap();
    }
    apply(&mut follower.state_machine, entries(6..=12)).await.unwrap();
    let data = SnapshotData::Incoming(incoming);
    follower.state_machine.install_snapshot(&snapshot.meta, data).await.unwrap();
    assert_eq!(follower.history.head(), leader.history.head());
    assert_eq!(follower.state_machine.machine().events(), leader.state_machine.machine().events());
    let head = follower.history.head();
    drop(follower);
    assert_eq!(store(dirs[1].path()).history.head(), head);
    // An older snapshot changes nothing.
    let mut follower = store(dirs[1].path());
    apply(&mut follower.state_machine, entries(31..=33)).await.unwrap();
    let head = follower.history.head();
    ship(&mut leader, &mut follower).await.unwrap();
    assert_eq!(follower.history.head(), head);
}

#[tokio::test]
async fn another_history_is_refused() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut leader = store(dirs[0].path());
    let mut other = store(dirs[1].path());
    apply(&mut leader.state_machine, entries(1..=20)).await.unwrap();
    apply(&mut other.state_machine, entries(1..=9)).await.unwrap();
    apply(&mut other.state_machine, [normal(10, "something else")]).await.unwrap();
    let head = other.history.head();
    let error = ship(&mut leader, &mut other).await.unwrap_err();
    assert!(error.contains("diverged at log index 10"), "{error}");

    // A sender that does not look: the receiver finds it by itself.
    let snapshot =
        leader.state_machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let SnapshotData::Outgoing(outgoing) = snapshot.snapshot else { panic!("for sending") };
    let frames: Vec<_> =
        outgoing.frames_after(&skein_store::history::Joint::default()).unwrap().collect();
    let mut incoming = other.state_machine.receive().unwrap();
    let error = incoming.push(frames[10].as_ref().unwrap()).unwrap_err();
    assert!(matches!(error, HistoryError::Diverged { index: 11, .. }), "{error}");
    assert_eq!(other.history.head(), head);
    drop(incoming);
    drop(other);
    let other = store(dirs[1].path());
    assert_eq!(other.history.head(), head, "nothing was installed");
}

#[tokio::test]
async fn a_damaged_or_short_transfer_installs_nothing() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut leader = store(dirs[0].path());
    let mut follower = store(dirs[1].path());
    apply(&mut leader.state_machine, entries(1..=10)).await.unwrap();
    let snapshot =
        leader.state_machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let SnapshotData::Outgoing(outgoing) = snapshot.snapshot else { panic!("for sending") };
    let frames: Vec<_> = outgoing
        .frames_after(&follower.history.joint())
        .unwrap()
        .map(|frame| frame.unwrap())
        .collect();
    assert_eq!(frames.len(), 10);
    for at in 0..frames[0].len() {
        let mut bent = frames[0].to_vec();
        bent[at] ^= 4;
        let mut incoming = follower.state_machine.receive().unwrap();
        assert!(incoming.push(&bent.into()).is_err(), "byte {at}");
    }
    let mut incoming = follower.state_machine.receive().unwrap();
    for frame in &frames[..9] {
        incoming.push(frame).unwrap();
    }
    assert!(incoming.push(&frames[8]).is_err(), "the same frame again");
    let data = SnapshotData::Incoming(incoming);
    let error = follower.state_machine.install_snapshot(&snapshot.meta, data).await.unwrap_err();
    assert!(error.to_string().contains("ends at log index"), "{error}");
    assert_eq!(follower.history.head().size, 0);

    // The process dies with a transfer half staged.
    let mut incoming = follower.state_machine.receive().unwrap();
    incoming.push(&frames[0]).unwrap();
    let staged = dirs[1].path().join("history/incoming-of-a-dead-process.tmp");
    std::fs::write(&staged, &frames[0]).unwrap();
    drop(incoming);
    drop(follower);
    let follower = store(dirs[1].path());
    assert_eq!(follower.history.head().size, 0);
    assert!(!staged.exists());
}

#[tokio::test]
async fn a_machine_that_halts_stops_the_node_and_records_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = store(dir.path());
    apply(&mut one.state_machine, entries(1..=3)).await.unwrap();
    let head = one.history.head();
    let error = apply(&mut one.state_machine, [normal(4, "halt")]).await.unwrap_err();
    assert!(error.to_string().contains("told to"), "{error}");
    assert_eq!(one.history.head(), head);
}

#[test]
fn a_directory_is_one_nodes_and_one_processs() {
    let dir = tempfile::tempdir().unwrap();
    let open =
        |node| Store::open(dir.path(), &identity(node), Arc::new(Recorder::default()), words);
    let one = open(1).unwrap();
    let chain =
        |error: &dyn std::error::Error| error.source().map(ToString::to_string).unwrap_or_default();
    assert!(chain(&open(1).unwrap_err()).contains("in use by another process"));
    let log = one.log.clone();
    drop(one);
    assert!(chain(&open(1).unwrap_err()).contains("in use"), "a handle of the log is still held");
    drop(log);
    assert!(chain(&open(2).unwrap_err()).contains("not of node 2"));
    let mut other = identity(1);
    other.cluster.push(0);
    let error = Store::open(dir.path(), &other, Arc::new(Recorder::default()), words).unwrap_err();
    assert!(chain(&error).contains("holds the data of node 1"));
    open(1).unwrap();
    let path = dir.path().join("identity");
    let good = std::fs::read(&path).unwrap();
    let says = |dir: &DataDir| (dir.store(), dir.incarnation());
    let whole = says(&DataDir::open(dir.path(), &identity(1)).unwrap());
    let mut refused = 0;
    for bit in 0..good.len() * 8 {
        let mut bent = good.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, bent).unwrap();
        // A store's id read as an incarnation would keep the node out of its cluster for ever.
        match DataDir::open(dir.path(), &identity(1)) {
            Ok(dir) => assert_eq!(says(&dir), whole, "bit {bit}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > good.len() * 7, "{refused} of {}", good.len() * 8);
    std::fs::remove_file(&path).unwrap();
    assert!(chain(&open(1).unwrap_err()).contains("no identity file"));
}

/// Takes payloads apart into chunks of one blob, as the coordinator does with bundles.
#[derive(Debug)]
struct Bundles(skein_store::Digest, u64);

impl skein_store::Machine for Bundles {
    fn apply(
        &self,
        index: u64,
        payload: &bytes::Bytes,
    ) -> Result<skein_store::Applied, skein_store::Halt> {
        let len = u64::try_from(payload.len()).expect("small");
        let chunk = skein_store::Chunk {
            digest: self.0,
            offset: (index - 1) * len,
            total: self.1,
            bytes: payload.clone(),
        };
        Ok(skein_store::Applied { chunk: Some(chunk), ..skein_store::Applied::default() })
    }

    fn replay(&self, _: u64, _: &[bytes::Bytes]) -> Result<(), skein_store::Halt> {
        Ok(())
    }
}

#[tokio::test]
async fn chunks_come_through_the_log_and_a_late_node_fetches_the_blob() {
    let whole = bytes::Bytes::from((0..=255).cycle().take(40_000).collect::<Vec<u8>>());
    let digest = skein_store::Digest::of(&whole);
    let chunks = || (0..4_u64).map(|at| usize::try_from(at).expect("small") * 10_000);
    let entries = || chunks().map(|at| whole.slice(at..at + 10_000)).zip(1..);
    let open = |dir: &std::path::Path| {
        Store::open(dir, &identity(1), Arc::new(Bundles(digest, 40_000)), words).unwrap()
    };
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut leader = open(dirs[0].path());
    for (payload, index) in entries() {
        apply(&mut leader.state_machine, [normal(index, payload)]).await.unwrap();
    }
    assert_eq!(leader.blobs.get(&digest).unwrap().as_ref(), Some(&whole));
    // The last two chunks alone make no blob, and no error.
    let mut late = open(dirs[1].path());
    for (payload, index) in entries().skip(2) {
        apply(&mut late.state_machine, [normal(index, payload)]).await.unwrap();
    }
    assert_eq!(late.blobs.missing(&[digest]), [digest]);
    let mut offset = 0;
    while let Some(chunk) = leader.blobs.chunk(&digest, offset, 7_000).unwrap() {
        offset += u64::try_from(chunk.bytes.len()).unwrap();
        late.blobs.put(&chunk).unwrap();
    }
    assert_eq!(late.blobs.get(&digest).unwrap(), Some(whole));
}
