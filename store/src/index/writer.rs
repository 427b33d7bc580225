//! The thread that writes the index behind the history.

use std::fs::File;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::block::Block;
use super::failure::{Failure, guarded};
use super::{Shared, lock};
use crate::history::{Hash, leaf_hash};

/// Events are indexed in runs of this size, in bytes; one run is one batch of sled.
const RUN_SIZE: usize = 1024 * 1024;
/// The index is forced to the disk after this many events, and when it stops. What a crash takes
/// is indexed again; forcing more often would compete with the Raft log for the disk.
const FLUSH_EVERY: u64 = 50_000;
/// What sled may keep in memory, in bytes.
const CACHE_SIZE: u64 = 64 * 1024 * 1024;
const UPTO: &[u8] = b"\xff\xffupto";

/// How far the thread is.
#[derive(Debug, Default)]
struct Progress {
    block: Block,
    /// The hash of the last event that was indexed.
    last: Option<Hash>,
    /// The event after the last one that is on the disk.
    flushed: u64,
}

impl Progress {
    fn after(upto: u64) -> Self {
        Self { block: Block::of(upto), last: None, flushed: upto }
    }
}

impl Shared {
    pub(super) fn run(&self) {
        if let Err(error) = self.reopen() {
            tracing::warn!(%error, dir = ?self.dir, "the index does not open and is rebuilt");
            if !self.start_over() {
                return;
            }
        }
        let mut progress = Progress::after(self.upto.load(Ordering::Acquire));
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
                if let Err(error) = self.flush(&mut progress) {
                    tracing::warn!(%error, "the index was not forced to the disk; the next start makes up for it");
                }
                return;
            }
            let result = if rebuild { Err(Failure::Asked) } else { self.catch_up(&mut progress) };
            match result {
                Ok(()) => {}
                Err(Failure::History(error)) => {
                    // Nothing to index from; the history itself reports it.
                    tracing::error!(%error, "the index cannot read the history and stops");
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, dir = ?self.dir, "the index failed and is rebuilt");
                    progress = Progress::default();
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
        let old = lock(&self.db).take();
        self.upto.store(0, Ordering::Release);
        if let Err(error) = guarded(|| {
            drop(old);
            Ok(())
        }) {
            tracing::warn!(%error, "the index that is thrown away did not close");
        }
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

    fn catch_up(&self, progress: &mut Progress) -> Result<(), Failure> {
        let Some(db) = lock(&self.db).clone() else { return Ok(()) };
        while !lock(&self.signal).stop {
            let page = self.history.page(progress.block.end, RUN_SIZE)?;
            let Some(event) = page.last() else { break };
            progress.last = Some(leaf_hash(event));
            let mut batch = sled::Batch::default();
            for event in &page {
                progress.block.add((self.terms)(event), &mut batch);
            }
            progress.block.write(&mut batch);
            guarded(|| Ok(db.apply_batch(batch)?))?;
            self.upto.fetch_max(progress.block.end, Ordering::AcqRel);
            if progress.block.end.saturating_sub(progress.flushed) >= FLUSH_EVERY {
                self.flush(progress)?;
            }
        }
        Ok(())
    }

    /// Forces the entries to the disk, and only then says that they are there.
    fn flush(&self, progress: &mut Progress) -> Result<(), Failure> {
        let Some(db) = lock(&self.db).clone() else { return Ok(()) };
        let Some(hash) = progress.last.take() else { return Ok(()) };
        let upto = progress.block.end;
        guarded(|| Ok(db.flush().map(drop)?))?;
        self.sync()?;
        let value: Vec<u8> = upto.to_be_bytes().into_iter().chain(hash.0).collect();
        guarded(|| Ok(db.insert(UPTO, value).map(drop)?))?;
        guarded(|| Ok(db.flush().map(drop)?))?;
        self.sync()?;
        progress.flushed = upto;
        Ok(())
    }

    /// sled's flush submits the writes but does not force them.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        File::open(self.dir.join("db")).and_then(|file| file.sync_data()).map_err(Failure::Sync)
    }
}
