//! How quickly targets answered before their first steps.

use super::leg::lane_of;
use super::{Impossible, state_mut};
use crate::ids::{RolloutId, TargetId};
use crate::spec::Quantiles;
use crate::state::Fleet;

pub(super) fn taken(
    fleet: &mut Fleet,
    id: RolloutId,
    target: &TargetId,
    (name, queries): (&str, &[Quantiles]),
) -> Result<(), Impossible> {
    let (_, lane) = lane_of(fleet, id, target)?;
    let state = state_mut(fleet, id)?;
    let at = state.plan.spec.strategy.gates.iter().position(|gate| gate.name == name);
    let Some(gate) = at.and_then(|at| u32::try_from(at).ok()) else {
        return Err(Impossible(format!("{id} has no gate {name}")));
    };
    state.baselines.insert((lane, gate), queries.into());
    Ok(())
}
