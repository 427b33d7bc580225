//! Somebody who migrates by hand what nobody should, and then sets the ledger right: `skein repair applied` and
//! `not-applied`, while everything goes wrong around it. In between something stands in the way of a step
//! ([`crate::stumble`]), or a file is edited that has run ([`crate::editor`]).
//!
//! What is done by hand leaves the same traces as a step would, so that the checker counts them alike: an effect, and
//! the row that the repair writes.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use skein_agent::db::Engine;
use tokio::time::{Instant, sleep};

use crate::hand::Next::{Applied, Edited, InTheWay, NotApplied};
use crate::workload::{Work, fixture};
use crate::world::target::Target;
use crate::{Planted, editor, stumble};

/// The step that is carried out by hand, and the one before it.
pub(crate) const STEP: &str = "4";
const BEFORE: &str = "3";
const UP: &str =
    "CREATE VIEW totals AS SELECT amount, count(*) AS items FROM items GROUP BY amount";
const DOWN: &str = "DROP VIEW totals";
/// Once everything is healed it is done within this.
const LIMIT: Duration = Duration::from_mins(1);
pub(crate) const PAUSE: Duration = Duration::from_millis(200);

/// What is done next.
#[derive(Debug, Clone, Copy)]
enum Next {
    Applied,
    NotApplied,
    InTheWay,
    Edited,
}

impl Next {
    fn draw(dice: &mut StdRng, planted: Option<Planted>) -> Self {
        match planted {
            Some(Planted::ForgedRow) => return Applied,
            Some(Planted::UntoldEdit) => return Edited,
            _ => {}
        }
        match dice.random_range(0..4) {
            0 => Applied,
            1 => NotApplied,
            2 => InTheWay,
            _ => Edited,
        }
    }
}

/// Goes from one target to the next until it is over.
pub(crate) async fn mend(work: Work, targets: Vec<Target>, seed: u64) -> Result<()> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut places = (0..targets.len()).cycle().skip(dice.random_range(0..targets.len().max(1)));
    while !work.over() {
        let Some(target) = places.next().and_then(|place| targets.get(place)) else {
            return Ok(());
        };
        if !reach(&work, target, &["--version", BEFORE]).await? {
            continue;
        }
        let next = Next::draw(&mut dice, work.planted);
        let after = matches!(next, NotApplied | Edited);
        if after && !reach(&work, target, &["--version", STEP]).await? {
            continue;
        }
        match next {
            Applied => {
                by_hand(&work, target, true).await?;
                if work.planted == Some(Planted::ForgedRow) {
                    forge(target).await?;
                    return Ok(());
                }
                mended(&work, target, "applied").await?;
            }
            NotApplied => {
                by_hand(&work, target, false).await?;
                mended(&work, target, "not-applied").await?;
            }
            InTheWay => stumble::stumble(&work, target).await?,
            Edited => editor::edit(&work, target, dice.random()).await?,
        }
    }
    Ok(())
}

/// Whether the step is in force, as the target's own ledger has it.
pub(crate) async fn in_force(target: &Target, step: &str) -> Result<bool> {
    let seen = target.observe().await?;
    Ok(seen.applied().iter().any(|row| row.step == step))
}

/// Up or down to a version, by an ordinary rollout. Whether the target is there.
pub(crate) async fn reach(work: &Work, target: &Target, to: &[&str]) -> Result<bool> {
    let down = to.last() == Some(&BEFORE) && in_force(target, STEP).await.unwrap_or(false);
    let fixture = fixture().display().to_string();
    let mut words = vec!["migrate", &fixture, "--on", &target.id, "--retries", "8"];
    words.extend(["--accept-drift", "-o", "json"]);
    words.extend(to);
    if down {
        words.extend(["--direction", "down"]);
    }
    let ran = work.verb(&words).await?;
    if ran.code != Some(0) {
        // Others may have said a word to it: that it goes back, say, while an edited file was its own.
        if ran.stdout.contains("was changed after") || ran.stderr.contains("was changed after") {
            editor::accept(work, target, &fixture, &mut Patience::default()).await?;
        }
        sleep(PAUSE).await;
    }
    Ok(ran.code == Some(0))
}

/// The view is made or dropped, and its effect written down: until both are so, whatever goes wrong meanwhile.
async fn by_hand(work: &Work, target: &Target, up: bool) -> Result<()> {
    let mut patience = Patience::default();
    while !patience.is_done(work, typed(target, up).await, target)? {
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Whether nothing is left to be typed.
async fn typed(target: &Target, up: bool) -> Result<bool> {
    let (change, effect) = if up { (UP, STEP) } else { (DOWN, "-4") };
    if has_view(target).await? != up {
        target.execute(change).await?;
    }
    let of = "SELECT step FROM effects WHERE step IN ('4', '-4') ORDER BY id DESC";
    if target.column(of).await?.first().map(String::as_str) != Some(effect) {
        let write = format!(
            "INSERT INTO effects (id, step) SELECT coalesce(max(id), 0) + 1, '{effect}' FROM effects"
        );
        target.execute(&write).await?;
    }
    Ok(has_view(target).await? == up)
}

async fn has_view(target: &Target) -> Result<bool> {
    let sql = match target.engine {
        Engine::Postgres => {
            "SELECT viewname::text FROM pg_views WHERE viewname = 'totals' AND schemaname = 'public'"
        }
        Engine::Mysql => {
            "SELECT concat(table_name, '') FROM information_schema.views \
             WHERE table_schema = database() AND table_name = 'totals'"
        }
        Engine::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'view' AND name = 'totals'",
    };
    Ok(!target.column(sql).await?.is_empty())
}

/// The ledger says so, by a repair.
async fn mended(work: &Work, target: &Target, verb: &str) -> Result<()> {
    let mut patience = Patience::default();
    while !patience.is_done(work, repaired(work, target, verb).await, target)? {
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn repaired(work: &Work, target: &Target, verb: &str) -> Result<bool> {
    let fixture = fixture().display().to_string();
    let words = ["repair", verb, STEP, "--migrations", &fixture, "--on", &target.id];
    let words = [&words[..], &["--waive", "done by hand", "--yes", "-o", "json"]].concat();
    let ran = work.verb(&words).await?;
    if in_force(target, STEP).await? == (verb == "applied") {
        return Ok(true);
    }
    bail!("skein {} ended with {:?}: {}{}", ran.line, ran.code, ran.stdout, ran.stderr)
}

/// A planted bug: somebody writes the row, and the log never hears of it.
async fn forge(target: &Target) -> Result<()> {
    let forged = "INSERT INTO _skein_ledger (seq, step, direction, digest, token, at_ms) \
                  SELECT seq + 1, '4', 'up', digest, token, at_ms FROM _skein_ledger \
                  WHERE seq = (SELECT max(seq) FROM (SELECT seq FROM _skein_ledger) AS rows_there)";
    target.execute(forged).await
}

/// What goes wrong counts only once nothing should.
#[derive(Debug, Default)]
pub(crate) struct Patience(Option<Instant>);

impl Patience {
    /// So long nobody waits once nothing goes wrong any more.
    pub(crate) fn is_over(&mut self, work: &Work) -> bool {
        work.over() && self.0.get_or_insert_with(Instant::now).elapsed() >= LIMIT
    }

    pub(crate) fn is_done(
        &mut self,
        work: &Work,
        is: Result<bool>,
        target: &Target,
    ) -> Result<bool> {
        match is {
            Ok(true) => Ok(true),
            Ok(false) | Err(_) if !self.is_over(work) => Ok(false),
            Ok(false) => bail!("{}: what was done by hand does not stay", target.id),
            Err(error) => Err(error).with_context(|| target.id.clone()),
        }
    }
}
