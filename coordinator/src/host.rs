//! What a node stands on: TCP and an index, or what its caller puts in the place of them.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Uri};

/// Bytes in both directions.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection that somebody made to this node.
pub struct Connection(Box<dyn Io>);

impl Connection {
    /// Over these bytes.
    pub fn new(bytes: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Box::new(bytes))
    }
}

/// Connects to what an address names.
pub type Dial = Arc<dyn Fn(Uri) -> BoxFuture<'static, io::Result<Connection>> + Send + Sync>;

/// A channel to an endpoint whose connections are made by `dial`, when it is first used and again when
/// they break.
pub fn channel(endpoint: &Endpoint, dial: Dial) -> Channel {
    endpoint.connect_with_connector_lazy(tower::service_fn(move |uri| {
        let connecting = dial(uri);
        async move { connecting.await.map(TokioIo::new) }
    }))
}

/// What a node stands on. The default is what a node in production has.
pub struct Host {
    pub(crate) incoming: Option<BoxStream<'static, io::Result<Connection>>>,
    pub(crate) dial: Option<Dial>,
    pub(crate) indexed: bool,
}

impl Default for Host {
    fn default() -> Self {
        Self { incoming: None, dial: None, indexed: true }
    }
}

impl Host {
    /// Serves the connections that `incoming` gives instead of listening at the configured address, and
    /// reaches other nodes by `dial`.
    pub fn reached_by(
        incoming: impl futures::Stream<Item = io::Result<Connection>> + Send + 'static,
        dial: Dial,
    ) -> Self {
        Self { incoming: Some(incoming.boxed()), dial: Some(dial), ..Self::default() }
    }

    /// Events are looked up in the history, and no index over it is kept.
    #[must_use]
    pub fn without_index(self) -> Self {
        Self { indexed: false, ..self }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tcp = self.incoming.is_none();
        f.debug_struct("Host")
            .field("tcp", &tcp)
            .field("indexed", &self.indexed)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
