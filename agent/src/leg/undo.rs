//! Undo: the steps in the order given, each by its script of the other direction.

use bytes::Bytes;
use skein_proto::agent::v1::RolledBack;
use skein_proto::agent::v1::report::Outcome as Report;

use super::Task;
use super::hold::Hold;
use super::stop::Stop;
use crate::db::Outcome;
use crate::session::Lease;

pub(super) async fn run(
    task: &Task<'_>,
    hold: &mut Hold<'_>,
    lease: &mut Lease,
) -> Result<u64, Stop> {
    let first = task.step(0);
    let orders = task.orders_unless_over(hold, lease).await?;
    lease.may_start().await?;
    hold.raise_fence(task.token()).await.map_err(|error| error.stop(first))?;
    let mut last = None;
    for (at, order) in orders.iter().enumerate() {
        let step = task.step(at);
        lease.may_start().await?;
        let outcome = hold.apply(order, lease, None).await.map_err(|undone| undone.stop(step))?;
        let (done, known) = match outcome {
            Outcome::Applied { ms, waited_ms, fingerprint_after, resumed_at, .. } => {
                let resumed = resumed_at.is_some();
                (
                    RolledBack { step, ms, waited_ms, resumed, ..RolledBack::default() },
                    fingerprint_after,
                )
            }
            Outcome::Already(_) => {
                (RolledBack { step, already: true, ..RolledBack::default() }, None)
            }
        };
        let is_last = task.is_last(at);
        let fingerprint = match known.filter(|_| is_last) {
            Some(fingerprint) => Bytes::copy_from_slice(&fingerprint.0),
            None if is_last => hold.fingerprint(step, lease).await?,
            None => Bytes::new(),
        };
        let rolled_back = Report::RolledBack(RolledBack { fingerprint, ..done });
        last = Some(if is_last {
            task.reports.send(rolled_back)
        } else {
            task.reports.send_in_company(rolled_back)
        });
    }
    // The leg was seen to have steps.
    last.ok_or_else(|| Stop::released("the leg has no steps"))
}
