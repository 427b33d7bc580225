//! Requests that only the leader can answer, passed on to it as they came. At most one hop: a node
//! that gets a forwarded request and does not lead says so.

use openraft::async_runtime::WatchReceiver as _;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use http_body::Frame;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service, ServiceExt as _};

use super::status::{LEADER, unavailable};
use crate::bootstrap::introduce;
use crate::raft::{Identity, Peers, Raft};

/// Set on forwarded requests: the node that passed it on.
const FORWARDED: &str = "skein-forwarded-by";
/// Set by askers who want this node's own answer.
const LOCAL: &str = "skein-local";
/// Requests that open a stream for as long as there is something to say. Once they were passed on they cannot
/// be taken back, so that the leader is asked first whether it is there: whoever comes right after it died
/// waits here for the next one, and not between two tries of its own.
const LASTING: [&str; 2] = ["/skein.agent.v1.Session/Attach", "/skein.v1.Rollouts/Watch"];
/// Between two questions to a leader that does not answer, as long as there is no other.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How long a request waits while there is no leader.
const LEADER_LIMIT: Duration = Duration::from_secs(5);
/// How long a question that is being answered has when the node stops.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Answered by any node, from its own memory or disk.
const OWN: [&str; 5] = [
    "/skein.v1.Audit/",
    "/skein.v1.Cluster/Members",
    "/skein.raft.v1.Raft/",
    "/grpc.health.v1.Health/",
    "/grpc.reflection.",
];

/// Wraps the services of a node.
#[derive(Clone)]
pub(crate) struct ForwardLayer {
    pub(crate) identity: Identity,
    pub(crate) raft: Raft,
    pub(crate) peers: Peers,
    pub(crate) stop: CancellationToken,
}

impl<S> Layer<S> for ForwardLayer {
    type Service = Forward<S>;

    fn layer(&self, inner: S) -> Forward<S> {
        Forward { inner, to: self.clone() }
    }
}

/// Answers here or passes on.
#[derive(Clone)]
pub(crate) struct Forward<S> {
    inner: S,
    to: ForwardLayer,
}

impl<S> Service<Request<Body>> for Forward<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone takes the place of the service that was polled ready.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let own = OWN.iter().any(|path| request.uri().path().starts_with(path));
        let to = self.to.clone();
        let stop = to.stop.clone();
        let lasting = LASTING.contains(&request.uri().path());
        if own || request.headers().contains_key(LOCAL) {
            return Box::pin(until(stop, inner.call(request)));
        }
        Box::pin(until(stop, async move {
            let forwarded = request.headers().contains_key(FORWARDED);
            let leader = to.leader(lasting && !forwarded);
            match tokio::time::timeout(LEADER_LIMIT, leader).await.ok().flatten() {
                Some((node, _)) if node == to.identity.node => inner.call(request).await,
                Some((_, address)) if !forwarded => Ok(to.pass(request, &address).await),
                leader => Ok(no_leader(leader.map(|(_, address)| address)).into_http()),
            }
        }))
    }
}

/// The answer, unless this node stops before there is one: what a question waits for (agents that look,
/// a majority) may not come any more, and would keep the node.
async fn until(
    stop: CancellationToken,
    answer: impl Future<Output = Result<Response<Body>, Infallible>>,
) -> Result<Response<Body>, Infallible> {
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::select! {
        answer = answer => answer,
        () = late => Ok(stopping().into_http()),
    }
}

fn no_leader(address: Option<String>) -> Status {
    let mut status = unavailable(match &address {
        Some(_) => "the lead has just passed to another node".to_owned(),
        None => "the coordinator has no leader now; are a majority of its nodes up?".to_owned(),
    });
    if let Some(value) = address.and_then(|address| format!("http://{address}").parse().ok()) {
        status.metadata_mut().insert(LEADER, value);
    }
    status
}

impl ForwardLayer {
    /// The leader, once there is one; with `there`, once there is one that answers.
    async fn leader(&self, there: bool) -> Option<(u64, String)> {
        let mut metrics = self.raft.metrics();
        loop {
            let Some((node, address)) = self.known_leader() else {
                // An end of the metrics is the end of consensus here.
                metrics.changed().await.ok()?;
                continue;
            };
            if !there || node == self.identity.node {
                return Some((node, address));
            }
            let other_leads = async {
                while metrics.borrow_watched().current_leader == Some(node) {
                    metrics.changed().await.ok()?;
                }
                Some(())
            };
            let answers = async {
                while introduce(&self.peers, &self.identity, (node, &address)).await.is_err() {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            };
            tokio::select! {
                () = answers => return Some((node, address)),
                other = other_leads => other?,
            }
        }
    }

    fn known_leader(&self) -> Option<(u64, String)> {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        let leader = now.current_leader?;
        let node = now.membership_config.membership().get_node(&leader)?;
        Some((leader, node.addr.clone()))
    }

    async fn pass(&self, mut request: Request<Body>, address: &str) -> Response<Body> {
        let Ok(channel) = self.peers.channel(address) else {
            return no_leader(None).into_http();
        };
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        if let Ok(uri) =
            Uri::builder().scheme("http").authority(address).path_and_query(path).build()
        {
            *request.uri_mut() = uri;
        }
        request.headers_mut().insert(FORWARDED, self.identity.node.into());
        let request = request.map(|body| self.passed(body, Way::There));
        let passed = tokio::select! {
            () = self.stop.cancelled() => return stopping().into_http(),
            passed = channel.oneshot(request) => passed,
        };
        match passed {
            Ok(response) => response.map(|body| self.passed(body, Way::Back)),
            Err(error) => {
                tracing::info!(address, %error, "the leader could not be reached");
                no_leader(None).into_http()
            }
        }
    }
}

impl ForwardLayer {
    fn passed(&self, body: Body, way: Way) -> Body {
        Body::new(Passed { body, way, stop: Some(Box::pin(self.stop.clone().cancelled_owned())) })
    }
}

fn stopping() -> Status {
    unavailable("this node is stopping".to_owned())
}

/// What is on its way through this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A question, to the leader.
    There,
    /// An answer, to whoever asked.
    Back,
}

/// Both may be streams that go on for ever, and would keep a node that stops: they end with the node. An
/// answer says why; a question is broken off, so that nobody takes it for a whole one.
struct Passed {
    body: Body,
    way: Way,
    /// `None` once the stream was ended here.
    stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl http_body::Body for Passed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(stop) = &mut self.stop else { return Poll::Ready(None) };
        if stop.as_mut().poll(cx).is_pending() {
            return Pin::new(&mut self.body).poll_frame(cx);
        }
        self.stop = None;
        if self.way == Way::There {
            return Poll::Ready(Some(Err(stopping())));
        }
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(stopping().add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }
}
