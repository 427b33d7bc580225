//! Trial: every step on top of the ones before it, in one transaction that is rolled back. Nothing is
//! written, the fence included.

use skein_proto::agent::v1::Tried;
use skein_proto::agent::v1::report::Outcome as Report;

use super::hold::Hold;
use super::stop::Stop;
use super::{Task, precheck};
use crate::db::Trial;

pub(super) async fn run(task: &Task<'_>, hold: &mut Hold<'_>) -> Result<u64, Stop> {
    let first = task.step(0);
    let seen = hold.observe().await.map_err(|error| error.stop(first))?;
    precheck::check(task.leg, &task.orders, &seen).map_err(|why| Stop::stuck(first, why))?;
    let session = hold.session().await.map_err(|error| error.stop(first))?;
    let trials = Box::pin(session.validate(&task.orders))
        .await
        .map_err(|error| Stop::database(first, &error))?;
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
