//! Trial: every step on top of the ones before it, in one transaction that is rolled back. Nothing is
//! written, the fence included.

use skein_proto::agent::v1::Tried;
use skein_proto::agent::v1::report::Outcome as Report;

use super::Task;
use super::hold::{Hold, Killed, killable};
use super::stop::Stop;
use crate::db::Trial;
use crate::session::Lease;

pub(super) async fn run(
    task: &Task<'_>,
    hold: &mut Hold<'_>,
    lease: &mut Lease,
) -> Result<u64, Stop> {
    let first = task.step(0);
    if task.standing.done > 0 || task.standing.half {
        let why = "steps to be tried stand in the target already, whole or half; observe it again and \
                   plan anew";
        return Err(Stop::stuck(first, why));
    }
    let orders = task.orders_unless_over(hold, lease).await?;
    lease.may_start().await?;
    let session = hold.session().await.map_err(|error| error.stop(first))?;
    let (trials, killed) = killable(session.killer(), lease, session.validate(&orders)).await;
    if killed == Killed::Wanted {
        return Err(Stop::released("its statement was killed, and the trial rolled back"));
    }
    let trials = trials.map_err(|error| Stop::database(first, &error))?;
    let mut last = None;
    for (at, trial) in trials.into_iter().enumerate() {
        let step = task.step(at);
        let tried = match trial {
            Trial::Passed { .. } => Tried { step, passed: true, ..Tried::default() },
            Trial::Failed(error) => Tried { step, note: error.to_string(), ..Tried::default() },
            Trial::NotTried { why } => {
                Tried { step, note: why, impossible: true, ..Tried::default() }
            }
        };
        last = Some(task.reports.send(Report::Tried(tried)));
    }
    last.ok_or_else(|| Stop::never(first, "the trial gave no answer", true))
}
