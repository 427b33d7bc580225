//! The log says applied only where the target's own ledger has the row, with the same digest; and
//! undone only where it is gone.

use skein_core::event::Body;
use skein_core::ids::{RolloutId, StepIx, TargetId};
use skein_core::spec::Direction;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct LedgerRows;

impl Invariant for LedgerRows {
    fn sentence(&self) -> &'static str {
        "the log says applied or undone only where the target's ledger says so"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        match &event.body {
            Body::StepApplied { rollout, target, step, .. } => {
                row(past, (*rollout, *step), target, true)
            }
            Body::StepRolledBack { rollout, target, step, .. } => {
                row(past, (*rollout, *step), target, false)
            }
            _ => Ok(()),
        }
    }
}

fn row(
    past: &Past,
    (rollout, step): (RolloutId, StepIx),
    target: &TargetId,
    forward: bool,
) -> Held {
    let state = past.fleet.rollouts.get(&rollout);
    let lane = state.and_then(|state| past.lane(state, target));
    let planned = state.zip(lane).and_then(|(state, lane)| state.step(lane, step));
    let Some(planned) = planned else {
        return Err(format!("{rollout} has no step {step} on {target}"));
    };
    let wanted = (planned.direction == Direction::Up) == forward;
    let there = past.ledgers.get(target).is_some_and(|rows| {
        if wanted {
            rows.contains(&planned.entry)
        } else {
            rows.iter().any(|row| row.version == planned.entry.version)
        }
    });
    if there == wanted {
        return Ok(());
    }
    let is = if wanted { "not there" } else { "still there" };
    Err(format!("the row of {} on {target} is {is}", planned.entry.version))
}
