//! Answering other nodes. A message for another cluster or node is refused before it is looked at.

use openraft::async_runtime::WatchReceiver as _;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use skein_proto::raft::v1;
use skein_store::{Blobs, Digest, History, Node, SnapshotData, StateMachine, codec};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{Identity, Machine, Raft, wire};

/// A blob is sent in pieces of this size, bytes.
const BLOB_PART: usize = 256 * 1024;

/// The node as its peers see it.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) identity: Identity,
    pub(crate) raft: Raft,
    pub(crate) state_machine: StateMachine<Machine>,
    pub(crate) history: Arc<History>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) stop: CancellationToken,
}

fn malformed(error: &dyn std::error::Error) -> Status {
    Status::invalid_argument(format!("not a message between nodes: {error}"))
}

fn failed(error: &dyn std::error::Error) -> Status {
    Status::unavailable(error.to_string())
}

impl Service {
    /// Whether a message of consensus may be looked at.
    fn admit(&self, route: Option<&v1::Route>) -> Result<(), Status> {
        self.identity.admit(route, |number| self.member(number))
    }

    /// A member, as far as this node knows.
    fn member(&self, number: u64) -> Option<Node> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().get_node(&number).cloned()
    }
}

#[tonic::async_trait]
impl v1::raft_server::Raft for Service {
    async fn append(
        &self,
        request: Request<v1::AppendRequest>,
    ) -> Result<Response<v1::AppendReply>, Status> {
        let request = request.into_inner();
        self.admit(request.route.as_ref())?;
        let request = wire::append(request).map_err(|error| malformed(&error))?;
        let reply = self.raft.append_entries(request).await.map_err(|error| failed(&error))?;
        Ok(Response::new(wire::appended_out(&reply)))
    }

    type AppendStreamStream = BoxStream<'static, Result<v1::AppendReply, Status>>;

    async fn append_stream(
        &self,
        request: Request<Streaming<v1::AppendRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let this = self.clone();
        // What ends the requests before their end, told behind the answers to those before it.
        let (wrong, told) = tokio::sync::oneshot::channel();
        let requests = futures::stream::unfold(
            (request.into_inner(), Some(wrong)),
            move |(mut incoming, mut wrong)| {
                let this = this.clone();
                async move {
                    // Consensus reads to the end of the requests: while they go on, it keeps this node.
                    let message = tokio::select! {
                        () = this.stop.cancelled() => return None,
                        message = incoming.message() => message,
                    };
                    let read = match message {
                        Ok(None) => return None,
                        Ok(Some(request)) => this.admit(request.route.as_ref()).and_then(|()| {
                            wire::append(request).map_err(|error| malformed(&error))
                        }),
                        Err(status) => Err(status),
                    };
                    match read {
                        Ok(request) => Some((request, (incoming, wrong))),
                        Err(status) => {
                            // Whoever asked may have gone.
                            drop(wrong.take().map(|wrong| wrong.send(status)));
                            None
                        }
                    }
                }
            },
        );
        let answers = self.raft.stream_append(requests).map(|answer| match answer {
            Ok(result) => Ok(wire::streamed_out(&result)),
            Err(fatal) => Err(failed(&fatal)),
        });
        let last = futures::stream::once(told).filter_map(|told| async { told.ok().map(Err) });
        Ok(Response::new(answers.chain(last).boxed()))
    }

    async fn vote(
        &self,
        request: Request<v1::VoteRequest>,
    ) -> Result<Response<v1::VoteReply>, Status> {
        let request = request.into_inner();
        self.admit(request.route.as_ref())?;
        let request = wire::vote(request).map_err(|error| malformed(&error))?;
        let reply = self.raft.vote(request).await.map_err(|error| failed(&error))?;
        Ok(Response::new(wire::voted_out(&reply)))
    }

    async fn pre_vote(
        &self,
        request: Request<v1::VoteRequest>,
    ) -> Result<Response<v1::VoteReply>, Status> {
        let request = request.into_inner();
        self.admit(request.route.as_ref())?;
        let request = wire::vote(request).map_err(|error| malformed(&error))?;
        let reply = self.raft.pre_vote(request).await.map_err(|error| failed(&error))?;
        Ok(Response::new(wire::voted_out(&reply)))
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderReply>, Status> {
        let request = request.into_inner();
        self.admit(request.route.as_ref())?;
        let request = wire::transfer(request).map_err(|error| malformed(&error))?;
        let reply =
            self.raft.handle_transfer_leader(request).await.map_err(|error| failed(&error))?;
        Ok(Response::new(wire::transferred_out(&reply)))
    }

    async fn history_joint(
        &self,
        request: Request<v1::HistoryJointRequest>,
    ) -> Result<Response<v1::HistoryJointReply>, Status> {
        self.admit(request.into_inner().route.as_ref())?;
        let joint = self.history.joint();
        Ok(Response::new(v1::HistoryJointReply {
            last_log_id: wire::log_id_out(joint.last.as_ref()),
            size: joint.head.size,
            root: bytes::Bytes::copy_from_slice(&joint.head.root.0),
        }))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<v1::SnapshotPart>>,
    ) -> Result<Response<v1::SnapshotReply>, Status> {
        let mut parts = request.into_inner();
        let first = parts
            .message()
            .await?
            .and_then(|part| part.header)
            .ok_or_else(|| Status::invalid_argument("the snapshot has no header"))?;
        self.admit(first.route.as_ref())?;
        let vote = codec::decode_vote(first.vote).map_err(|error| malformed(&error))?;
        let meta = codec::decode_snapshot_meta(first.meta).map_err(|error| malformed(&error))?;
        let mut incoming = self.state_machine.receive().map_err(|error| failed(&error))?;
        while let Some(part) = parts.message().await? {
            // Checking and staging frames is file work.
            incoming = tokio::task::spawn_blocking(move || {
                for frame in &part.frames {
                    incoming.push(frame)?;
                }
                Ok::<_, skein_store::history::HistoryError>(incoming)
            })
            .await
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))?;
        }
        // A sender that fails in the middle may end in order: what came is dropped, and the node goes on.
        let (came, wanted) = (incoming.joint().last, meta.last_log_id);
        if came.map(|id| id.index) < wanted.map(|id| id.index) {
            return Err(Status::unavailable("the snapshot ended before its end; send it again"));
        }
        let snapshot = skein_store::Snapshot { meta, snapshot: SnapshotData::Incoming(incoming) };
        let reply = self
            .raft
            .install_full_snapshot(vote, snapshot)
            .await
            .map_err(|error| failed(&error))?;
        Ok(Response::new(v1::SnapshotReply { vote: codec::encode_vote(&reply.vote) }))
    }

    async fn introduce(
        &self,
        request: Request<v1::IntroduceRequest>,
    ) -> Result<Response<v1::IntroduceReply>, Status> {
        let request = request.into_inner();
        self.identity.is_addressed(request.route.as_ref())?;
        if self.identity.takes_part() {
            self.identity.check(request.route.as_ref())?;
        }
        let asker = request.route.map(|route| route.from).unwrap_or_default();
        let known = self.member(asker);
        Ok(Response::new(v1::IntroduceReply {
            store: self.identity.store().to_bytes(),
            remembers: self.identity.takes_part(),
            member: known.is_some(),
            known_store: known.map(|node| node.store.to_bytes()).unwrap_or_default(),
            release: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    type FetchBlobStream = BoxStream<'static, Result<v1::FetchBlobReply, Status>>;

    async fn fetch_blob(
        &self,
        request: Request<v1::FetchBlobRequest>,
    ) -> Result<Response<Self::FetchBlobStream>, Status> {
        let request = request.into_inner();
        self.identity.check(request.route.as_ref())?;
        let digest = <[u8; 32]>::try_from(request.digest.as_ref())
            .map(Digest)
            .map_err(|_wrong| Status::invalid_argument("a digest has 32 bytes"))?;
        let blobs = Arc::clone(&self.blobs);
        let blob = tokio::task::spawn_blocking(move || blobs.get(&digest))
            .await
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))?
            .ok_or_else(|| Status::not_found("this node does not have that bundle"))?;
        Ok(Response::new(pieces(blob).boxed()))
    }
}

/// A blob in pieces below any message limit.
pub(crate) fn pieces(
    mut blob: bytes::Bytes,
) -> impl futures::Stream<Item = Result<v1::FetchBlobReply, Status>> + Send + 'static {
    let mut parts = Vec::new();
    while !blob.is_empty() {
        let data = blob.split_to(BLOB_PART.min(blob.len()));
        parts.push(Ok(v1::FetchBlobReply { data }));
    }
    futures::stream::iter(parts)
}
