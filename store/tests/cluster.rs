//! Three and more openraft nodes over this store: whoever lacks purged entries is given the history.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use openraft::error::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, v2::RaftNetworkV2};
use skein_store::history::verify;
use skein_store::{
    AppendEntriesRequest, AppendEntriesResponse, Node, Payload, Raft, Snapshot, SnapshotData,
    SnapshotResponse, StateMachine, Store, TypeConfig, Vote, VoteRequest, VoteResponse, codec,
};
use support::{Recorder, identity, words};

mod support;

const PATIENCE: Option<Duration> = Some(Duration::from_secs(30));

type Member = (Raft<Recorder>, StateMachine<Recorder>);

/// Calls straight into the other nodes, through the bytes that a wire would carry.
#[derive(Clone, Default)]
struct Wire {
    members: Arc<Mutex<BTreeMap<u64, Member>>>,
    /// Frames that snapshots have carried.
    shipped: Arc<Mutex<Vec<usize>>>,
}

struct Line {
    target: u64,
    wire: Wire,
}

fn unreachable(error: &(impl std::error::Error + 'static)) -> Unreachable<TypeConfig> {
    Unreachable::new(error)
}

impl Line {
    fn member(&self) -> Result<Member, Unreachable<TypeConfig>> {
        let members = self.wire.members.lock().expect("no panic");
        let down = || unreachable(&std::io::Error::other("the node is down"));
        members.get(&self.target).cloned().ok_or_else(down)
    }
}

impl RaftNetworkFactory<TypeConfig> for Wire {
    type Network = Line;

    async fn new_client(&mut self, target: u64, _node: &Node) -> Line {
        Line { target, wire: self.clone() }
    }
}

impl RaftNetworkV2<TypeConfig> for Line {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        mut rpc: AppendEntriesRequest,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse, RPCError<TypeConfig>> {
        let (raft, _) = self.member()?;
        rpc.entries = rpc
            .entries
            .iter()
            .map(|entry| codec::decode_entry(codec::encode_entry(entry)).expect("as it was"))
            .collect();
        raft.append_entries(rpc).await.map_err(|error| unreachable(&error).into())
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest,
        _option: RPCOption,
    ) -> Result<VoteResponse, RPCError<TypeConfig>> {
        let (raft, _) = self.member()?;
        raft.vote(rpc).await.map_err(|error| unreachable(&error).into())
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse, StreamingError<TypeConfig>> {
        let (raft, machine) = self.member()?;
        let SnapshotData::Outgoing(outgoing) = snapshot.snapshot else {
            panic!("a snapshot to send is an outgoing one")
        };
        let mut incoming = machine.receive().map_err(|error| unreachable(&error))?;
        let frames =
            outgoing.frames_after(&incoming.joint()).map_err(|error| unreachable(&error))?;
        let mut count = 0;
        for frame in frames {
            let frame = frame.map_err(|error| unreachable(&error))?;
            incoming.push(&frame).map_err(|error| unreachable(&error))?;
            count += 1;
        }
        self.wire.shipped.lock().expect("no panic").push(count);
        let meta = codec::decode_snapshot_meta(codec::encode_snapshot_meta(&snapshot.meta));
        let snapshot =
            Snapshot { meta: meta.expect("as it was"), snapshot: SnapshotData::Incoming(incoming) };
        raft.install_full_snapshot(vote, snapshot).await.map_err(|error| unreachable(&error).into())
    }
}

async fn start(id: u64, dir: &Path, wire: &Wire) -> (Store<Recorder>, Raft<Recorder>) {
    let machine = Arc::new(Recorder::default());
    let store = Store::open(dir, &identity(id), machine, words).expect("a store");
    let config = openraft::Config {
        heartbeat_interval: 100,
        election_timeout_min: 600,
        election_timeout_max: 1200,
        max_in_snapshot_log_to_keep: 5,
        replication_lag_threshold: 1_000,
        snapshot_policy: openraft::SnapshotPolicy::Never,
        ..openraft::Config::default()
    };
    let config = Arc::new(config.validate().expect("a valid configuration"));
    let (log, state_machine) = (store.log.clone(), store.state_machine.clone());
    let raft =
        Raft::new(id, config, wire.clone(), log, state_machine.clone()).await.expect("a node");
    wire.members.lock().expect("no panic").insert(id, (raft.clone(), state_machine));
    (store, raft)
}

async fn write(raft: &Raft<Recorder>, count: u64) {
    for at in 0..count {
        raft.client_write(Payload(Bytes::from(format!("write {at}")))).await.expect("written");
    }
}

/// Leaves nothing in the leader's log but the last few entries.
async fn compact(store: &Store<Recorder>, raft: &Raft<Recorder>) {
    let last = store.history.last_applied().expect("entries");
    raft.trigger().snapshot().await.expect("running");
    raft.wait(PATIENCE).snapshot(last, "a snapshot").await.expect("built");
    raft.trigger().purge_log(last.index - 2).await.expect("running");
    let purged = skein_store::log_id(last.leader_id.term, last.index - 2);
    raft.wait(PATIENCE).purged(Some(purged), "purged").await.expect("purged");
}

async fn level(stores: &[&Store<Recorder>], rafts: &[&Raft<Recorder>]) {
    let last = stores[0].history.last_applied().expect("entries").index;
    for raft in rafts {
        raft.wait(PATIENCE).applied_index(Some(last), "all have all").await.expect("level");
    }
    for store in stores {
        assert_eq!(store.history.joint(), stores[0].history.joint());
        let (ours, first) = (store.state_machine.machine(), stores[0].state_machine.machine());
        assert_eq!(ours.events(), first.events());
    }
}

#[test]
fn late_and_returning_nodes_are_given_the_history_they_lack() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    runtime.block_on(async {
        let wire = Wire::default();
        let (store1, raft1) = start(1, dirs[0].path(), &wire).await;
        raft1.initialize(BTreeMap::from([(1, Node::new("one"))])).await.unwrap();
        raft1.wait(PATIENCE).current_leader(1, "the first leads").await.unwrap();
        write(&raft1, 120).await;
        compact(&store1, &raft1).await;

        // Two that come when the log's beginning is gone.
        let (store2, raft2) = start(2, dirs[1].path(), &wire).await;
        let (store3, raft3) = start(3, dirs[2].path(), &wire).await;
        raft1.add_learner(2, Node::new("two"), true).await.unwrap();
        raft1.add_learner(3, Node::new("three"), true).await.unwrap();
        raft1.change_membership([1, 2, 3], false).await.unwrap();
        write(&raft1, 30).await;
        level(&[&store1, &store2, &store3], &[&raft1, &raft2, &raft3]).await;
        let shipped = std::mem::take(&mut *wire.shipped.lock().unwrap());
        assert!(shipped.len() >= 2 && shipped.iter().all(|frames| *frames > 100), "{shipped:?}");

        // One goes away, and comes back when what it lacks is purged.
        wire.members.lock().unwrap().remove(&3);
        raft3.shutdown().await.unwrap();
        let had = store3.history.head().size;
        let released = store3.released();
        drop((store3, raft3));
        released.await;
        write(&raft1, 40).await;
        compact(&store1, &raft1).await;
        let (store3, raft3) = start(3, dirs[2].path(), &wire).await;
        assert_eq!(store3.history.head().size, had);
        write(&raft1, 10).await;
        level(&[&store1, &store2, &store3], &[&raft1, &raft2, &raft3]).await;
        let shipped = std::mem::take(&mut *wire.shipped.lock().unwrap());
        assert!(
            shipped.first().is_some_and(|frames| (1..100).contains(frames)),
            "only what it lacks: {shipped:?}"
        );
        for raft in [raft1, raft2, raft3] {
            raft.shutdown().await.unwrap();
        }
        let head = store1.history.head();
        for dir in &dirs {
            let verified = verify(&dir.path().join("history")).unwrap();
            assert_eq!((verified.head, verified.torn), (head, None));
        }
    });
}
