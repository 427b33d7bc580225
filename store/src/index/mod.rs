//! Which events concern a term: an index over the history, in sled.
//!
//! Derived, and never believed over the history: it is written behind it in batches by a thread of
//! its own, thrown away and rebuilt whenever it does not open, fails or fits another history. What
//! it has not reached yet is read from the history itself, so a lookup is right at any moment.
//!
//! ```text
//!   key   length of the term (u16) │ term │ block (u64), big-endian
//!         value: the events of that block that have the term: varints, each less the one before
//!   key   ff ff "upto"
//!         value: events indexed (u64) │ hash of the last one
//! ```
//! A block is 1024 events. What belongs to a block follows from the history alone, so writing it
//! again after a crash replaces it by the same.

mod block;
mod failure;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use block::in_sled;
use failure::guarded;

use crate::history::History;

/// The terms of a stored event, as the caller understands it, such as `target/eu-1`.
pub type Terms = fn(&[u8]) -> Vec<String>;

/// A lookup reads at most this many events from the history that the index has not reached.
const SCAN_MAX: u64 = 4096;

/// Events that wait before the thread goes on. Each run reads up to where the last one ended and writes
/// the terms of its block anew: a run for every entry would cost more than the entry itself. Well below
/// [`SCAN_MAX`], because lookups read from the history what waits.
const WAKE_AFTER: u64 = 1024;

/// How long a node that stops waits for its index, which is derived. sled waits for ever for what a failing disk does not
/// take.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// What a lookup found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hits {
    /// The events, in order.
    pub seqs: Vec<u64>,
    /// Everything before this event was considered. When it is short of the history's size, ask
    /// again from here.
    pub upto: u64,
}

/// The index of one node. Share it in an `Arc`; dropping it stops its thread.
#[derive(Debug)]
pub struct Index {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    history: Arc<History>,
    terms: Terms,
    db: Mutex<Option<sled::Db>>,
    /// Events before this one are in sled.
    upto: AtomicU64,
    signal: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Signal {
    grown: bool,
    rebuild: bool,
    stop: bool,
    /// There is a thread.
    runs: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("dir", &self.dir)
            .field("upto", &self.upto)
            .finish_non_exhaustive()
    }
}

impl Index {
    /// Opens the index in `dir` over `history` and starts to catch up. Never fails: an index that
    /// does not open is rebuilt, and one that cannot be written is done without.
    pub fn open(dir: &Path, history: Arc<History>, terms: Terms) -> Self {
        let shared = Arc::new(Shared::new(dir, history, terms));
        shared.signal(|signal| signal.runs = true);
        let worker = Runs(Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("history-index".to_owned());
        if let Err(error) = thread.spawn(move || worker.0.run()) {
            tracing::error!(%error, "the index has no thread; lookups read the history");
        }
        Self { shared }
    }

    /// No index: lookups read the history.
    pub(crate) fn none(history: Arc<History>, terms: Terms) -> Self {
        Self { shared: Arc::new(Shared::new(Path::new(""), history, terms)) }
    }

    /// Says how many events the history has now. The thread is woken when a run is worth it.
    pub(crate) fn grown(&self, size: u64) {
        if size.saturating_sub(self.upto()) >= WAKE_AFTER {
            self.shared.signal(|signal| signal.grown = true);
        }
    }

    /// Up to `limit` events from sequence number `from` on that have `term`.
    pub fn lookup(&self, term: &str, from: u64, limit: usize) -> Hits {
        self.shared.lookup(term, from, limit)
    }

    /// How many events are indexed.
    pub fn upto(&self) -> u64 {
        self.shared.upto.load(Ordering::Acquire)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.shared.signal(|signal| signal.stop = true);
        let signal = lock(&self.shared.signal);
        let ended = self.shared.changed.wait_timeout_while(signal, STOP_LIMIT, |it| it.runs);
        if ended.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
            tracing::warn!(
                dir = ?self.shared.dir,
                "the index does not close, as where the disk fails it, and is left; the next start makes up for it"
            );
        }
    }
}

/// The thread, from before it begins until it has ended, in a panic too.
struct Runs(Arc<Shared>);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.close();
        self.0.signal(|signal| signal.runs = false);
    }
}

impl Shared {
    fn new(dir: &Path, history: Arc<History>, terms: Terms) -> Self {
        Self {
            dir: dir.to_owned(),
            history,
            terms,
            db: Mutex::new(None),
            upto: AtomicU64::new(0),
            signal: Mutex::new(Signal { grown: true, ..Signal::default() }),
            changed: Condvar::new(),
        }
    }

    fn signal(&self, change: impl FnOnce(&mut Signal)) {
        change(&mut lock(&self.signal));
        self.changed.notify_all();
    }

    /// Closes sled, which panics in its own destructors where the disk fails.
    fn close(&self) {
        let Some(db) = lock(&self.db).take() else { return };
        let forced = guarded(|| Ok(db.flush().map(drop)?)).and_then(|()| self.sync());
        if let Err(error) = forced {
            tracing::warn!(%error, "the index is left as it is, and rebuilt at the next start");
            #[expect(clippy::mem_forget, reason = "a second panic while the first unwinds aborts")]
            std::mem::forget(db);
        }
    }

    fn lookup(&self, term: &str, from: u64, limit: usize) -> Hits {
        let db = lock(&self.db).clone();
        let indexed = self.upto.load(Ordering::Acquire);
        let mut hits = Hits { seqs: Vec::new(), upto: from };
        if let Some(db) = db.filter(|_| from < indexed) {
            match guarded(|| in_sled(&db, term, from, indexed, limit)) {
                Ok(seqs) => hits = Hits { seqs, upto: indexed },
                Err(error) => {
                    tracing::warn!(%error, "the index failed; it is rebuilt");
                    self.signal(|signal| signal.rebuild = true);
                }
            }
        }
        if hits.seqs.len() < limit {
            self.scan(term, limit, &mut hits);
        }
        if hits.seqs.len() >= limit {
            hits.seqs.truncate(limit);
            hits.upto = hits.seqs.last().map_or(from, |last| last + 1);
        }
        hits
    }

    /// Reads on in the history where sled ended.
    fn scan(&self, term: &str, limit: usize, hits: &mut Hits) {
        let end = hits.upto.saturating_add(SCAN_MAX);
        for event in self.history.events(hits.upto) {
            let Ok(event) = event else {
                // The caller sees that the answer ends here, and reading the event says why.
                return;
            };
            if event.seq >= end || hits.seqs.len() >= limit {
                return;
            }
            if (self.terms)(&event.bytes).iter().any(|found| found == term) {
                hits.seqs.push(event.seq);
            }
            hits.upto = event.seq + 1;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
