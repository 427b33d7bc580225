//! Undo: what is undone already, fence, then the steps in the order given, each by its script of the other
//! direction.

use bytes::Bytes;
use skein_proto::agent::v1::RolledBack;
use skein_proto::agent::v1::report::Outcome as Report;

use super::hold::Hold;
use super::stop::Stop;
use super::{Task, half};
use crate::db::{Fingerprint, Order, Outcome};
use crate::session::Lease;
use crate::throttle::Brake;

pub(super) async fn run(
    task: &Task<'_>,
    hold: &mut Hold<'_>,
    (lease, brake): (&mut Lease, &mut Brake),
) -> Result<u64, Stop> {
    let mut half = task.standing.half;
    let ended = Box::pin(carry_out(task, hold, (lease, brake), &mut half)).await;
    // While the half of a step stands, no failure may say that nothing does.
    ended.map_err(|stop| if half { stop.in_doubt() } else { stop })
}

async fn carry_out(
    task: &Task<'_>,
    hold: &mut Hold<'_>,
    (lease, brake): (&mut Lease, &mut Brake),
    half: &mut bool,
) -> Result<u64, Stop> {
    if let Some(last) = tell_done(task) {
        return Ok(last);
    }
    let orders = half::orders(task, hold, (&mut *lease, &mut *brake)).await?;
    if let Err(over) = lease.may_start().await {
        return Err(half::give_back(task, hold, (lease, brake), over).await);
    }
    hold.raise_fence(task.token()).await.map_err(|error| error.stop(task.step(0)))?;
    let mut last = None;
    for (at, order) in orders.iter().enumerate().skip(task.standing.done) {
        if let Err(over) = lease.may_start().await {
            return Err(if *half {
                half::give_back(task, hold, (lease, brake), over).await
            } else {
                over.into()
            });
        }
        last = Some(step(task, hold, (&mut *lease, &mut *brake), (at, order)).await?);
        *half = false;
    }
    // The leg was seen to have steps that are not done.
    last.ok_or_else(|| Stop::stuck(task.step(0), "the bundle has fewer steps than the leg"))
}

/// Tells the steps that an earlier executor undid. Returns the last report's id where those are all.
fn tell_done(task: &Task<'_>) -> Option<u64> {
    let mut last = None;
    for at in 0..task.standing.done {
        let already = RolledBack { step: task.step(at), already: true, ..RolledBack::default() };
        let told = tell(task, at, (already, Some(&task.seen.fingerprint)));
        last = task.is_last(at).then_some(told);
    }
    last
}

/// Undoes one step and tells of it.
pub(super) async fn step(
    task: &Task<'_>,
    hold: &mut Hold<'_>,
    (lease, brake): (&mut Lease, &mut Brake),
    (at, order): (usize, &Order),
) -> Result<u64, Stop> {
    let step = task.step(at);
    let outcome = hold.apply(order, lease, brake).await.map_err(|undone| undone.stop(step))?;
    let (done, known) = match outcome {
        Outcome::Applied {
            ms,
            waited_ms,
            locked_ms,
            written,
            fingerprint_after,
            resumed_at,
            ..
        } => {
            let resumed = resumed_at.is_some();
            let done = RolledBack { step, ms, waited_ms, resumed, ..RolledBack::default() };
            let touched_rows = task.touched(hold.engine(), order);
            (
                RolledBack { written_bytes: written, locked_ms, touched_rows, ..done },
                fingerprint_after,
            )
        }
        Outcome::Already(_) => (RolledBack { step, already: true, ..RolledBack::default() }, None),
    };
    if known.is_some() || !task.is_last(at) {
        return Ok(tell(task, at, (done, known.as_ref())));
    }
    let fingerprint = hold.fingerprint(step, lease).await?;
    Ok(task.reports.send(Report::RolledBack(RolledBack { fingerprint, ..done })))
}

/// The last step is told with the schema that it left.
fn tell(
    task: &Task<'_>,
    at: usize,
    (done, fingerprint): (RolledBack, Option<&Fingerprint>),
) -> u64 {
    if !task.is_last(at) {
        return task.reports.send_in_company(Report::RolledBack(done));
    }
    let bytes = |fingerprint: &Fingerprint| Bytes::copy_from_slice(&fingerprint.0);
    let fingerprint = fingerprint.map(bytes).unwrap_or_default();
    task.reports.send(Report::RolledBack(RolledBack { fingerprint, ..done }))
}
