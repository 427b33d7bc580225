//! On each target steps take effect in the order of the plan without gaps, and are undone in the exact
//! reverse; what was never applied is never undone.

use std::collections::BTreeMap;

use skein_core::event::LegKind;
use skein_core::ids::{RolloutId, TargetId};

use super::{Held, Invariant, View};
use crate::model::database::Effect;

#[derive(Debug, Default)]
pub(super) struct PlanOrder {
    in_force: BTreeMap<(RolloutId, TargetId), usize>,
}

impl Invariant for PlanOrder {
    fn sentence(&self) -> &'static str {
        "steps take effect in plan order without gaps, and are undone in the exact reverse"
    }

    fn effect(&mut self, effect: &Effect, view: View<'_>) -> Held {
        let Some(grant) = view.grants.get(&effect.fence) else { return Ok(()) };
        if !effect.whole {
            return Ok(());
        }
        let steps = view.fleet.rollouts.get(&grant.rollout).and_then(|state| {
            let ix = view.fleet.targets.find(&effect.target)?;
            let (_, lane) = state.lanes.iter().find(|(_, lane)| lane.target == ix)?;
            Some(&state.class(lane)?.steps)
        });
        let place = steps.and_then(|steps| {
            steps.iter().position(|step| step.entry.version == effect.entry.version)
        });
        let count = self.in_force.entry((grant.rollout, effect.target.clone())).or_default();
        let (expected, after) = match grant.kind {
            LegKind::Forward => (Some(*count), *count + 1),
            LegKind::Undo => (count.checked_sub(1), count.saturating_sub(1)),
            LegKind::Trial => (None, *count),
        };
        if place.is_none() || place != expected {
            return Err(format!(
                "{:?} of {} on {} is step {place:?} of {}, and {expected:?} was next",
                grant.kind, effect.entry.version, effect.target, grant.rollout
            ));
        }
        *count = after;
        Ok(())
    }
}
