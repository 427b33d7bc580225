//! How quickly a target answered before its first step.

use crate::event::Body;
use crate::ids::{Fence, LaneIx, TargetId};
use crate::refusal::{Kind, Refusal};
use crate::spec::{Quantiles, Question};
use crate::state::rollout::{Lane, State};

/// Taken once: what is measured when a step has run is not what was before.
pub(super) fn taken(
    state: &State,
    (ix, lane): (LaneIx, &Lane),
    (id, fence): (&TargetId, Fence),
    (name, queries): (&str, &[Quantiles]),
) -> Result<Vec<Body>, Refusal> {
    let wrong = |what: String| {
        Err(Refusal::new(Kind::Invalid, what, "send what belongs to the leg, before its steps"))
    };
    let gates = (0..).zip(&state.plan.spec.strategy.gates);
    let mut known = gates.filter_map(|(at, gate)| {
        let Question::Latency(latency) = &gate.question else { return None };
        latency.compares().then_some((at, gate, latency))
    });
    let Some((at, gate, latency)) = known.find(|(_, gate, _)| gate.name == name) else {
        return wrong(format!("{} has no gate `{name}` that compares latencies", state.id));
    };
    if state.baseline(ix, at).is_some() {
        return Ok(Vec::new());
    }
    if lane.applied > state.floor(lane) {
        return wrong(format!("a step of {id} has run before gate `{name}` was measured"));
    }
    if latency.queries.len() != queries.len() {
        return wrong(format!("gate `{name}` has {} queries", latency.queries.len()));
    }
    Ok(vec![Body::BaselineTaken {
        rollout: state.id,
        target: id.clone(),
        fence,
        gate: gate.name.clone(),
        queries: queries.to_vec(),
    }])
}
