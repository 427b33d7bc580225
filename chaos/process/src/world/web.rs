//! A shop and a signal beside the databases, as gates and throttles find them over HTTP: real answers, through the
//! wires of each region.
//!
//! It remembers when the signal said wait. The checker holds the steps against that.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// A request has no more, and whoever sends one does so at once.
const REQUEST_BYTES_MAX: u64 = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// From when to when, milliseconds since 1970; the end is unknown until it has come.
#[derive(Debug, Clone, Copy)]
struct Spell {
    from: u64,
    to: Option<u64>,
}

/// What the answers are.
#[derive(Debug, Default)]
struct State {
    /// The shop is out of order.
    broken: AtomicBool,
    /// A planted bug: the signal says go on at any time.
    lies: AtomicBool,
    spells: Mutex<Vec<Spell>>,
    said_no: AtomicUsize,
    asked: AtomicUsize,
}

/// All of it. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Web {
    pub(crate) socket: PathBuf,
    state: Arc<State>,
}

/// Milliseconds since 1970, by a clock that nobody sets wrong.
#[expect(clippy::disallowed_methods, reason = "it is the clock by which ledgers are stamped")]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

impl Web {
    /// Opens it below `dir`; it answers until the program ends.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let socket = dir.join("web.sock");
        let listener = UnixListener::bind(&socket)
            .with_context(|| format!("failed to listen at {}", socket.display()))?;
        let web = Self { socket, state: Arc::default() };
        let served = web.clone();
        tokio::spawn(async move {
            // Who cannot be accepted finds nobody, as with any server that is too busy.
            while let Ok((stream, _)) = listener.accept().await {
                let one = served.clone();
                tokio::spawn(tokio::time::timeout(
                    PATIENCE,
                    async move { one.answer(stream).await },
                ));
            }
        });
        Ok(web)
    }

    async fn answer(&self, mut stream: UnixStream) {
        let mut asked = Vec::new();
        let mut part = [0; 1024];
        while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
            match (&mut stream).take(REQUEST_BYTES_MAX).read(&mut part).await {
                Ok(0) | Err(_) => return,
                Ok(read) => asked.extend_from_slice(part.get(..read).unwrap_or_default()),
            }
        }
        self.state.asked.fetch_add(1, Ordering::Relaxed);
        let well = if asked.starts_with(b"GET /signal") {
            self.state.lies.load(Ordering::Relaxed) || !self.is_busy()
        } else {
            !self.state.broken.load(Ordering::Relaxed)
        };
        if !well {
            self.state.said_no.fetch_add(1, Ordering::Relaxed);
        }
        let status = if well { "200 OK" } else { "503 Service Unavailable" };
        let said = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        // Whoever asked may have gone.
        drop(stream.write_all(said.as_bytes()).await);
    }

    fn spells<T>(&self, look: impl FnOnce(&mut Vec<Spell>) -> T) -> T {
        look(&mut self.state.spells.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_busy(&self) -> bool {
        self.spells(|spells| spells.last().is_some_and(|spell| spell.to.is_none()))
    }

    /// The signal says wait from now on, or go on.
    pub(crate) fn busy(&self, is: bool) {
        let now = now_ms();
        self.spells(|spells| match spells.last_mut() {
            Some(last) if last.to.is_none() && !is => last.to = Some(now),
            Some(last) if last.to.is_none() => {}
            _ if is => spells.push(Spell { from: now, to: None }),
            _ => {}
        });
    }

    /// The shop breaks, or is mended.
    pub(crate) fn broken(&self, is: bool) {
        self.state.broken.store(is, Ordering::Relaxed);
    }

    /// It should say wait all the time, and says go on.
    pub(crate) fn lie(&self) {
        self.busy(true);
        self.state.lies.store(true, Ordering::Relaxed);
    }

    /// Whether the signal said go on at any time between the two.
    pub(crate) fn was_free(&self, from: u64, to: u64) -> bool {
        let covers = |spell: &Spell| spell.from <= from && spell.to.is_none_or(|end| end >= to);
        self.spells(|spells| !spells.iter().any(covers))
    }

    /// How often it was asked, and how often the answer was no.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        (read(&self.state.asked), read(&self.state.said_no))
    }
}
