//! How quickly the target answers before its first step: measured, and in the log, before anything runs.

use skein_proto::agent::v1::Baseline;
use skein_proto::agent::v1::report::Outcome;

use super::Task;
use super::stop::Stop;
use crate::session::{Answer, Lease, Over};

/// Measures what gates will be held against, and waits until the log has it: it cannot be measured again.
pub(super) async fn take(task: &Task<'_>, lease: &mut Lease) -> Result<Vec<Baseline>, Stop> {
    let first = task.step(0);
    let mut taken = Vec::new();
    for gate in &task.leg.measure {
        let measured = tokio::select! {
            measured = Box::pin(task.site.asker.baseline(gate, &task.leg.target)) => measured,
            over = lease.ended() => return Err(over.into()),
        };
        let queries = measured.map_err(|why| {
            let what = format!(
                "gate `{}` compares with how quickly the target answers now, and that cannot be \
                 measured: {why}",
                gate.name
            );
            Stop::never(first, what, true)
        })?;
        let baseline = Baseline { gate: gate.name.clone(), queries };
        let wait = task.reports.ask(Outcome::Baseline(baseline.clone()));
        let answer = tokio::select! {
            // A refusal is acted upon here.
            biased;
            answer = wait => answer,
            over = lease.ended() => return Err(over.into()),
        };
        match answer {
            Ok(Answer::Taken) => taken.push(baseline),
            Ok(Answer::LeaseLost { why }) => return Err(Over::Lost(why).into()),
            Ok(Answer::Refused { why }) => {
                return Err(Stop::refused(first, format!("what was measured was refused: {why}")));
            }
            Err(_) => return Err(Over::Lost("the session has ended".to_owned()).into()),
        }
    }
    Ok(taken)
}
