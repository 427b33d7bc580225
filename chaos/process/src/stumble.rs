//! Somebody has left a table in the way of a step: it fails, its rollout halts, the table is taken away, and
//! `skein repair retry` tries that target again, and nothing else.

use anyhow::Result;
use skein_agent::db::Engine;
use tokio::time::sleep;

use crate::check::Promise;
use crate::hand::{PAUSE, Patience, STEP, in_force};
use crate::workload::{Work, fixture};
use crate::world::target::Target;

/// By the name of the view that the step makes. Nobody can take the one for the other: a view is no table to drop.
const IN_THE_WAY: &str = "CREATE TABLE totals (in_the_way integer)";
const AWAY: &str = "DROP TABLE totals";

/// The target is before the step.
pub(crate) async fn stumble(work: &Work, target: &Target) -> Result<()> {
    if !put(work, target, true).await? {
        return Ok(());
    }
    let fixture = fixture().display().to_string();
    let words = ["migrate", &fixture, "--on", &target.id, "--version", STEP, "--retries", "0"];
    let ran = work.verb(&[&words[..], &["--accept-drift", "-o", "json"]].concat()).await?;
    put(work, target, false).await?;
    // Nobody has told which one it was.
    let Some(rollout) = ran.rollout() else { return Ok(()) };
    let mut patience = Patience::default();
    loop {
        let retry = ["repair", "retry", &rollout, "--on", &target.id, "-o", "json"];
        // 2: it did not fail there, or not yet. Somebody may have given the rollout up before it began.
        let ran = work.verb_or(&retry, &[2]).await?;
        match ran.code {
            Some(0) => {
                work.promises.add(Promise::Completed(rollout));
                return Ok(());
            }
            // Somebody has gone on without it, or given the rollout up.
            Some(21) => return Ok(()),
            _ => {}
        }
        if in_force(target, STEP).await.unwrap_or(false) || patience.is_over(work) {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
}

/// The table is there, or is not: until it is so. Not where somebody had the step carried out meanwhile: its view has
/// the name.
async fn put(work: &Work, target: &Target, there: bool) -> Result<bool> {
    let mut patience = Patience::default();
    loop {
        let stands = stands(target, there).await;
        if stands.is_err() && there && in_force(target, STEP).await.unwrap_or(false) {
            return Ok(false);
        }
        if patience.is_done(work, stands, target)? {
            return Ok(true);
        }
        sleep(PAUSE).await;
    }
}

async fn stands(target: &Target, there: bool) -> Result<bool> {
    if has_table(target).await? != there {
        target.execute(if there { IN_THE_WAY } else { AWAY }).await?;
    }
    Ok(has_table(target).await? == there)
}

async fn has_table(target: &Target) -> Result<bool> {
    let sql = match target.engine {
        Engine::Postgres => {
            "SELECT tablename::text FROM pg_tables WHERE tablename = 'totals' AND schemaname = 'public'"
        }
        Engine::Mysql => {
            "SELECT concat(table_name, '') FROM information_schema.tables \
             WHERE table_schema = database() AND table_name = 'totals' AND table_type = 'BASE TABLE'"
        }
        Engine::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'totals'",
    };
    Ok(!target.column(sql).await?.is_empty())
}
