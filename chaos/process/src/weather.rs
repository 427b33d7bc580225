//! What changes by itself beside the databases: the shop, the signal, the replica.

use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

use crate::workload::Work;
use crate::world::replica::Replica;
use crate::world::web::Web;

/// The shop breaks down now and then, and the signal says wait for some seconds, until it is over.
pub(crate) async fn weather(work: Work, web: Web, seed: u64) -> Result<()> {
    if work.planted.is_some() {
        return Ok(());
    }
    let mut dice = StdRng::seed_from_u64(seed);
    let mut until = Instant::now();
    let mut busy = false;
    while !work.over() {
        if Instant::now() >= until {
            busy = !busy;
            web.busy(busy);
            let ms = if busy { 3_000..8_000 } else { 1_000..5_000 };
            let ms = dice.random_range(ms);
            until = Instant::now() + Duration::from_millis(ms);
            web.broken(dice.random_ratio(1, 3));
        }
        sleep(Duration::from_millis(50)).await;
    }
    web.busy(false);
    web.broken(false);
    Ok(())
}

/// The replica falls behind for some seconds, again and again, until it is over.
pub(crate) async fn tide(work: Work, replica: Replica, seed: u64) -> Result<()> {
    if work.planted.is_some() {
        return Ok(());
    }
    let mut dice = StdRng::seed_from_u64(seed);
    let mut until = Instant::now();
    let mut behind = false;
    while !work.over() {
        if Instant::now() >= until {
            behind = !behind;
            replica.hold(behind).await?;
            let ms = if behind { 5_000..9_000 } else { 1_000..4_000 };
            until = Instant::now() + Duration::from_millis(dice.random_range(ms));
        }
        sleep(Duration::from_millis(50)).await;
    }
    replica.hold(false).await
}
