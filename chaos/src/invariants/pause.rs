//! Once a pause or an end is durable, no leg of that rollout is leased until it is resumed or turned.

use std::collections::BTreeSet;

use skein_core::event::Body;
use skein_core::ids::RolloutId;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Pause {
    resting: BTreeSet<RolloutId>,
}

impl Invariant for Pause {
    fn sentence(&self) -> &'static str {
        "no leg is leased after a pause or an end of its rollout"
    }

    fn see(&mut self, seen: Seen<'_>, _past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        match &event.body {
            Body::RolloutPlanned { rollout, .. }
            | Body::RolloutPaused { rollout, .. }
            | Body::RolloutHalted { rollout, .. }
            | Body::RolloutCompleted { rollout }
            | Body::RolloutRolledBack { rollout } => {
                self.resting.insert(*rollout);
            }
            Body::RolloutStarted { rollout }
            | Body::RolloutResumed { rollout }
            | Body::RollbackStarted { rollout, .. } => {
                self.resting.remove(rollout);
            }
            Body::LegAssigned { rollout, target, .. } if self.resting.contains(rollout) => {
                return Err(format!("{target} was leased to {rollout} (event {})", event.seq));
            }
            _ => {}
        }
        Ok(())
    }
}
