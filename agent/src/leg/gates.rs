//! Gates around a step, asked by whoever carries it out.

use std::time::Duration;

use skein_proto::agent::v1::report::Outcome;
use skein_proto::agent::v1::{Failed, Judged, Verdict};
use skein_proto::v1::{Gate, GateWhen};

use super::Task;
use super::stop::Stop;
use crate::session::Lease;

/// Asks those that are asked then, one after the other. The first that does not pass ends the leg.
pub(super) async fn ask(
    task: &Task<'_>,
    lease: &mut Lease,
    (at, when): (usize, GateWhen),
) -> Result<(), Stop> {
    let step = task.step(at);
    let before = |gate: &Gate| {
        let known = task.baselines.iter().find(|baseline| baseline.gate == gate.name);
        known.map_or(&[][..], |baseline| &baseline.queries)
    };
    for gate in task.leg.gates.iter().filter(|gate| gate.when() == when) {
        let of = (task.leg.target.as_str(), before(gate));
        let judged = tokio::select! {
            judged = Box::pin(task.site.asker.judge(gate, of, Duration::ZERO)) => judged,
            over = lease.ended() => return Err(over.into()),
        };
        let judged = Judged { step, gate: gate.name.clone(), ..judged };
        task.reports.send_in_company(Outcome::Judged(judged.clone()));
        if !judged.passed {
            return Err(failed(step, gate, &judged));
        }
    }
    Ok(())
}

fn failed(step: u32, gate: &Gate, judged: &Judged) -> Stop {
    let (place, verdict) = match gate.when() {
        GateWhen::AfterStep => ("after", Verdict::Fully),
        _ => ("before", Verdict::Never),
    };
    let how = if judged.inconclusive { "could not be told" } else { "did not pass" };
    Stop::failed(Failed {
        step,
        verdict: verdict.into(),
        message: format!("gate `{}` {place} the step {how}: {}", gate.name, judged.measured),
        ..Failed::default()
    })
}
