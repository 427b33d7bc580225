//! Once a pause or an end is durable, no leg of that rollout is leased until it is resumed or turned, but for
//! targets that somebody has tried again since.

use std::collections::BTreeSet;

use skein_core::event::Body;
use skein_core::ids::{RolloutId, TargetId};
use skein_core::state::rollout::Status;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Pause {
    resting: BTreeSet<RolloutId>,
    /// Tried again while their rollout is paused.
    again: BTreeSet<(RolloutId, TargetId)>,
}

impl Invariant for Pause {
    fn sentence(&self) -> &'static str {
        "no leg is leased after a pause or an end of its rollout"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        match &event.body {
            Body::RolloutPlanned { rollout, .. }
            | Body::RolloutPaused { rollout, .. }
            | Body::RolloutHalted { rollout, .. }
            | Body::RolloutCompleted { rollout }
            | Body::RolloutRolledBack { rollout } => {
                self.resting.insert(*rollout);
                self.again.retain(|(other, _)| other != rollout);
            }
            Body::RolloutStarted { rollout }
            | Body::RolloutResumed { rollout }
            | Body::RolloutTurnedForward { rollout, .. }
            | Body::RollbackStarted { rollout, .. } => {
                self.resting.remove(rollout);
            }
            Body::TargetsRetried { rollout, targets } => {
                let state = past.fleet.rollouts.get(rollout);
                if state.is_some_and(|state| state.status == Status::Paused) {
                    let chosen = targets.iter().map(|target| (*rollout, target.clone()));
                    self.again.extend(chosen);
                } else {
                    self.resting.remove(rollout);
                }
            }
            Body::LegAssigned { rollout, target, .. }
                if self.resting.contains(rollout)
                    && !self.again.contains(&(*rollout, target.clone())) =>
            {
                return Err(format!("{target} was leased to {rollout} (event {})", event.seq));
            }
            _ => {}
        }
        Ok(())
    }
}
