//! That a step takes longer than was forecast is said of a step that runs, that was measured before, and once.

use std::collections::BTreeSet;

use skein_core::event::{Body, Overrun};
use skein_core::ids::{RolloutId, TargetId};
use skein_core::spec::Direction;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Overruns {
    /// Said, of steps that have not ended since: whether they are undone.
    said: BTreeSet<(RolloutId, TargetId, bool)>,
}

impl Invariant for Overruns {
    fn sentence(&self) -> &'static str {
        "a step is said to take longer than was forecast while it runs, if it was measured before, and once"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        match &event.body {
            Body::StepApplied { rollout, target, .. }
            | Body::StepRolledBack { rollout, target, .. } => {
                self.said.retain(|(of, at, _)| of != rollout || at != target);
                Ok(())
            }
            Body::StepOverran { overrun } => {
                holds(overrun, past)?;
                let Overrun { rollout, target, undo, .. } = overrun.as_ref();
                if self.said.insert((*rollout, target.clone(), *undo)) {
                    return Ok(());
                }
                Err(format!("version {} of {target} is said to for a second time", overrun.version))
            }
            _ => Ok(()),
        }
    }
}

fn holds(overrun: &Overrun, past: &Past) -> Held {
    let Overrun { target: id, version, step, undo, ms, forecast, .. } = overrun;
    let ix = past.fleet.targets.find(id);
    let target = ix.and_then(|ix| past.fleet.targets.get(ix));
    let lease = target.and_then(|target| target.lease.as_ref());
    if lease.is_none_or(|lease| lease.fence != overrun.fence) {
        return Err(format!("nobody works on {id} under fence {}", overrun.fence));
    }
    let lane = ix.and_then(|ix| past.fleet.lane(ix)).map(|(_, lane)| lane);
    let runs = lane.is_some_and(|lane| {
        let before = if *undo { lane.applied.checked_sub(1) } else { Some(lane.applied) };
        before == Some(step.0) && (*undo || lane.verified == step.0)
    });
    if !runs {
        return Err(format!("version {version} of {id} is not the step that runs"));
    }
    let measured = past.log.iter().filter(|event| match &event.body {
        Body::StepApplied { version: of, already, .. } => !undo && of == version && !already,
        Body::StepRolledBack { version: of, already, .. } => *undo && of == version && !already,
        _ => false,
    });
    let measured = u64::try_from(measured.count()).unwrap_or(u64::MAX);
    // A plan downwards runs the same scripts forward.
    let other = past.log.iter().any(|event| {
        matches!(&event.body, Body::RolloutPlanned { plan, .. }
            if plan.spec.direction == Direction::Down)
    });
    if forecast.samples == 0 || (measured < forecast.samples && !other) {
        return Err(format!("version {version} of {id} was measured {measured} times"));
    }
    if *ms <= forecast.interval.p95 {
        return Err(format!("{ms} ms are not more than {}", forecast.interval.p95));
    }
    Ok(())
}
