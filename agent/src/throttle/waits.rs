//! Legs that wait for a throttle now. Heartbeats tell of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skein_proto::agent::v1::Throttled;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Shared by the legs of an agent and its session.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    waiting: Mutex<BTreeMap<u64, Entry>>,
    /// Counts the waits that began or ended.
    changes: watch::Sender<u64>,
    /// The agent is shut down: nobody waits in the middle of a file any more.
    closing: CancellationToken,
}

#[derive(Debug)]
struct Entry {
    target: String,
    why: String,
    since: Instant,
}

/// One wait: it is over when this is dropped.
#[derive(Debug)]
pub(super) struct Wait {
    waits: Arc<Waits>,
    fence: u64,
}

impl Waits {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(self: &Arc<Self>, fence: u64, (target, why): (&str, &str)) -> Wait {
        tracing::info!(fence, target, why, "a leg is throttled");
        let (target, why, since) = (target.to_owned(), why.to_owned(), Instant::now());
        self.lock().insert(fence, Entry { target, why, since });
        self.changes.send_modify(|changes| *changes += 1);
        Wait { waits: self.clone(), fence }
    }

    /// Tells whoever watches when a wait has begun or ended.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// As a heartbeat tells it.
    pub(crate) fn told(&self) -> Vec<Throttled> {
        let one = |(fence, entry): (&u64, &Entry)| Throttled {
            fence: *fence,
            target: entry.target.clone(),
            why: entry.why.clone(),
            waited_ms: u64::try_from(entry.since.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        self.lock().iter().map(one).collect()
    }

    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closing.is_cancelled()
    }

    pub(super) async fn closed(&self) {
        self.closing.cancelled().await;
    }
}

impl Wait {
    /// It was measured again.
    pub(super) fn says(&self, why: &str) {
        if let Some(entry) = self.waits.lock().get_mut(&self.fence) {
            why.clone_into(&mut entry.why);
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(entry) = self.waits.lock().remove(&self.fence) {
            let (target, seconds) = (entry.target, entry.since.elapsed().as_secs());
            tracing::info!(fence = self.fence, target, seconds, "a leg is throttled no more");
        }
        self.waits.changes.send_modify(|changes| *changes += 1);
    }
}
