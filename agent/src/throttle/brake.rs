//! What one leg asks before it begins something: may it, or does it wait?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use skein_proto::v1::Throttle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Gauge, Waits};
use crate::db::{Between, Left};
use crate::session::{Lease, Over};

/// The throttles of a leg.
#[derive(Debug)]
pub(crate) struct Brake {
    gauge: Arc<Gauge>,
    waits: Arc<Waits>,
    fence: u64,
    target: String,
    /// They change while the leg is under way.
    throttles: watch::Receiver<Vec<Throttle>>,
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
        (gauge, waits): (Arc<Gauge>, Arc<Waits>),
        (fence, target): (u64, &str),
        throttles: watch::Receiver<Vec<Throttle>>,
        lease: &Lease,
    ) -> Self {
        let (target, lease) = (target.to_owned(), lease.clone());
        Self { gauge, waits, fence, target, throttles, lease, good: BTreeMap::new() }
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
                Ok(()) = self.throttles.changed() => {}
            }
        }
    }

    /// The first throttle that holds it back now.
    async fn holds(&mut self) -> Option<Holds> {
        let throttles = self.throttles.borrow_and_update().clone();
        for throttle in throttles {
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
}

impl Between for Brake {
    fn is_free(&mut self) -> BoxFuture<'_, bool> {
        async { self.holds().await.is_none() }.boxed()
    }

    /// The step under way is not given up for less than a word that it be killed: a half of it cannot be undone.
    fn until_free(&mut self) -> BoxFuture<'_, Result<(), Left>> {
        self.between_statements().boxed()
    }
}
