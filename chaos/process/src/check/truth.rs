//! Each effect exactly once: what the steps did to a target's rows, and what its ledger says of it.

use anyhow::{Result, ensure};
use skein_agent::db::{Direction, LedgerRow, Observation};

use crate::world::target::Target;

/// What a target is.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) seen: Observation,
    /// The names that the steps left, in the order in which they took effect.
    effects: Vec<String>,
    /// The sum of all amounts, where there are any.
    amount: Option<i64>,
}

/// What each script of the fixture leaves in `effects`.
fn leaves(step: &str, direction: Direction) -> &'static [&'static str] {
    match (step, direction) {
        ("1", Direction::Up) => &["1"],
        ("2", Direction::Up) => &["2"],
        ("2", Direction::Down) => &["-2"],
        ("3", Direction::Up) => &["3a", "3b"],
        ("3", Direction::Down) => &["-3a", "-3b"],
        ("4", Direction::Up) => &["4"],
        ("4", Direction::Down) => &["-4"],
        ("5", Direction::Up) => &["5"],
        ("5", Direction::Down) => &["-5"],
        ("6", Direction::Up) => &["6a", "6b"],
        ("6", Direction::Down) => &["-6a", "-6b"],
        _ => &[],
    }
}

/// Steps that add one to each amount.
const ADDS: [&str; 2] = ["5", "6"];
/// Rows of `items`, and what their amounts come to before any of them.
const ITEMS: (i64, i64) = (10_000, 180_000);

pub(super) async fn look(target: &Target) -> Result<Found> {
    let seen = target.observe().await?;
    let applied: Vec<&str> = seen.applied().iter().map(|row| row.step.as_str()).collect();
    // The first step makes the table, and takes it away; in the midst of that it is there or not.
    let effects = if applied.contains(&"1") {
        let effects = target.column("SELECT step FROM effects ORDER BY id").await;
        if seen.intent.is_some() { effects.unwrap_or_default() } else { effects? }
    } else {
        Vec::new()
    };
    let amount = if applied.contains(&"2") {
        let sum = "SELECT concat('', sum(amount)) FROM items";
        target.column(sum).await?.first().and_then(|sum| sum.parse().ok())
    } else {
        None
    };
    Ok(Found { seen, effects, amount })
}

/// `named`: the log itself says that the target is not where it should be.
pub(super) fn agrees(target: &Target, found: &Found, named: bool) -> Result<()> {
    let id = &target.id;
    let ledger = &found.seen.ledger;
    let began = |row: &LedgerRow| row.step == "1" && row.direction == Direction::Down;
    let since = ledger.iter().rposition(began).map_or(0, |place| place + 1);
    let rows = ledger.iter().skip(since);
    let due: Vec<&str> = rows.flat_map(|row| leaves(&row.step, row.direction)).copied().collect();
    if found.seen.intent.is_some() {
        ensure!(named, "{id} is in the middle of a step, and the log does not say so");
        if found.seen.intent.as_ref().is_some_and(|half| half.step == "1") {
            return Ok(());
        }
        ensure!(
            found.effects.iter().map(String::as_str).take(due.len()).eq(due.iter().copied()),
            "{id}: effects {:?}, and the ledger makes {due:?}",
            found.effects
        );
        return Ok(());
    }
    ensure!(
        found.effects == due,
        "{id}: each effect exactly once, in the order of the ledger: effects {:?}, ledger {due:?}",
        found.effects
    );
    let applied: Vec<&str> = found.seen.applied().iter().map(|row| row.step.as_str()).collect();
    let (rows, sum) = ITEMS;
    let added = applied.iter().filter(|step| ADDS.contains(step)).count();
    let amount = sum + rows * i64::try_from(added)?;
    ensure!(
        found.amount.is_none_or(|found| found == amount),
        "{id}: the amounts come to {:?} with {applied:?} in force",
        found.amount
    );
    Ok(())
}
