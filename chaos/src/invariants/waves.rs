//! No wave before the one ahead is verified on every target that has not failed within the budget.

use skein_core::event::{Body, Event, LegKind};
use skein_core::state::rollout::Phase;

use super::{Held, Invariant, View};
use crate::model::database::Effect;

#[derive(Debug)]
pub(super) struct Waves;

impl Invariant for Waves {
    fn sentence(&self) -> &'static str {
        "no effect of a wave before every target of the one ahead is verified or failed in budget"
    }

    fn event(&mut self, event: &Event, view: View<'_>) -> Held {
        let Body::WaveStarted { rollout, wave } = &event.body else { return Ok(()) };
        let Some(state) = view.fleet.rollouts.get(rollout) else { return Ok(()) };
        let open = state.lanes.iter().find(|(_, lane)| {
            lane.wave < *wave && !matches!(lane.phase, Phase::Done | Phase::Failed | Phase::Stuck)
        });
        match open {
            Some((_, lane)) => {
                Err(format!("wave {wave} of {rollout} opened with a lane {:?}", lane.phase))
            }
            None => Ok(()),
        }
    }

    fn effect(&mut self, effect: &Effect, view: View<'_>) -> Held {
        let Some(grant) = view.grants.get(&effect.fence) else { return Ok(()) };
        let Some(state) = view.fleet.rollouts.get(&grant.rollout) else { return Ok(()) };
        let Some(ix) = view.fleet.targets.find(&effect.target) else { return Ok(()) };
        let lane = state.lanes.iter().map(|(_, lane)| lane).find(|lane| lane.target == ix);
        match lane {
            Some(lane) if grant.kind == LegKind::Forward && lane.wave.0 >= state.opened => {
                Err(format!("{} ran before wave {} was open", effect.target, lane.wave))
            }
            Some(_) | None => Ok(()),
        }
    }
}
