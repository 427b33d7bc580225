//! No wave before the one ahead is verified on every target that has not failed within the budget.

use skein_core::event::{Body, LegKind};
use skein_core::state::rollout::Phase;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Waves;

impl Invariant for Waves {
    fn sentence(&self) -> &'static str {
        "no effect of a wave before every target of the one ahead is verified or failed in budget"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        match seen {
            Seen::Event(event) => {
                let Body::WaveStarted { rollout, wave } = &event.body else { return Ok(()) };
                let Some(state) = past.fleet.rollouts.get(rollout) else { return Ok(()) };
                let open = state.lanes.iter().find(|(_, lane)| {
                    let over = matches!(
                        lane.phase,
                        Phase::Done | Phase::Failed | Phase::Stuck | Phase::Waived
                    );
                    lane.wave < *wave && !over
                });
                match open {
                    Some((_, lane)) => {
                        Err(format!("wave {wave} of {rollout} opened with a lane {:?}", lane.phase))
                    }
                    None => Ok(()),
                }
            }
            Seen::Effect(effect) => {
                let Some((grant, state)) = past.granted(effect.fence) else { return Ok(()) };
                match past.lane(state, &effect.target) {
                    Some(lane) if grant.kind == LegKind::Forward && lane.wave.0 >= state.opened => {
                        Err(format!("{} ran before wave {} was open", effect.target, lane.wave))
                    }
                    Some(_) | None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
