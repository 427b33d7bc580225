//! What lies between two machines, in this program: bytes that are late, that stand still, connections
//! that are cut.
//!
//! Each machine reaches each other one, and each database, through a listener on its own loopback. The
//! names in its hosts file point there, so that every way has a weather of its own, and packet filters
//! still see the true sender: the listener calls on from within the same machine.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rand::RngExt as _;
use rustix::net::sockopt::set_socket_linger;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::Instant;

/// Pieces under way in one direction. With the size of a piece: a window of 1 MiB.
const PIECES_MAX: usize = 64;
const PIECE_BYTES: usize = 16 * 1024;

/// What goes on between two places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Weather {
    /// On everything, each way.
    pub(crate) delay: Duration,
    /// Up to so much more, at random. The order stays.
    pub(crate) jitter: Duration,
    /// Nothing arrives, and nobody is told.
    pub(crate) still: bool,
    /// Connections are reset as often as this changes.
    pub(crate) cuts: u32,
}

/// Where a way leads.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// One way, and its weather.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Where `from` finds it.
    pub(crate) at: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
    end: End,
}

impl Wire {
    pub(crate) fn new(from: &str, to: &str, at: SocketAddr, end: End) -> Self {
        let weather = Arc::new(watch::Sender::default());
        Self { from: from.to_owned(), to: to.to_owned(), at, weather, end }
    }

    pub(crate) fn delay(&self, delay: Duration, jitter: Duration) {
        self.weather.send_modify(|now| (now.delay, now.jitter) = (delay, jitter));
    }

    pub(crate) fn hold(&self, still: bool) {
        self.weather.send_modify(|now| now.still = still);
    }

    /// Resets every connection on it.
    pub(crate) fn cut(&self) {
        self.weather.send_modify(|now| now.cuts = now.cuts.wrapping_add(1));
    }

    /// Fair weather.
    pub(crate) fn heal(&self) {
        self.weather.send_modify(|now| *now = Weather { cuts: now.cuts, ..Weather::default() });
    }
}

/// Opens the wires that begin in one machine; `None`: where this program is. They stay until it ends.
pub(crate) fn open(space: Option<PathBuf>, wires: Vec<Wire>) -> Result<()> {
    let (tell, told) = mpsc::channel();
    std::thread::Builder::new().name("wires".to_owned()).spawn(move || {
        // A socket belongs to the namespace of the thread that made it.
        let result = serve(space, wires, &tell);
        drop(tell.send(result));
    })?;
    told.recv().context("the thread of the wires ended")?
}

fn serve(space: Option<PathBuf>, wires: Vec<Wire>, tell: &mpsc::Sender<Result<()>>) -> Result<()> {
    if let Some(space) = space {
        let file = std::fs::File::open(&space)
            .with_context(|| format!("failed to open {}", space.display()))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("failed to enter {}", space.display()))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut listening = tokio::task::JoinSet::new();
        for wire in wires {
            let listener = TcpListener::bind(wire.at)
                .await
                .with_context(|| format!("failed to listen at {}", wire.at))?;
            listening.spawn(accept(listener, wire));
        }
        tell.send(Ok(())).map_err(|_gone| anyhow!("nobody waits for the wires"))?;
        while listening.join_next().await.is_some() {}
        Ok(())
    })
}

async fn accept(listener: TcpListener, wire: Wire) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(carry(stream, wire.end.clone(), wire.weather.subscribe()));
            }
            // Too many open files, say: it may pass.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One connection, both ways, until either side ends it or it is cut.
async fn carry(here: TcpStream, end: End, mut weather: watch::Receiver<Weather>) {
    let cuts = weather.borrow_and_update().cuts;
    let (early, late) = (weather.clone(), weather.clone());
    // Without linger a socket is reset when it is closed: set through a second handle once it is cut.
    let mut handles: Vec<OwnedFd> = here.as_fd().try_clone_to_owned().into_iter().collect();
    if here.set_nodelay(true).is_err() {
        return;
    }
    let (up, down) = here.into_split();
    let both = async {
        match end {
            End::Tcp(address) => {
                let Ok(there) = TcpStream::connect(address).await else { return };
                handles.extend(there.as_fd().try_clone_to_owned());
                if there.set_nodelay(true).is_err() {
                    return;
                }
                let (read, write) = there.into_split();
                tokio::join!(pump(up, write, early), pump(read, down, late));
            }
            End::Unix(path) => {
                let Ok(there) = UnixStream::connect(path).await else { return };
                let (read, write) = there.into_split();
                tokio::join!(pump(up, write, early), pump(read, down, late));
            }
        }
    };
    let was_cut = tokio::select! {
        () = both => false,
        _ = weather.wait_for(|now| now.cuts != cuts) => true,
    };
    if was_cut {
        for handle in &handles {
            match set_socket_linger(handle, Some(Duration::ZERO)) {
                // One that has ended meanwhile cannot be reset, and need not be.
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// One direction: each piece is due when it was read plus the delay of that moment.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
) {
    let (queue, mut queued) = tokio::sync::mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let pace = weather.clone();
    let read = async move {
        let mut bytes = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            let Weather { delay, jitter, .. } = *pace.borrow();
            let more = if jitter.is_zero() {
                Duration::ZERO
            } else {
                jitter.mul_f64(rand::rng().random_range(0.0..1.0))
            };
            let piece = bytes.get(..count).unwrap_or_default().to_vec();
            if queue.send((Instant::now() + delay + more, piece)).await.is_err() {
                break;
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = queued.recv().await {
            tokio::time::sleep_until(due).await;
            if weather.wait_for(|now| !now.still).await.is_err() {
                break;
            }
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
        // The other side hears of an end after everything that was sent before it.
        drop(to.shutdown().await);
    };
    tokio::join!(read, write);
}
