//! No wave before the one ahead is verified on every target that has not failed within the budget, and no stage
//! before the one ahead is verified on every target that was not left out.

use skein_core::event::{Body, LegKind};
use skein_core::state::rollout::Phase;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Waves;

impl Invariant for Waves {
    fn sentence(&self) -> &'static str {
        "no effect of a wave before every target of the one ahead is verified or failed in budget, and \
         none of a stage before the one ahead is verified everywhere"
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
                if let Some((_, lane)) = open {
                    let phase = lane.phase;
                    return Err(format!("wave {wave} of {rollout} opened with a lane {phase:?}"));
                }
                // Who comes late, and joins a stage that has begun, gets what went before with it.
                let stage = state.plan.stage_of(*wave);
                let begins = stage > state.stage();
                let behind =
                    state.lanes.iter().map(|(_, lane)| lane).filter(|_| begins).find(|lane| {
                        let floor = state.class(lane).map_or(0, |it| state.plan.floor(it, stage));
                        lane.phase != Phase::Waived && lane.verified < floor
                    });
                match behind {
                    Some(lane) => Err(format!(
                        "stage {stage} of {rollout} began with a lane that has {} steps",
                        lane.verified
                    )),
                    None => Ok(()),
                }
            }
            Seen::Effect(effect) => {
                let Some((grant, state)) = past.granted(effect.fence) else { return Ok(()) };
                let lane = past.lane(state, &effect.target);
                let Some(lane) = lane.filter(|_| grant.kind == LegKind::Forward) else {
                    return Ok(());
                };
                if lane.wave.0 >= state.opened {
                    return Err(format!(
                        "{} ran before wave {} was open",
                        effect.target, lane.wave
                    ));
                }
                let (Some(class), Some(open)) = (state.class(lane), state.wave()) else {
                    return Ok(());
                };
                let reach = usize::try_from(state.plan.reach(class, state.plan.stage_of(open)));
                let version = &effect.entry.version;
                let place = class.steps.iter().position(|step| step.entry.version == *version);
                match place {
                    Some(place) if reach.is_ok_and(|reach| place >= reach) => {
                        Err(format!("{version} ran on {} before its stage began", effect.target))
                    }
                    Some(_) | None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
