//! Targets that come in the midst of rollouts, and that are retired in the midst of later ones.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, sleep};

use crate::speaker::Speaker;
use crate::world::target::Target;
use crate::world::tenants::Tenants;

/// Once everything is healed it is done within this.
const LIMIT: Duration = Duration::from_mins(1);

/// From some time on the target is named.
pub(crate) async fn come(tenants: Tenants, target: Target, after: Duration) -> Result<()> {
    sleep(after).await;
    tenants.name(&target)
}

/// It is named no more, and somebody says that it is gone for good: until that is accepted. A rollout that has it is
/// told to go on without it first.
pub(crate) async fn go(
    mut someone: Speaker,
    tenants: Tenants,
    id: String,
    after: Duration,
) -> Result<()> {
    sleep(after).await;
    tenants.forget(&id)?;
    let mut since = None;
    let words = ["targets", "retire", &id, "--reason", "its host was sold", "-o", "json"];
    loop {
        let ran = someone.work.verb(&words).await?;
        if ran.code == Some(0) {
            break;
        }
        if someone.work.over() {
            let over = *since.get_or_insert_with(Instant::now);
            let last = format!("skein {}: {:?} {}{}", ran.line, ran.code, ran.stdout, ran.stderr);
            (over.elapsed() < LIMIT).then_some(()).with_context(|| last)?;
        }
        someone.go_on_without(&id).await?;
        sleep(Duration::from_millis(300)).await;
    }
    // An agent that had not read its source again may have named it once more when it came back.
    while !someone.work.over() {
        sleep(Duration::from_millis(300)).await;
    }
    let over = Instant::now();
    loop {
        match someone.knows(&id).await {
            Ok(false) => return Ok(()),
            Ok(true) => drop(someone.work.verb(&words).await?),
            // Nobody answers just now.
            Err(_) => {}
        }
        ensure!(over.elapsed() < LIMIT, "{id} was retired, and is there again");
        sleep(Duration::from_millis(300)).await;
    }
}
