//! No wave opens, and no rollout completes, before the wave ahead was watched for as long as was said last,
//! and no wave that waits for somebody's word opens without it.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::event::{Body, Event};
use skein_core::ids::{Millis, RolloutId, WaveIx};
use skein_core::spec::Knob;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

/// Counted from the events alone: the state's own account is what is checked.
#[derive(Debug, Default)]
struct Watched {
    /// The last word on how long.
    said: Option<u64>,
    wave: Option<WaveIx>,
    since: Option<Millis>,
    approved: BTreeSet<WaveIx>,
}

#[derive(Debug, Default)]
pub(super) struct Soaks(BTreeMap<RolloutId, Watched>);

impl Soaks {
    fn goes_on(&mut self, event: &Event, rollout: RolloutId, past: &Past) -> Held {
        let Some(state) = past.fleet.rollouts.get(&rollout) else { return Ok(()) };
        let watched = self.0.entry(rollout).or_default();
        let Some(wave) = watched.wave.filter(|_| !state.trial()) else { return Ok(()) };
        let planned = state.plan.wave(wave).map_or(0, |wave| wave.soak_ms);
        let long = watched.said.unwrap_or(planned);
        let over = match watched.since {
            _ if long == 0 => true,
            Some(since) => since.0 + long <= event.at.0,
            None => false,
        };
        if over {
            return Ok(());
        }
        Err(format!(
            "{rollout} went on (event {}) though wave {wave} is watched for {long} ms since {:?}",
            event.seq, watched.since
        ))
    }
}

impl Invariant for Soaks {
    fn sentence(&self) -> &'static str {
        "a wave that is done is watched before the rollout goes on, and one that waits for a word gets it"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        match &event.body {
            Body::KnobSet { rollout, knob: Knob::SoakMs(long) } => {
                self.0.entry(*rollout).or_default().said = Some(*long);
            }
            Body::WaveApproved { rollout, wave, .. } => {
                self.0.entry(*rollout).or_default().approved.insert(*wave);
            }
            Body::WaveVerified { rollout, .. } => {
                self.0.entry(*rollout).or_default().since = Some(event.at);
            }
            Body::LegAssigned { rollout, .. } => {
                let watched = self.0.entry(*rollout).or_default();
                watched.since = None;
                // Work anew in a wave that had been gone on from.
                let state = past.fleet.rollouts.get(rollout);
                watched.wave = watched.wave.or_else(|| state?.wave());
            }
            // Waves from there on open anew; the one before had been gone on from.
            Body::RolloutTurnedForward { rollout, wave, .. } => {
                let watched = self.0.entry(*rollout).or_default();
                (watched.wave, watched.since) = (None, None);
                watched.approved.retain(|approved| approved < wave);
            }
            Body::WaveStarted { rollout, wave } => {
                self.goes_on(event, *rollout, past)?;
                let watched = self.0.entry(*rollout).or_default();
                let state = past.fleet.rollouts.get(rollout);
                let planned = state.and_then(|state| state.plan.wave(*wave));
                if planned.is_some_and(|planned| planned.approval)
                    && !watched.approved.contains(wave)
                {
                    return Err(format!("wave {wave} of {rollout} opened without a word"));
                }
                (watched.wave, watched.since) = (Some(*wave), None);
            }
            Body::RolloutCompleted { rollout } => self.goes_on(event, *rollout, past)?,
            _ => {}
        }
        Ok(())
    }
}
