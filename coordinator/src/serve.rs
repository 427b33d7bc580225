//! What a node serves, on every way in: a port, and connections within its process.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use skein_proto::agent::v1::session_server::SessionServer;
use skein_proto::raft::v1::raft_server::RaftServer;
use skein_proto::v1;
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::api::{Api, ForwardLayer};
use crate::ending::Ending;
use crate::host::Connection;
use crate::raft::Service;

/// An agent's or a tool's message may weigh this much, bytes.
const MESSAGE_MAX: usize = 4 * 1024 * 1024;

/// Streams on one connection: a follower passes all agents and watchers that came to it on by one.
const STREAMS_MAX: u32 = 16_384;

/// Connections from outside this process.
pub(crate) enum Incoming {
    Tcp(TcpListener),
    Given(BoxStream<'static, io::Result<Connection>>),
}

impl Incoming {
    pub(crate) async fn listen(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self::Tcp)
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Given(_) => None,
        }
    }

    fn connections(self, stop: CancellationToken) -> BoxStream<'static, io::Result<Connection>> {
        match self {
            Self::Tcp(listener) => tokio_stream::wrappers::TcpListenerStream::new(listener)
                .map(move |stream| {
                    let stream = stream.inspect(|stream| drop(stream.set_nodelay(true)));
                    stream.map(|stream| Connection::new(Ending::new(stream, stop.clone())))
                })
                .boxed(),
            Self::Given(connections) => connections,
        }
    }
}

/// What is served, on every way in.
pub(crate) struct Serving {
    pub(crate) api: Api,
    pub(crate) service: Service,
    pub(crate) forward: ForwardLayer,
    pub(crate) stop: CancellationToken,
}

impl Serving {
    async fn routes(&self) -> Routes {
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_service_status("", tonic_health::ServingStatus::Serving).await;
        health.set_serving::<v1::rollouts_server::RolloutsServer<Api>>().await;
        health.set_serving::<v1::repairs_server::RepairsServer<Api>>().await;
        let api = &self.api;
        let peer = crate::raft::PEER_MESSAGE_MAX;
        Routes::new(health_service)
            .add_service(
                v1::fleet_server::FleetServer::new(api.clone())
                    .max_decoding_message_size(MESSAGE_MAX),
            )
            .add_service(
                v1::planner_server::PlannerServer::new(api.clone())
                    .max_decoding_message_size(MESSAGE_MAX),
            )
            .add_service(
                v1::rollouts_server::RolloutsServer::new(api.clone())
                    .max_decoding_message_size(MESSAGE_MAX),
            )
            .add_service(
                v1::pace_server::PaceServer::new(api.clone())
                    .max_decoding_message_size(MESSAGE_MAX),
            )
            .add_service(
                v1::repairs_server::RepairsServer::new(api.clone())
                    .max_decoding_message_size(MESSAGE_MAX),
            )
            .add_service(
                v1::audit_server::AuditServer::new(api.clone())
                    .max_decoding_message_size(MESSAGE_MAX),
            )
            .add_service(
                v1::cluster_server::ClusterServer::new(api.clone())
                    .max_decoding_message_size(MESSAGE_MAX),
            )
            .add_service(SessionServer::new(api.clone()).max_decoding_message_size(MESSAGE_MAX))
            .add_service(
                RaftServer::new(self.service.clone())
                    .max_decoding_message_size(peer)
                    .max_encoding_message_size(peer),
            )
    }

    pub(crate) async fn spawn(
        self,
        outside: Option<Incoming>,
        connections: mpsc::Receiver<DuplexStream>,
    ) -> Result<Vec<JoinHandle<()>>, String> {
        let mut routes = self.routes().await;
        // Nobody looks around within a process, and to read the descriptors takes longer than to form a
        // cluster.
        if matches!(outside, Some(Incoming::Tcp(_))) {
            let reflection = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(skein_proto::DESCRIPTORS)
                .build_v1()
                .map_err(|error| error.to_string())?;
            routes = routes.add_service(reflection);
        }
        let server = || {
            Server::builder()
                .http2_keepalive_interval(Some(Duration::from_secs(5)))
                .http2_keepalive_timeout(Some(Duration::from_secs(10)))
                .tcp_nodelay(true)
                .max_concurrent_streams(STREAMS_MAX)
                .layer(self.forward.clone())
                .add_routes(routes.clone())
        };
        let mut tasks = Vec::new();
        if let Some(outside) = outside {
            let connections = outside.connections(self.stop.clone());
            let serve = server()
                .serve_with_incoming_shutdown(connections, self.stop.clone().cancelled_owned());
            tasks.push(tokio::spawn(async move {
                if let Err(error) = serve.await {
                    tracing::error!(%error, "the listener has stopped");
                }
            }));
        }
        let incoming = tokio_stream::wrappers::ReceiverStream::new(connections)
            .map(Ok::<_, std::convert::Infallible>);
        let serve =
            server().serve_with_incoming_shutdown(incoming, self.stop.clone().cancelled_owned());
        tasks.push(tokio::spawn(async move {
            if let Err(error) = serve.await {
                tracing::error!(%error, "in-process connections have stopped");
            }
        }));
        Ok(tasks)
    }
}
