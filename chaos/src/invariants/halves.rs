//! A rollout is called rolled back only where no half of its steps was left: a half is completed, or named.

use std::collections::BTreeSet;

use skein_core::event::{Body, LegKind, Verdict};
use skein_core::ids::{Fence, RolloutId, TargetId};
use skein_core::state::rollout::Phase;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

/// Counted from what executors told.
#[derive(Debug, Default)]
pub(super) struct Halves {
    left: BTreeSet<(RolloutId, TargetId)>,
}

impl Halves {
    fn left(&mut self, past: &Past, fence: Fence) {
        if let Some((grant, _)) = past.granted(fence)
            && grant.kind == LegKind::Forward
        {
            self.left.insert((grant.rollout, grant.target.clone()));
        }
    }
}

impl Invariant for Halves {
    fn sentence(&self) -> &'static str {
        "a rollout is called rolled back only where no half of its steps was left"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        match &event.body {
            Body::StepFailed { fence, verdict: Verdict::Partly | Verdict::Unknown, .. }
            | Body::StepCancelled { fence, verdict: Verdict::Partly, .. }
            | Body::StepStuck { fence, .. } => self.left(past, *fence),
            // Whoever tried it again found nothing of it, or all of it.
            Body::StepFailed { rollout, target, .. }
            | Body::StepApplied { rollout, target, .. }
            | Body::StepVerified { rollout, target, .. }
            | Body::StepRolledBack { rollout, target, .. } => {
                self.left.remove(&(*rollout, target.clone()));
            }
            Body::TargetMended { target, .. } => self.left.retain(|(_, at)| at != target),
            Body::RolloutRolledBack { rollout } => {
                let Some(state) = past.fleet.rollouts.get(rollout) else { return Ok(()) };
                let meant = state.lanes.iter().filter(|(_, lane)| lane.phase != Phase::Waived);
                let half = meant
                    .filter_map(|(_, lane)| past.fleet.targets.get(lane.target))
                    .find(|target| self.left.contains(&(*rollout, target.id.clone())));
                if let Some(target) = half {
                    return Err(format!(
                        "{rollout} is rolled back, and {} was left with a half",
                        target.id
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
