//! Connections over the simulated network.

use std::io;
use std::sync::Arc;

use futures::stream::Stream;
use skein_coordinator::host::{self, Connection, Dial};
use tonic::transport::{Channel, Endpoint};
use turmoil::net::{TcpListener, TcpStream};

/// Where every node listens.
pub(crate) const PORT: u16 = 7000;

/// How anybody reaches a node.
pub(crate) fn dial() -> Dial {
    Arc::new(|uri| {
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().to_owned();
            let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(PORT))).await?;
            Ok(Connection::new(stream))
        })
    })
}

/// A connection that is made when it is first used.
pub(crate) fn lazily(endpoint: &Endpoint) -> Channel {
    host::channel(endpoint, dial())
}

/// How agents reach nodes.
pub(crate) fn from_agents() -> skein_agent::Dial {
    Arc::new(|endpoint| Box::pin(async move { Ok(lazily(&endpoint)) }))
}

/// What comes in at a node.
pub(crate) async fn listen() -> io::Result<impl Stream<Item = io::Result<Connection>> + Send> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    Ok(futures::stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await;
        Some((accepted.map(|(stream, _)| Connection::new(stream)), listener))
    }))
}
