//! Forward: backup, then step after step.

use bytes::Bytes;
use skein_proto::agent::v1::report::Outcome as Report;
use skein_proto::agent::v1::{Applied, Verified};

use super::hold::Hold;
use super::stop::Stop;
use super::{Task, backup, precheck};
use crate::db::Outcome;
use crate::session::Lease;

pub(super) async fn run(
    task: &Task<'_>,
    hold: &mut Hold<'_>,
    lease: &mut Lease,
) -> Result<u64, Stop> {
    let first = task.step(0);
    let seen = hold.observe().await.map_err(|error| error.stop(first))?;
    let standing =
        precheck::check(task.leg, &task.orders, &seen).map_err(|why| Stop::stuck(first, why))?;
    if standing.done > 0 {
        tracing::info!(
            target = task.leg.target,
            fence = task.leg.fence,
            steps = standing.done,
            "an earlier executor did the first steps of this leg"
        );
    }
    lease.may_start().await?;
    hold.raise_fence(task.token()).await.map_err(|error| error.stop(first))?;
    if !task.leg.backup_recorded {
        backup::pass(task, hold, lease, seen.fingerprint).await?;
    }
    let mut last = None;
    for (at, order) in task.orders.iter().enumerate() {
        let step = task.step(at);
        lease.may_start().await?;
        let outcome = hold.apply(order, lease).await.map_err(|undone| undone.stop(step))?;
        let (applied, known) = match outcome {
            Outcome::Applied { rows, ms, fingerprint_after, resumed_at } => {
                if let Some(statement) = resumed_at {
                    tracing::info!(%order, statement, "an interrupted step was taken up again");
                }
                (Applied { step, ms, rows, already: false }, fingerprint_after)
            }
            Outcome::Already(_) => (Applied { step, already: true, ..Applied::default() }, None),
        };
        task.reports.send(Report::Applied(applied));
        let is_last = at + 1 == task.orders.len();
        let fingerprint = match known.filter(|_| is_last) {
            Some(fingerprint) => Bytes::copy_from_slice(&fingerprint.0),
            None if is_last => hold.fingerprint(step, lease).await?,
            None => Bytes::new(),
        };
        last = Some(task.reports.send(Report::Verified(Verified { step, fingerprint })));
    }
    // The leg was seen to have steps.
    last.ok_or_else(|| Stop::released("the leg has no steps"))
}
