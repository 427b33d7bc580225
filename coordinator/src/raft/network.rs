//! Calling other nodes. One connection a peer, kept; a deadline on every call.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::v2::RaftNetworkV2;
use openraft::network::{RPCOption, RaftNetworkFactory};
use openraft::raft::{StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse};
use skein_proto::raft::v1;
use skein_proto::raft::v1::raft_client::RaftClient;
use skein_store::history::{Hash, Joint, TreeHead};
use skein_store::{
    AppendEntriesRequest, AppendEntriesResponse, LogId, Node, Snapshot, SnapshotData,
    SnapshotResponse, TypeConfig, Vote, VoteRequest, VoteResponse, codec,
};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use super::{Identity, wire};
use crate::host::Dial;

/// Peers send each other batches of entries; this is the most that one message may weigh, bytes.
pub(crate) const PEER_MESSAGE_MAX: usize = 64 * 1024 * 1024;
/// Frames of a snapshot are gathered into messages of about this size, bytes.
const SNAPSHOT_PART: usize = 1024 * 1024;

/// Connections to other nodes, by address.
#[derive(Clone)]
pub(crate) struct Peers {
    channels: Arc<Mutex<BTreeMap<String, Channel>>>,
    /// In the place of TCP.
    dial: Option<Dial>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").field("channels", &self.channels).finish_non_exhaustive()
    }
}

impl Peers {
    pub(crate) fn new(dial: Option<Dial>) -> Self {
        Self { channels: Arc::default(), dial }
    }

    /// A connection that is made when it is first used, and again when it breaks.
    pub(crate) fn channel(&self, address: &str) -> Result<Channel, tonic::transport::Error> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(Duration::from_secs(2))
            .http2_keep_alive_interval(Duration::from_secs(2))
            .keep_alive_timeout(Duration::from_secs(4))
            .tcp_nodelay(true);
        let channel = match &self.dial {
            Some(dial) => crate::host::channel(&endpoint, Arc::clone(dial)),
            None => endpoint.connect_lazy(),
        };
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    pub(crate) fn client(
        &self,
        address: &str,
    ) -> Result<RaftClient<Channel>, tonic::transport::Error> {
        Ok(RaftClient::new(self.channel(address)?)
            .max_decoding_message_size(PEER_MESSAGE_MAX)
            .max_encoding_message_size(PEER_MESSAGE_MAX))
    }
}

/// Makes the connections that openraft asks for.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    identity: Identity,
    peers: Peers,
}

impl Network {
    pub(crate) fn new(identity: Identity, peers: Peers) -> Self {
        Self { identity, peers }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &Node) -> Peer {
        Peer {
            identity: self.identity.clone(),
            peers: self.peers.clone(),
            number: target,
            node: node.clone(),
        }
    }
}

/// Answers to a stream of appends.
type Appended<'s> = BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>;

/// An answer on a stream waits for its turn behind earlier ones, each of which may wait for a disk.
const ANSWERS_PER_TTL: u32 = 4;

/// Requests of a stream that are not answered.
#[derive(Debug, Clone, Default)]
struct UnderWay(Arc<Mutex<VecDeque<Sent>>>);

#[derive(Debug)]
struct Sent {
    /// What it continues.
    prev: Option<LogId>,
    at: Instant,
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Sent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, prev: Option<LogId>) {
        self.lock().push_back(Sent { prev, at: Instant::now() });
    }

    /// The next answer; `None` when the peer has ended the stream in order. A stream may rest, but
    /// no request may wait for longer than `limit`.
    async fn answer(
        &self,
        replies: &mut tonic::Streaming<v1::AppendReply>,
        limit: Duration,
    ) -> Option<Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>> {
        let reply = loop {
            if let Ok(reply) = tokio::time::timeout(limit, replies.message()).await {
                break reply;
            }
            let waiting = self.lock().front().is_some_and(|sent| sent.at.elapsed() >= limit);
            if waiting {
                let late = std::io::Error::other(format!("no answer to an append in {limit:?}"));
                return Some(Err(unreachable(&late)));
            }
        };
        let reply = match reply {
            Ok(reply) => reply?,
            Err(status) => return Some(Err(unreachable(&status))),
        };
        let prev = self.lock().pop_front().and_then(|sent| sent.prev);
        Some(match wire::streamed(reply, prev) {
            Ok(Some(result)) => Ok(result),
            Ok(None) => {
                let odd = std::io::Error::other("the answer to an append says nothing");
                Err(malformed(&odd))
            }
            Err(error) => Err(malformed(&error)),
        })
    }
}

/// One other node.
#[derive(Debug)]
pub(crate) struct Peer {
    identity: Identity,
    peers: Peers,
    number: u64,
    node: Node,
}

fn unreachable(error: &(impl std::error::Error + 'static)) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(error))
}

fn malformed(error: &(impl std::error::Error + 'static)) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(error))
}

impl Peer {
    fn client(&self) -> Result<RaftClient<Channel>, RPCError<TypeConfig>> {
        self.peers.client(&self.node.addr).map_err(|error| unreachable(&error))
    }

    fn route(&self) -> v1::Route {
        self.identity.route(self.number, self.node.store)
    }

    async fn within<T>(
        limit: Duration,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, RPCError<TypeConfig>> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(unreachable(&status)),
            Err(elapsed) => Err(unreachable(&elapsed)),
        }
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
    ) -> Result<SnapshotResponse, StreamingError<TypeConfig>> {
        let lost = |error: &(dyn std::error::Error + 'static)| {
            StreamingError::Unreachable(Unreachable::from_string(error.to_string()))
        };
        let mut client = self.peers.client(&self.node.addr).map_err(|error| lost(&error))?;
        let request = v1::HistoryJointRequest { route: Some(self.route()) };
        let theirs =
            client.history_joint(request).await.map_err(|error| lost(&error))?.into_inner();
        let theirs = joint(theirs).map_err(|error| lost(&error))?;
        let SnapshotData::Outgoing(outgoing) = snapshot.snapshot else {
            return Err(StreamingError::Unreachable(Unreachable::from_string(
                "a snapshot that is being received cannot be sent on".to_owned(),
            )));
        };
        let header = v1::SnapshotHeader {
            route: Some(self.route()),
            vote: codec::encode_vote(&vote),
            meta: codec::encode_snapshot_meta(&snapshot.meta),
        };
        // Reading the history is file work: it runs apart, and a bounded channel keeps at most a few
        // parts in memory.
        let (parts, received) = tokio::sync::mpsc::channel(4);
        let reader = tokio::task::spawn_blocking(move || {
            let first = v1::SnapshotPart { header: Some(header), frames: Vec::new() };
            if parts.blocking_send(first).is_err() {
                return Ok(());
            }
            let mut part = v1::SnapshotPart::default();
            let mut size = 0;
            for frame in outgoing.frames_after(&theirs)? {
                let frame = frame?;
                size += frame.len();
                part.frames.push(frame);
                if size >= SNAPSHOT_PART {
                    size = 0;
                    if parts.blocking_send(std::mem::take(&mut part)).is_err() {
                        return Ok(());
                    }
                }
            }
            drop(parts.blocking_send(part));
            Ok::<(), skein_store::history::HistoryError>(())
        });
        let stream = tokio_stream::wrappers::ReceiverStream::new(received);
        let reply = client.snapshot(stream).await;
        match reader.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(lost(&error)),
            Err(error) => return Err(lost(&error)),
        }
        let reply = reply.map_err(|error| lost(&error))?.into_inner();
        let vote = codec::decode_vote(reply.vote).map_err(|error| lost(&error))?;
        Ok(SnapshotResponse::new(vote))
    }
}

fn joint(wire: v1::HistoryJointReply) -> Result<Joint, codec::CodecError> {
    let last = wire::log_id(wire.last_log_id)?;
    let mut root = [0; 32];
    for (to, from) in root.iter_mut().zip(&wire.root) {
        *to = *from;
    }
    Ok(Joint { last, head: TreeHead { size: wire.size, root: Hash(root) } })
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse, RPCError<TypeConfig>> {
        let request = wire::append_out(&rpc, self.route());
        let mut client = self.client()?;
        let reply = Self::within(option.soft_ttl(), client.append(request)).await?;
        wire::appended(reply)
            .map_err(|error| malformed(&error))?
            .ok_or_else(|| malformed(&std::io::Error::other("the answer to an append is empty")))
    }

    /// Requests leave as they come; waiting for each answer would hold up the next record behind the
    /// news that the one before it is committed.
    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<Appended<'s>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest> + Send + Unpin + 'static,
    {
        Box::pin(async move {
            let route = self.route();
            let under_way = UnderWay::default();
            let sent = under_way.clone();
            // After a failure openraft rests within this stream, before the request: without it, a
            // peer that is down would be dialled ten thousand times a second.
            let Some(first) = input.next().await else {
                return Ok::<Appended<'s>, _>(futures::stream::empty().boxed());
            };
            let input = futures::stream::iter([first]).chain(input);
            let requests = input.map(move |rpc| {
                sent.push(rpc.prev_log_id);
                wire::append_out(&rpc, route.clone())
            });
            let mut client = self.client()?;
            let limit = option.soft_ttl() * ANSWERS_PER_TTL;
            let replies = Self::within(limit, client.append_stream(requests)).await?;
            let answers = futures::stream::unfold(Some(replies), move |replies| {
                let under_way = under_way.clone();
                async move {
                    let mut replies = replies?;
                    let answer = under_way.answer(&mut replies, limit).await?;
                    // Whatever was not taken ends the stream.
                    let goes_on = matches!(answer, Ok(Ok(_)));
                    Some((answer, goes_on.then_some(replies)))
                }
            });
            Ok::<Appended<'s>, _>(answers.boxed())
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest,
        option: RPCOption,
    ) -> Result<VoteResponse, RPCError<TypeConfig>> {
        let request = wire::vote_out(&rpc, self.route());
        let mut client = self.client()?;
        let reply = Self::within(option.soft_ttl(), client.vote(request)).await?;
        wire::voted(reply).map_err(|error| malformed(&error))
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest,
        option: RPCOption,
    ) -> Result<VoteResponse, RPCError<TypeConfig>> {
        let request = wire::vote_out(&rpc, self.route());
        let mut client = self.client()?;
        let reply = Self::within(option.soft_ttl(), client.pre_vote(request)).await?;
        wire::voted(reply).map_err(|error| malformed(&error))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse, StreamingError<TypeConfig>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, snapshot) => sent,
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = wire::transfer_out(&rpc, self.route());
        let mut client = self.client()?;
        let reply = Self::within(option.soft_ttl(), client.transfer_leader(request)).await?;
        wire::transferred(reply).map_err(|error| malformed(&error))
    }
}
