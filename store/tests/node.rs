//! The store under a real openraft node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, v2::RaftNetworkV2};
use openraft::storage::RaftLogStorage;
use skein_store::history::verify;
use skein_store::{
    AppendEntriesRequest, AppendEntriesResponse, Node, Payload, Raft, Snapshot, SnapshotResponse,
    Store, TypeConfig, Vote, VoteRequest, VoteResponse,
};
use support::{Recorder, store};

mod support;

/// Nobody else is there.
struct Alone;

fn nobody() -> Unreachable<TypeConfig> {
    Unreachable::new(&std::io::Error::other("alone"))
}

impl RaftNetworkFactory<TypeConfig> for Alone {
    type Network = Self;

    async fn new_client(&mut self, _target: u64, _node: &Node) -> Self {
        Self
    }
}

impl RaftNetworkV2<TypeConfig> for Alone {
    type SnapshotData = skein_store::SnapshotData;

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse, RPCError<TypeConfig>> {
        Err(nobody().into())
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest,
        _option: RPCOption,
    ) -> Result<VoteResponse, RPCError<TypeConfig>> {
        Err(nobody().into())
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse, StreamingError<TypeConfig>> {
        Err(nobody().into())
    }
}

async fn start(store: &Store<Recorder>) -> Raft<Recorder> {
    let config = openraft::Config {
        heartbeat_interval: 50,
        election_timeout_min: 150,
        election_timeout_max: 300,
        max_in_snapshot_log_to_keep: 10,
        ..openraft::Config::default()
    };
    let config = Arc::new(config.validate().expect("a valid configuration"));
    let (log, machine) = (store.log.clone(), store.state_machine.clone());
    Raft::new(1, config, Alone, log, machine).await.expect("a node")
}

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

#[test]
fn a_node_writes_compacts_and_comes_back_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut written = Vec::new();
    for round in 0..4_u64 {
        let mut store = store(dir.path());
        assert_eq!(store.state_machine.machine().events(), written, "round {round}");
        runtime.block_on(async {
            let raft = start(&store).await;
            if round == 0 {
                raft.initialize(BTreeMap::from([(1, Node::new("here"))])).await.unwrap();
            }
            raft.wait(PATIENCE).current_leader(1, "alone, it leads").await.unwrap();
            for at in 0..50_u64 {
                let payload = bytes::Bytes::from(format!("round {round} write {at}"));
                written.push(payload.clone());
                let answer = raft.client_write(Payload(payload)).await.unwrap();
                assert_eq!(answer.response().0, answer.log_id().index.to_string());
            }
            assert_eq!(store.state_machine.machine().events(), written);
            if round % 2 == 1 {
                let last = store.history.last_applied().unwrap();
                raft.trigger().snapshot().await.unwrap();
                raft.wait(PATIENCE).snapshot(last, "a snapshot").await.unwrap();
                raft.trigger().purge_log(last.index - 10).await.unwrap();
                raft.wait(PATIENCE).purged(Some(log_of(&last, 10)), "purged").await.unwrap();
                assert_eq!(store.history.durable(), store.history.head());
            }
            raft.shutdown().await.unwrap();
        });
        let state = runtime.block_on(store.log.get_log_state()).unwrap();
        assert_eq!(state.last_log_id, store.history.last_applied());
        let head = store.history.head();
        let released = store.released();
        drop(store);
        runtime.block_on(released);
        assert_eq!(verify(&dir.path().join("history")).unwrap().head, head);
    }
    assert_eq!(written.len(), 200);
}

fn log_of(last: &skein_store::LogId, back: u64) -> skein_store::LogId {
    skein_store::log_id(last.leader_id.term, last.index - back)
}
