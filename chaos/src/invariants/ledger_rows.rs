//! The log says applied only where the target's own ledger has the row, with the same digest; and
//! undone only where it is gone.

use skein_core::event::{Body, Event};
use skein_core::ids::{RolloutId, StepIx, TargetId};
use skein_core::spec::Direction;

use super::{Held, Invariant, View};

#[derive(Debug)]
pub(super) struct LedgerRows;

impl Invariant for LedgerRows {
    fn sentence(&self) -> &'static str {
        "the log says applied or undone only where the target's ledger says so"
    }

    fn event(&mut self, event: &Event, view: View<'_>) -> Held {
        match &event.body {
            Body::StepApplied { rollout, target, step, .. } => {
                row(view, (*rollout, *step), target, true)
            }
            Body::StepRolledBack { rollout, target, step, .. } => {
                row(view, (*rollout, *step), target, false)
            }
            _ => Ok(()),
        }
    }
}

fn row(
    view: View<'_>,
    (rollout, step): (RolloutId, StepIx),
    target: &TargetId,
    forward: bool,
) -> Held {
    let state = view.fleet.rollouts.get(&rollout);
    let lane = state.and_then(|state| {
        let ix = view.fleet.targets.find(target)?;
        state.lanes.iter().map(|(_, lane)| lane).find(|lane| lane.target == ix)
    });
    let planned = state.zip(lane).and_then(|(state, lane)| state.step(lane, step));
    let (Some(planned), Some(database)) = (planned, view.database(target)) else {
        return Err(format!("{rollout} has no step {step} on {target}"));
    };
    let wanted = (planned.direction == Direction::Up) == forward;
    if database.ledger.contains(&planned.entry) == wanted {
        return Ok(());
    }
    let is = if wanted { "not there" } else { "still there" };
    Err(format!("the row of {} on {target} is {is}", planned.entry.version))
}
