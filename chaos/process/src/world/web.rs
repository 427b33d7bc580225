//! A shop, a signal and a Prometheus beside the databases, as gates and throttles find them over HTTP: real answers,
//! through the wires of each region.
//!
//! It remembers when the signal said wait, and how often each query of Prometheus was answered well. The checker holds
//! steps and gates against that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde_json::json;
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
    /// The shop is out of order, and Prometheus counts its errors.
    broken: AtomicBool,
    /// A planted bug: Prometheus says that there are none, whatever it has counted.
    hides: AtomicBool,
    /// How often a query was answered with no errors.
    well: Mutex<BTreeMap<String, usize>>,
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
        if let Some(query) = query(&asked) {
            let said = self.counted(query);
            // Whoever asked may have gone.
            drop(stream.write_all(said.as_bytes()).await);
            return;
        }
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

    /// What Prometheus answers. It is noted before anybody can act on it.
    fn counted(&self, query: String) -> String {
        let broken = self.state.broken.load(Ordering::Relaxed);
        let hides = self.state.hides.load(Ordering::Relaxed);
        if broken && !hides {
            self.state.said_no.fetch_add(1, Ordering::Relaxed);
        } else if !broken {
            let mut well = self.state.well.lock().unwrap_or_else(PoisonError::into_inner);
            *well.entry(query).or_default() += 1;
        }
        let errors = if broken && !hides { "3" } else { "0" };
        let sample = json!({ "metric": {}, "value": [now_ms() / 1_000, errors] });
        let data = json!({ "resultType": "vector", "result": [sample] });
        let body = json!({ "status": "success", "data": data }).to_string();
        let length = body.len();
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        )
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

    /// There are errors all the time, and Prometheus says that there are none.
    pub(crate) fn hide(&self) {
        self.broken(true);
        self.state.hides.store(true, Ordering::Relaxed);
    }

    /// How often a query was answered with no errors.
    pub(crate) fn well(&self, query: &str) -> usize {
        let well = self.state.well.lock().unwrap_or_else(PoisonError::into_inner);
        well.get(query).copied().unwrap_or(0)
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

/// The query that Prometheus is asked by the head of a request.
fn query(asked: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(asked).ok()?;
    let line = head.strip_prefix("GET ")?.split(' ').next()?;
    let url = url::Url::parse("http://prometheus").ok()?.join(line).ok()?;
    let mut words = url.query_pairs().filter(|(name, _)| name == "query");
    words.next().filter(|_| url.path() == "/api/v1/query").map(|(_, query)| query.into_owned())
}

#[cfg(test)]
mod tests {
    use super::query;

    #[test]
    fn queries_are_read_as_they_were_meant() {
        let head = "GET /api/v1/query?query=sum%28errors%7Bof%3D%22a%22%7D%29+%2B+1 HTTP/1.1\r\n";
        assert_eq!(query(head.as_bytes()).as_deref(), Some("sum(errors{of=\"a\"}) + 1"));
        assert_eq!(query(b"GET /signal HTTP/1.1\r\n"), None);
    }
}
