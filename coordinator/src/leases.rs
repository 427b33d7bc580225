//! Leases in the leader's memory: a timing wheel, so that renewing and running out cost the same
//! whatever the fleet's size. What is logged is assignment and expiry only.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use skein_core::ids::{AgentId, Fence, TargetId};
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

/// What is leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leased {
    /// A target, for a leg or a repair.
    Target(TargetId),
    /// A gate, to this agent.
    Gate(AgentId),
}

/// Live leases. One whose leg has ended runs out unnoticed.
#[derive(Debug)]
pub(crate) struct Leases {
    length: Duration,
    queue: DelayQueue<(Fence, Leased)>,
    keys: BTreeMap<Fence, Key>,
}

impl Leases {
    pub(crate) fn new(length: Duration) -> Self {
        Self { length, queue: DelayQueue::new(), keys: BTreeMap::new() }
    }

    pub(crate) fn grant(&mut self, fence: Fence, leased: Leased) {
        let key = self.queue.insert((fence, leased), self.length);
        self.keys.insert(fence, key);
    }

    pub(crate) fn renew(&mut self, fences: &[Fence]) {
        for fence in fences {
            if let Some(key) = self.keys.get(fence) {
                self.queue.reset(key, self.length);
            }
        }
    }

    /// Waits for the next one to run out; for ever while there is none.
    pub(crate) async fn expired(&mut self) -> (Fence, Leased) {
        match self.queue.next().await {
            Some(expired) => {
                let (fence, leased) = expired.into_inner();
                self.keys.remove(&fence);
                (fence, leased)
            }
            None => std::future::pending().await,
        }
    }
}
