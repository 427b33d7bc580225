//! Forward: what is done already, backup, then step after step.

use bytes::Bytes;
use skein_proto::agent::v1::report::Outcome as Report;
use skein_proto::agent::v1::{Applied, Verified};
use skein_proto::v1::GateWhen;

use super::hold::Hold;
use super::stop::Stop;
use super::{Task, backup, baseline, gates, half};
use crate::db::{Between as _, Fingerprint, Order, Outcome};
use crate::session::{Lease, Over};
use crate::throttle::Brake;

pub(super) async fn run(
    task: &mut Task<'_>,
    hold: &mut Hold<'_>,
    (lease, brake): (&mut Lease, &mut Brake),
) -> Result<u64, Stop> {
    let mut half = task.standing.half;
    let ended = Box::pin(carry_out(task, hold, (lease, brake), &mut half)).await;
    // While the half of a step stands, no failure may say that nothing does.
    ended.map_err(|stop| if half { stop.in_doubt() } else { stop })
}

async fn carry_out(
    task: &mut Task<'_>,
    hold: &mut Hold<'_>,
    (lease, brake): (&mut Lease, &mut Brake),
    half: &mut bool,
) -> Result<u64, Stop> {
    if task.leg.backup_recorded
        && let Some(last) = tell_done(task, lease).await?
    {
        return Ok(last);
    }
    let orders = half::orders(task, hold, (&mut *lease, &mut *brake)).await?;
    if let Err(over) = may_start(lease, brake, *half).await {
        return Err(half::give_back(task, hold, (lease, brake), over).await);
    }
    if task.leg.backup_recorded || task.standing.done > 0 || task.standing.half {
        // Whoever had this leg before may still be there, and the first step may fail.
        hold.raise_fence(task.token()).await.map_err(|error| error.stop(task.step(0)))?;
    }
    if task.standing.done == 0 && !task.standing.half {
        let taken = baseline::take(task, lease).await?;
        task.baselines.extend(taken);
    }
    if !task.leg.backup_recorded {
        backup::pass(task, hold, lease, &orders).await?;
        if let Some(last) = tell_done(task, lease).await? {
            return Ok(last);
        }
    }
    let mut last = None;
    for (at, order) in orders.iter().enumerate().skip(task.standing.done) {
        if let Err(over) = may_start(lease, brake, *half).await {
            return Err(if *half {
                half::give_back(task, hold, (lease, brake), over).await
            } else {
                over.into()
            });
        }
        // A step that was begun had its gates before it.
        if !*half {
            before_step(task, (lease, brake), at).await?;
        }
        last = Some(step(task, hold, (&mut *lease, &mut *brake), (at, order)).await?);
        *half = false;
    }
    // The leg was seen to have steps that are not done.
    last.ok_or_else(|| Stop::stuck(task.step(0), "the bundle has fewer steps than the leg"))
}

/// A half is what its statements are asked about, not its step: it is to be completed before the leg is given back.
async fn may_start(lease: &mut Lease, brake: &mut Brake, half: bool) -> Result<(), Over> {
    if half { lease.may_start().await } else { brake.before_step().await }
}

/// Gates are asked when nothing holds the step back, and asking takes its time: where something does after that, they
/// are asked anew behind the wait.
async fn before_step(
    task: &Task<'_>,
    (lease, brake): (&mut Lease, &mut Brake),
    at: usize,
) -> Result<(), Stop> {
    loop {
        gates::ask(task, lease, (at, GateWhen::BeforeStep)).await?;
        if brake.is_free().await {
            return Ok(());
        }
        brake.before_step().await?;
    }
}

/// Tells the steps that an earlier executor did. Returns the last report's id where those are all.
///
/// The gates after a step passed before the next one was begun: of the last one nobody knows.
async fn tell_done(task: &Task<'_>, lease: &mut Lease) -> Result<Option<u64>, Stop> {
    let mut last = None;
    for at in 0..task.standing.done {
        let applied = Applied { step: task.step(at), already: true, ..Applied::default() };
        task.reports.send_in_company(Report::Applied(applied));
        if at + 1 == task.standing.done && !task.standing.half {
            gates::ask(task, lease, (at, GateWhen::AfterStep)).await?;
        }
        let is_last = task.is_last(at);
        let fingerprint = is_last.then_some(&task.seen.fingerprint);
        last = Some(verified(task, at, fingerprint)).filter(|_| is_last);
    }
    Ok(last)
}

fn verified(task: &Task<'_>, at: usize, fingerprint: Option<&Fingerprint>) -> u64 {
    let bytes = |fingerprint: &Fingerprint| Bytes::copy_from_slice(&fingerprint.0);
    let fingerprint = fingerprint.map(bytes).unwrap_or_default();
    let verified = Report::Verified(Verified { step: task.step(at), fingerprint });
    if task.is_last(at) {
        task.reports.send(verified)
    } else {
        task.reports.send_in_company(verified)
    }
}

/// Runs one step and tells of it.
pub(super) async fn step(
    task: &Task<'_>,
    hold: &mut Hold<'_>,
    (lease, brake): (&mut Lease, &mut Brake),
    (at, order): (usize, &Order),
) -> Result<u64, Stop> {
    let step = task.step(at);
    let outcome = hold.apply(order, lease, brake).await.map_err(|undone| undone.stop(step))?;
    let (applied, known) = match outcome {
        Outcome::Applied {
            rows,
            ms,
            waited_ms,
            locked_ms,
            written,
            fingerprint_after,
            resumed_at,
        } => {
            if let Some(statement) = resumed_at {
                tracing::info!(%order, statement, "an interrupted step was taken up again");
            }
            let resumed = resumed_at.is_some();
            let applied = Applied { step, ms, rows, waited_ms, resumed, ..Applied::default() };
            let touched_rows = task.touched(hold.engine(), order);
            (
                Applied { written_bytes: written, locked_ms, touched_rows, ..applied },
                fingerprint_after,
            )
        }
        Outcome::Already(_) => (Applied { step, already: true, ..Applied::default() }, None),
    };
    task.reports.send_in_company(Report::Applied(applied));
    gates::ask(task, lease, (at, GateWhen::AfterStep)).await?;
    if !task.is_last(at) {
        return Ok(verified(task, at, None));
    }
    if let Some(fingerprint) = known {
        return Ok(verified(task, at, Some(&fingerprint)));
    }
    let fingerprint = hold.fingerprint(step, lease).await?;
    Ok(task.reports.send(Report::Verified(Verified { step, fingerprint })))
}
