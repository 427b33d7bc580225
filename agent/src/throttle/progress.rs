//! How far legs have come in statements that run in batches. Heartbeats tell of it, and nothing else does: the
//! truth is in the target.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skein_proto::agent::v1::Batched;
use skein_proto::v1::BatchProgress;

use crate::db::SoFar;

/// Shared by the legs of an agent and its session.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    under_way: Mutex<BTreeMap<u64, Batched>>,
}

/// What one leg tells: it is forgotten when this is dropped.
#[derive(Debug)]
pub(super) struct Told {
    progress: Arc<Progress>,
    fence: u64,
    target: String,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Batched>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As a heartbeat tells it.
    pub(crate) fn told(&self) -> Vec<Batched> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn of(self: &Arc<Self>, (fence, target): (u64, &str)) -> Told {
        Told { progress: self.clone(), fence, target: target.to_owned() }
    }
}

impl Told {
    pub(super) fn says(&self, so_far: SoFar, size: u64) {
        let SoFar { statement, over, batches, rows, percent, size: _ } = so_far;
        let percent = percent.map(u32::from);
        let progress = Some(BatchProgress { statement, over, batches, rows, percent, size });
        let (fence, target) = (self.fence, self.target.clone());
        self.progress.lock().insert(fence, Batched { fence, target, progress });
    }

    pub(super) fn is_over(&self) {
        self.progress.lock().remove(&self.fence);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.is_over();
    }
}
