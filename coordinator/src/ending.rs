//! A connection that ends with its node, whatever its other side does.
//!
//! A node that is asked to stop answers what was asked, and waits for its connections to end. One on which nothing was
//! ever said, or whose other side reads no more, would keep it: neither hears that it is over. So it is cut.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

/// How long connections have once the node stops: longer than what is being answered then has.
const GRACE: Duration = Duration::from_secs(3);

/// Bytes in both directions, until then.
pub(crate) struct Ending<T> {
    io: T,
    /// `None`: it is over.
    late: Option<BoxFuture<'static, ()>>,
}

impl<T> Ending<T> {
    pub(crate) fn new(io: T, stop: CancellationToken) -> Self {
        let late = async move {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        Self { io, late: Some(late.boxed()) }
    }

    /// What came of it, where that is known; else, whether anything may still come.
    fn or_late<R>(
        &mut self,
        cx: &mut Context<'_>,
        of: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>>
    where
        T: Unpin,
    {
        let told = of(Pin::new(&mut self.io), cx);
        if told.is_ready() {
            return told;
        }
        if self.late.as_mut().is_some_and(|late| late.poll_unpin(cx).is_ready()) {
            self.late = None;
        }
        match self.late {
            Some(_) => Poll::Pending,
            None => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the node stops")))
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Ending<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.or_late(cx, |io, cx| io.poll_read(cx, buf))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Ending<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.or_late(cx, |io, cx| io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.or_late(cx, |io, cx| io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.or_late(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.or_late(cx, AsyncWrite::poll_shutdown)
    }
}
