//! What one leg asks before it begins something: may it, or does it wait?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use super::progress::Told;
use super::{Gauge, Pace, Progress, Waits};
use crate::db::{Between, Left, SoFar};
use crate::session::{Lease, Over};

/// The throttles of a leg.
#[derive(Debug)]
pub(crate) struct Brake {
    gauge: Arc<Gauge>,
    waits: Arc<Waits>,
    fence: u64,
    target: String,
    /// It changes while the leg is under way.
    pace: watch::Receiver<Pace>,
    /// Nothing holds it back any more.
    free: bool,
    progress: Told,
    lease: Lease,
    /// Until when a good measuring holds, of each throttle, and the limit that it was good for.
    good: BTreeMap<String, (u64, Instant)>,
}

/// What holds a leg back.
struct Holds {
    why: String,
    interval: Duration,
}

impl Brake {
    pub(crate) fn new(
        (gauge, waits, progress): (Arc<Gauge>, Arc<Waits>, Arc<Progress>),
        (fence, target): (u64, &str),
        pace: watch::Receiver<Pace>,
        lease: &Lease,
    ) -> Self {
        let progress = progress.of((fence, target));
        let (target, lease, good) = (target.to_owned(), lease.clone(), BTreeMap::new());
        Self { gauge, waits, fence, target, pace, free: false, progress, lease, good }
    }

    /// From now on throttles hold nothing back.
    pub(crate) fn let_go(&mut self) {
        self.free = true;
    }

    /// Before a step: waits until nothing holds it back, or the leg is over.
    pub(crate) async fn before_step(&mut self) -> Result<(), Over> {
        let mut lease = self.lease.clone();
        tokio::select! {
            () = self.until_free() => {}
            over = lease.ended() => return Err(over),
        }
        self.lease.may_start().await
    }

    async fn until_free(&mut self) {
        let mut wait = None;
        while let Some(holds) = self.holds().await {
            let waits = &self.waits;
            wait.get_or_insert_with(|| waits.begin(self.fence, (&self.target, &holds.why)))
                .says(&holds.why);
            tokio::select! {
                () = tokio::time::sleep(holds.interval) => {}
                // Somebody has set another limit.
                Ok(()) = self.pace.changed() => {}
            }
        }
    }

    /// The first throttle that holds it back now.
    async fn holds(&mut self) -> Option<Holds> {
        let throttles = self.pace.borrow_and_update().throttles.clone();
        for throttle in throttles.into_iter().filter(|_| !self.free) {
            let known = self.good.get(&throttle.name);
            if known
                .is_some_and(|(limit, until)| *limit == throttle.limit && Instant::now() < *until)
            {
                continue;
            }
            let interval = Duration::from_millis(throttle.interval_ms);
            if let Err(why) = self.gauge.measure(&throttle, &self.target).await {
                self.good.remove(&throttle.name);
                return Some(Holds { why, interval });
            }
            self.good.insert(throttle.name, (throttle.limit, Instant::now() + interval));
        }
        None
    }

    async fn between_statements(&mut self) -> Result<(), Left> {
        let (mut lease, waits) = (self.lease.clone(), self.waits.clone());
        tokio::select! {
            () = self.until_free() => {}
            () = lease.cut() => return Err(Left),
            () = waits.closed() => return Err(Left),
        }
        self.lease.may_go_on().await.map_err(|_over| Left)
    }

    /// The half of a statement in batches goes on where it was left: an agent that is shut down leaves it, too.
    async fn between_batches(&mut self, so_far: SoFar, may_wait: bool) -> Result<u64, Left> {
        let began = so_far.batches > 0;
        let own = so_far.size;
        let size = |pace: &Pace| Some(pace.batching.size).filter(|size| *size > 0).unwrap_or(own);
        let set = size(&self.pace.borrow());
        self.progress.says(so_far, set);
        if self.lease.is_cut_at_batch() || self.waits.is_closed() {
            return Err(Left);
        }
        let (mut lease, waits) = (self.lease.clone(), self.waits.clone());
        let free = async {
            if may_wait && began {
                self.rest().await;
            }
            if may_wait {
                self.until_free().await;
            }
        };
        tokio::select! {
            () = free => {}
            () = lease.cut_at_batch() => return Err(Left),
            () = waits.closed() => return Err(Left),
        }
        self.lease.may_go_on().await.map_err(|_over| Left)?;
        Ok(size(&self.pace.borrow()))
    }

    /// The pause between two batches, which somebody may change meanwhile.
    async fn rest(&mut self) {
        let began = Instant::now();
        loop {
            let pause = Duration::from_millis(self.pace.borrow_and_update().batching.pause_ms);
            if pause <= began.elapsed() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(began + pause) => return,
                Ok(()) = self.pace.changed() => {}
            }
        }
    }
}

impl Between for Brake {
    fn is_free(&mut self) -> BoxFuture<'_, bool> {
        async { self.holds().await.is_none() }.boxed()
    }

    /// The step under way is not given up for less than a word that it be killed: a half of it cannot be undone.
    fn until_free(&mut self) -> BoxFuture<'_, Result<(), Left>> {
        self.between_statements().boxed()
    }

    fn before_batch(&mut self, so_far: SoFar, may_wait: bool) -> BoxFuture<'_, Result<u64, Left>> {
        self.between_batches(so_far, may_wait).boxed()
    }

    fn batches_are_over(&mut self) {
        self.progress.is_over();
    }
}
