//! Gates of waves in this agent's hands. Nothing of an ask outlives it, so that one is dropped at any moment
//! and asked again by whoever has the next lease.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use skein_proto::agent::v1::report::Outcome;
use skein_proto::agent::v1::{Ask, Judged};
use tokio::task::{AbortHandle, JoinSet};

use super::mailbox::Mailbox;
use crate::gate::Asker;

/// Owned by the session's task.
pub(super) struct Asks {
    asker: Arc<Asker>,
    mailbox: Arc<Mailbox>,
    held: BTreeMap<u64, Held>,
    running: JoinSet<(Ask, Judged)>,
}

enum Held {
    Asked(AbortHandle),
    /// With this report.
    Told(u64),
}

/// A gate that cannot be asked has not passed. Without a word of it its lease would be renewed for ever.
fn fallen() -> Judged {
    let measured = "the agent met a fault of its own while it asked; its log says where".to_owned();
    Judged { inconclusive: true, measured, ..Judged::default() }
}

impl Asks {
    pub(super) fn new(asker: Arc<Asker>, mailbox: Arc<Mailbox>) -> Self {
        Self { asker, mailbox, held: BTreeMap::new(), running: JoinSet::new() }
    }

    /// Takes what was handed out. Being handed one twice changes nothing.
    pub(super) fn take(&mut self, asks: Vec<Ask>) {
        for ask in asks {
            if self.held.contains_key(&ask.fence) {
                continue;
            }
            let (asker, fence) = (self.asker.clone(), ask.fence);
            let task = self.running.spawn(async move {
                let gate = ask.gate.clone().unwrap_or_default();
                let long = Duration::from_millis(ask.for_ms);
                let judged = Box::pin(asker.judge(&gate, (&ask.target, &ask.baseline), long));
                let judged = AssertUnwindSafe(judged).catch_unwind().await;
                (ask, judged.unwrap_or_else(|_panic| fallen()))
            });
            self.held.insert(fence, Held::Asked(task));
        }
    }

    /// Waits until one is decided, and tells it; for ever where none is asked.
    pub(super) async fn decided(&mut self) {
        loop {
            match self.running.join_next().await {
                // It was taken back at the last moment.
                Some(Ok((ask, _))) if !self.held.contains_key(&ask.fence) => {}
                Some(Ok((ask, judged))) => {
                    let gate = ask.gate.map(|gate| gate.name).unwrap_or_default();
                    let (passed, measured) = (judged.passed, &judged.measured);
                    tracing::info!(gate, target = ask.target, passed, measured, "a gate was asked");
                    let told = Outcome::Judged(judged);
                    let id = self.mailbox.post_in_company(ask.fence, &ask.target, told);
                    self.held.insert(ask.fence, Held::Told(id));
                    return;
                }
                // It was taken back.
                Some(Err(error)) if error.is_cancelled() => {}
                Some(Err(error)) => tracing::error!(%error, "asking a gate ended by itself"),
                None => std::future::pending().await,
            }
        }
    }

    /// It is asked by another, or not at all.
    pub(super) fn drop(&mut self, fence: u64) {
        if let Some(Held::Asked(task)) = self.held.remove(&fence) {
            task.abort();
        }
    }

    /// What was told of it was answered.
    pub(super) fn acknowledged(&mut self, fence: u64, id: u64) {
        if matches!(self.held.get(&fence), Some(Held::Told(told)) if *told == id) {
            self.held.remove(&fence);
        }
    }

    /// Everything is asked by others from now on.
    pub(super) fn close(&mut self) {
        self.running.abort_all();
        self.held.retain(|_, held| matches!(held, Held::Told(_)));
    }

    pub(super) fn fences(&self) -> impl Iterator<Item = u64> {
        self.held.keys().copied()
    }
}
