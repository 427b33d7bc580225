//! A way to a coordinator that can be shut: what an agent says then goes nowhere, and is lost with it.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Listens on loopback and hands on to one address. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Valve {
    pub(crate) address: String,
    open: Arc<watch::Sender<bool>>,
    listening: JoinHandle<()>,
}

impl Valve {
    /// To `host:port`, open.
    pub(crate) async fn to(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let own = listener.local_addr().expect("it is bound").to_string();
        let open = Arc::new(watch::Sender::new(true));
        let (there, gate) = (address.to_owned(), Arc::clone(&open));
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, there.clone(), gate.subscribe()));
            }
        });
        Self { address: own, open, listening }
    }

    /// From now on nothing goes through towards the coordinator.
    pub(crate) fn shut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Valve {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// One connection, both ways, until either side ends it.
async fn carry(here: TcpStream, there: String, gate: watch::Receiver<bool>) {
    let Ok(there) = TcpStream::connect(there).await else { return };
    let (mut from_agent, mut to_agent) = here.into_split();
    let (mut from_node, mut to_node) = there.into_split();
    let up = async {
        let mut bytes = vec![0; 16 * 1024];
        let mut lost = false;
        while let Ok(read @ 1..) = from_agent.read(&mut bytes).await {
            lost |= !*gate.borrow();
            let sent = if lost { None } else { bytes.get(..read) };
            if let Some(sent) = sent
                && to_node.write_all(sent).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        _ = copy(&mut from_node, &mut to_agent) => {}
    }
}
