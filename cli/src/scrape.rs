//! `GET /metrics`, and nothing else, at an address of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::exit::ExitCode;
use crate::failure::Failure;

const PATH: &str = "/metrics";
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Connections at one time: a few systems that watch, each with one.
const CONNECTIONS_MAX: usize = 16;
/// Who has connected and says nothing for so long is cut off.
const SILENCE_MAX: Duration = Duration::from_secs(75);
/// Between two tries to take a connection where the system gives none.
const AGAIN: Duration = Duration::from_millis(100);

/// An address that is listened at.
pub(crate) struct Scrapes {
    listener: TcpListener,
}

impl Scrapes {
    /// Before the role starts: an address that is taken changes nothing.
    pub(crate) async fn listen(address: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let what = format!("cannot serve metrics at {address}: {error}");
            Failure::new(ExitCode::Internal, what)
                .next("choose another `metrics` address, or stop the process that is there")
        })?;
        Ok(Self { listener })
    }

    /// Answers until what is returned is dropped.
    pub(crate) fn serve(
        self,
        text: impl Fn() -> String + Send + Sync + 'static,
    ) -> AbortOnDropHandle<()> {
        if let Ok(address) = self.listener.local_addr() {
            tracing::info!("metrics are served at http://{address}{PATH}");
        }
        AbortOnDropHandle::new(tokio::spawn(accept(self.listener, Arc::new(text))))
    }
}

type Text = Arc<dyn Fn() -> String + Send + Sync>;

async fn accept(listener: TcpListener, text: Text) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let text = Arc::clone(&text);
                tokio::spawn(async move {
                    converse(stream, text).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the metrics could not be taken");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, text: Text) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&request, &text);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the metrics ended");
    }
}

fn answer<B>(request: &Request<B>, text: &Text) -> Response<String> {
    let mut response = Response::new(String::new());
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (ALLOW, "GET, HEAD")];
    let [plain, allow] = headers.map(|(name, value)| (name, http::HeaderValue::from_static(value)));
    if request.uri().path() != PATH {
        *response.status_mut() = StatusCode::NOT_FOUND;
        *response.body_mut() = format!("metrics are at {PATH}\n");
        response.headers_mut().extend([plain]);
    } else if ![Method::GET, Method::HEAD].contains(request.method()) {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().extend([allow]);
    } else {
        *response.body_mut() = text();
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(FORMAT));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, path: &str) -> Response<String> {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        answer(&request, &(Arc::new(|| "skein 1\n".to_owned()) as Text))
    }

    #[test]
    fn metrics_are_read_and_nothing_else_is_there() {
        let read = asked(Method::GET, "/metrics");
        assert_eq!((read.status(), read.body().as_str()), (StatusCode::OK, "skein 1\n"));
        assert_eq!(read.headers()[CONTENT_TYPE], FORMAT);
        assert_eq!(asked(Method::GET, "/").status(), StatusCode::NOT_FOUND);
        assert_eq!(asked(Method::POST, "/metrics").status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
