//! After faults end, every rollout that was started comes to one of the three ends, with a reason
//! where an operator is needed; and every repair ends.

use skein_core::schedule::{Moment, Presence, waits_for};
use skein_core::state::rollout::Status;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Ends;

impl Invariant for Ends {
    fn sentence(&self) -> &'static str {
        "after faults end every rollout completes, is rolled back, or halts with a reason; repairs end"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::End = seen else { return Ok(()) };
        for state in past.fleet.rollouts.values() {
            let well = match state.status {
                Status::Planned | Status::Completed | Status::RolledBack => true,
                Status::Halted => !state.reason.is_empty(),
                Status::Running | Status::Paused | Status::Unwinding => false,
            };
            if !well {
                let presence = Presence::default();
                let why = waits_for(&past.fleet, state, Moment::of(&presence, past.fleet.time));
                let counts = state.total.all();
                return Err(format!("{} is {:?}: {why} {counts:?}", state.id, state.status));
            }
        }
        match past.fleet.repairs.values().find(|repair| !repair.ended()) {
            None => Ok(()),
            Some(repair) => Err(format!("{} has not ended: {:?}", repair.id, repair.lines)),
        }
    }
}
