//! Which events concern a term: an index over the history, in sled.
//!
//! Derived, and never believed over the history: it is written behind it in batches by a thread of
//! its own, thrown away and rebuilt whenever it does not open, fails or fits another history. What
//! it has not reached yet is read from the history itself, so a lookup is right at any moment.
//!
//! ```text
//!   key   length of the term (u16) │ term │ event sequence (u64), big-endian        value: empty
//!   key   ff ff "upto"                        value: events indexed (u64) │ hash of the last one
//! ```

use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::history::{Hash, History, leaf_hash};

/// The terms of a stored event, as the caller understands it, such as `target/eu-1`.
pub type Terms = fn(&[u8]) -> Vec<String>;

/// Events are indexed in runs of this size, in bytes; one run is one batch of sled.
const RUN_SIZE: usize = 1024 * 1024;
/// The index is forced to the disk after this many runs, and whenever it has caught up.
const RUNS_PER_FLUSH: u32 = 16;
/// What sled may keep in memory, in bytes.
const CACHE_SIZE: u64 = 64 * 1024 * 1024;
/// A lookup reads at most this many events from the history that the index has not reached.
const SCAN_MAX: u64 = 4096;
/// A longer term is replaced by its digest.
const TERM_MAX: usize = 1024;
const UPTO: &[u8] = b"\xff\xffupto";

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
    writer: Option<JoinHandle<()>>,
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
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            history,
            terms,
            db: Mutex::new(None),
            upto: AtomicU64::new(0),
            signal: Mutex::new(Signal { grown: true, ..Signal::default() }),
            changed: Condvar::new(),
        });
        let worker = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("history-index".to_owned())
            .spawn(move || worker.run())
            .inspect_err(|error| tracing::error!(%error, "the index has no thread; lookups read the history"))
            .ok();
        Self { shared, writer }
    }

    /// Says that the history has grown.
    pub(crate) fn grown(&self) {
        self.shared.signal(|signal| signal.grown = true);
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
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::warn!(
                "the index's thread ended in a panic; the index is rebuilt at the next start"
            );
        }
    }
}

/// Something in sled failed; the answer is always to rebuild.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("sled failed")]
    Sled(#[from] sled::Error),
    #[error("sled panicked")]
    Panic,
    #[error("the index could not be forced to the disk")]
    Sync(#[source] std::io::Error),
    #[error("the history could not be read")]
    History(#[from] crate::history::HistoryError),
}

/// sled 0.34 panics on some damage instead of saying so.
fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Failure::Panic))
}

impl Shared {
    fn signal(&self, change: impl FnOnce(&mut Signal)) {
        change(&mut lock(&self.signal));
        self.changed.notify_all();
    }

    fn run(&self) {
        if let Err(error) = self.reopen() {
            tracing::warn!(%error, dir = ?self.dir, "the index does not open and is rebuilt");
            if !self.start_over() {
                return;
            }
        }
        loop {
            let mut signal = lock(&self.signal);
            while !signal.grown && !signal.stop && !signal.rebuild {
                signal = self.changed.wait(signal).unwrap_or_else(PoisonError::into_inner);
            }
            let (stop, rebuild) = (signal.stop, signal.rebuild);
            signal.grown = false;
            signal.rebuild = false;
            drop(signal);
            if stop {
                return;
            }
            let result = if rebuild { Err(Failure::Panic) } else { self.catch_up() };
            match result {
                Ok(()) => {}
                Err(Failure::History(error)) => {
                    // Nothing to index from; the history itself reports it.
                    tracing::error!(%error, "the index cannot read the history and stops");
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, dir = ?self.dir, "the index failed and is rebuilt");
                    if !self.start_over() {
                        return;
                    }
                    self.signal(|signal| signal.grown = true);
                }
            }
        }
    }

    /// Opens what is there. An error if it belongs to another history.
    fn reopen(&self) -> Result<(), Failure> {
        let db = guarded(|| {
            let config = sled::Config::new().path(&self.dir).cache_capacity(CACHE_SIZE);
            Ok(config.flush_every_ms(None).open()?)
        })?;
        let upto = guarded(|| self.stored_upto(&db))?;
        let Some(upto) = upto else {
            return Err(Failure::Sled(sled::Error::Unsupported(
                "it was made over another history".to_owned(),
            )));
        };
        self.upto.store(upto, Ordering::Release);
        *lock(&self.db) = Some(db);
        Ok(())
    }

    /// How far the stored index goes; `None` if what it is about is not this history.
    fn stored_upto(&self, db: &sled::Db) -> Result<Option<u64>, Failure> {
        let Some(value) = db.get(UPTO)? else {
            return Ok(db.is_empty().then_some(0));
        };
        let Some((upto, hash)) = value.split_first_chunk::<8>() else { return Ok(None) };
        let upto = u64::from_be_bytes(*upto);
        let Some(last) = upto.checked_sub(1) else { return Ok(None) };
        let event = self.history.events(last).next().transpose()?;
        let same = event.is_some_and(|event| leaf_hash(&event.bytes).0.as_slice() == hash);
        Ok(same.then_some(upto))
    }

    /// Throws the index away and begins an empty one; false if even that fails.
    fn start_over(&self) -> bool {
        *lock(&self.db) = None;
        self.upto.store(0, Ordering::Release);
        let removed = match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::Sync(error)),
            Ok(()) | Err(_) => Ok(()),
        };
        let result = removed.and_then(|()| self.reopen());
        if let Err(error) = &result {
            tracing::error!(%error, dir = ?self.dir, "the index cannot be written; lookups read the history");
        }
        result.is_ok()
    }

    fn catch_up(&self) -> Result<(), Failure> {
        let Some(db) = lock(&self.db).clone() else { return Ok(()) };
        let mut runs = 0;
        let mut last: Option<Hash> = None;
        while !lock(&self.signal).stop {
            let from = self.upto.load(Ordering::Acquire);
            let page = self.history.page(from, RUN_SIZE)?;
            let Some(event) = page.last() else { break };
            last = Some(leaf_hash(event));
            let mut batch = sled::Batch::default();
            let mut upto = from;
            for event in &page {
                for term in (self.terms)(event) {
                    batch.insert(key(&term, upto), &[]);
                }
                upto += 1;
            }
            guarded(|| Ok(db.apply_batch(batch)?))?;
            self.upto.store(upto, Ordering::Release);
            runs += 1;
            if u32::is_multiple_of(runs, RUNS_PER_FLUSH) {
                self.flush(&db, &mut last)?;
            }
        }
        self.flush(&db, &mut last)
    }

    /// Forces the entries to the disk, and only then says that they are there.
    fn flush(&self, db: &sled::Db, last: &mut Option<Hash>) -> Result<(), Failure> {
        let Some(hash) = last.take() else { return Ok(()) };
        let upto = self.upto.load(Ordering::Acquire);
        guarded(|| Ok(db.flush().map(drop)?))?;
        self.sync()?;
        let value: Vec<u8> = upto.to_be_bytes().into_iter().chain(hash.0).collect();
        guarded(|| Ok(db.insert(UPTO, value).map(drop)?))?;
        guarded(|| Ok(db.flush().map(drop)?))?;
        self.sync()
    }

    /// sled's flush submits the writes but does not force them.
    fn sync(&self) -> Result<(), Failure> {
        File::open(self.dir.join("db")).and_then(|file| file.sync_data()).map_err(Failure::Sync)
    }

    fn lookup(&self, term: &str, from: u64, limit: usize) -> Hits {
        let db = lock(&self.db).clone();
        let indexed = self.upto.load(Ordering::Acquire);
        let mut hits = Hits { seqs: Vec::new(), upto: from };
        if let Some(db) = db.filter(|_| from < indexed) {
            match guarded(|| Ok(in_sled(&db, term, from, indexed, limit)?)) {
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

fn in_sled(
    db: &sled::Db,
    term: &str,
    from: u64,
    to: u64,
    limit: usize,
) -> Result<Vec<u64>, sled::Error> {
    let mut seqs = Vec::new();
    for entry in db.range(key(term, from)..key(term, to)).take(limit) {
        let (key, _) = entry?;
        if let Some((_, seq)) = key.split_last_chunk::<8>() {
            seqs.push(u64::from_be_bytes(*seq));
        }
    }
    Ok(seqs)
}

/// The length first, so that no term is the beginning of another's keys.
fn key(term: &str, seq: u64) -> Vec<u8> {
    let digest;
    let term = if term.len() <= TERM_MAX {
        term.as_bytes()
    } else {
        digest = leaf_hash(term.as_bytes());
        digest.0.as_slice()
    };
    let len = u16::try_from(term.len()).unwrap_or(u16::MAX);
    let mut key = Vec::with_capacity(2 + term.len() + 8);
    key.extend_from_slice(&len.to_be_bytes());
    key.extend_from_slice(term);
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
