//! When the failure budget is exceeded, no further leg forward is leased in that rollout.

use skein_core::event::{Body, Event, LegKind};
use skein_core::state::rollout::Phase;

use super::{Held, Invariant, View};

#[derive(Debug)]
pub(super) struct Budget;

impl Invariant for Budget {
    fn sentence(&self) -> &'static str {
        "no leg forward is leased once the failure budget of the open wave is exceeded"
    }

    fn event(&mut self, event: &Event, view: View<'_>) -> Held {
        let Body::LegAssigned { rollout, target, kind: LegKind::Forward, .. } = &event.body else {
            return Ok(());
        };
        let Some(state) = view.fleet.rollouts.get(rollout).filter(|state| !state.turned) else {
            return Ok(());
        };
        let Some(wave) = state.wave() else { return Ok(()) };
        let lanes = state.lanes.iter().filter(|(_, lane)| lane.wave == wave);
        let (mut failed, mut size) = (0, 0);
        for (_, lane) in lanes {
            size += 1;
            failed += u32::from(matches!(lane.phase, Phase::Failed | Phase::Stuck));
        }
        let budget = state.plan.spec.strategy.budget;
        let share = size * budget.percent / 100;
        let within = if budget.percent == 0 {
            failed <= budget.failed
        } else {
            failed <= share && (budget.failed == 0 || failed <= budget.failed)
        };
        if within {
            return Ok(());
        }
        Err(format!("{target} was leased with {failed} of {size} failed, budget {budget:?}"))
    }
}
