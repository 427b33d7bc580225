//! No more targets are worked on at one time than the strategy allows.

use skein_core::event::Body;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Parallelism;

impl Invariant for Parallelism {
    fn sentence(&self) -> &'static str {
        "no more legs of a rollout are leased at one time than its strategy allows"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        let Body::LegAssigned { rollout, .. } = &event.body else { return Ok(()) };
        let Some(state) = past.fleet.rollouts.get(rollout) else { return Ok(()) };
        let leased = state.lanes.iter().filter(|(_, lane)| lane.fence.is_some()).count();
        let most = state.parallelism();
        if usize::try_from(most).is_ok_and(|most| leased > most) {
            return Err(format!("{leased} legs of {rollout} are leased, and {most} may be"));
        }
        Ok(())
    }
}
