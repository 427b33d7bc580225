//! Who writes and reads meanwhile, and what they were told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::Client;

/// So that those who are refused leave the processor to the others.
const PACE: std::time::Duration = std::time::Duration::from_millis(10);

/// What somebody was told.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Digests of bundles that were acknowledged.
    pub bundles: Vec<[u8; 32]>,
    /// Heads that a node gave: size and root.
    pub heads: Vec<(u64, Bytes)>,
}

/// Writers and readers at work, until [`Load::end`].
#[derive(Debug)]
pub struct Load {
    told: Arc<Mutex<Told>>,
    ends: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

fn lock(told: &Mutex<Told>) -> std::sync::MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load {
    /// `writers` of bundles and a reader of heads at each node. `next` numbers what is written.
    pub fn start(
        clients: &[Client],
        writers: usize,
        charter: &Bytes,
        next: &Arc<AtomicU64>,
    ) -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let ends = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for client in clients.iter().cycle().take(writers) {
            let client = client.clone();
            let (told, ends) = (Arc::clone(&told), Arc::clone(&ends));
            let (next, charter) = (Arc::clone(next), charter.clone());
            tasks.spawn(async move {
                while !ends.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    match client.put_bundle(number, charter.clone()).await {
                        Ok(digest) => lock(&told).bundles.push(digest),
                        // Nobody promised anything.
                        Err(_) => sleep(PACE).await,
                    }
                }
            });
        }
        for client in clients {
            let client = client.clone();
            let (told, ends) = (Arc::clone(&told), Arc::clone(&ends));
            tasks.spawn(async move {
                let mut last = 0;
                while !ends.load(Ordering::Relaxed) {
                    if let Ok(head) = client.head(0).await
                        && head.size > last
                    {
                        last = head.size;
                        lock(&told).heads.push((head.size, head.root));
                    }
                    sleep(PACE).await;
                }
            });
        }
        Self { told, ends, tasks }
    }

    /// How many bundles were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        lock(&self.told).bundles.len()
    }

    /// Ends it; what everybody was told.
    pub async fn end(mut self) -> Told {
        self.ends.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        lock(&self.told).clone()
    }
}
