//! The end of a leg that is not wanted any more. A step that an earlier executor broke off is settled first:
//! it is the step under way, and nothing else may run over a half.

use super::hold::Hold;
use super::stop::Stop;
use super::{Task, forward, undo};
use crate::db::{Order, Recovery, Settlement};
use crate::session::{Lease, Over};
use crate::throttle::Brake;

/// Ends a leg that is over before its next step.
pub(super) async fn give_back(
    task: &Task<'_>,
    hold: &mut Hold<'_>,
    (lease, brake): (&mut Lease, &mut Brake),
    over: Over,
) -> Stop {
    let settled = match &over {
        Over::Cancelled(_) if task.standing.half => {
            Box::pin(settle(task, hold, (lease, brake))).await
        }
        Over::Cancelled(_)
            if !task.is_undo() && task.standing.done > 0 && !task.leg.backup_recorded =>
        {
            Err(Stop::stuck(
                task.step(0),
                "steps of this leg stand in the target's ledger, and the log has no backup before \
                 them: they were applied under another log. Observe the target again and plan anew",
            ))
        }
        Over::Cancelled(_) | Over::Lost(_) => Ok(()),
    };
    settled.err().unwrap_or_else(|| over.into())
}

/// What to run, for each step of the leg, or the leg given back.
pub(super) async fn orders(
    task: &Task<'_>,
    hold: &mut Hold<'_>,
    (lease, brake): (&mut Lease, &mut Brake),
) -> Result<Vec<Order>, Stop> {
    let over = tokio::select! {
        biased;
        over = lease.ended() => over,
        orders = task.orders(hold) => return orders,
    };
    Err(give_back(task, hold, (lease, brake), over).await)
}

async fn settle(
    task: &Task<'_>,
    hold: &mut Hold<'_>,
    (lease, brake): (&mut Lease, &mut Brake),
) -> Result<(), Stop> {
    let at = task.standing.done;
    let step = task.step(at);
    let orders = task.orders(hold).await?;
    let Some(order) = orders.get(at) else { return Ok(()) };
    lease.may_go_on().await.map_err(|over| Stop::Lost(format!("{over:?}")))?;
    let session = hold.session().await.map_err(|error| error.stop(step))?;
    let found = session.recover(order).await.map_err(|error| Stop::step(step, &error))?;
    match found {
        Recovery::Never => session
            .settle(order, Settlement::DidNotRun)
            .await
            .map_err(|error| Stop::step(step, &error)),
        // It is under way, and its leg is not wanted: nothing holds it back. Batches end where somebody
        // wants them to.
        Recovery::Resume { .. } | Recovery::Fully => {
            brake.let_go();
            let ended = if task.is_undo() {
                undo::step(task, hold, (lease, brake), (at, order)).await
            } else {
                forward::step(task, hold, (lease, brake), (at, order)).await
            };
            ended.map(|_| ())
        }
        Recovery::Stuck { why } => Err(Stop::stuck(step, why)),
    }
}
