//! A rollout completes only when each target that it means has everything that it did, was left out by somebody,
//! or was retired: also those that came while it was under way, and those that were absent when it was planned.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::event::Body;
use skein_core::ids::{RolloutId, Seq, TargetId};
use skein_core::spec::{Direction, Goal};
use skein_core::state::rollout::{Phase, State};

use super::{Held, Invariant, Past};
use crate::observation::Seen;

/// Counted from the events alone: the state's own account is what is checked.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Since when a target is known.
    known: BTreeMap<TargetId, Seq>,
    planned: BTreeMap<RolloutId, (Seq, BTreeSet<TargetId>)>,
    left_out: BTreeSet<(RolloutId, TargetId)>,
}

impl Owed {
    fn completes(&self, id: RolloutId, past: &Past) -> Held {
        let Some((made, absent)) = self.planned.get(&id) else { return Ok(()) };
        let Some(state) = past.fleet.rollouts.get(&id) else { return Ok(()) };
        let spec = &state.plan.spec;
        let bounded = matches!(spec.goal, Goal::Latest) && spec.selector.condition.is_none();
        if spec.direction != Direction::Up || !bounded {
            return Ok(());
        }
        for (target, since) in &self.known {
            if since < made && !absent.contains(target)
                || self.left_out.contains(&(id, target.clone()))
            {
                continue;
            }
            let Some((_, known)) = past.fleet.target(target) else { continue };
            // Changed behind everybody's back after it was settled: it is held.
            if known.seen.is_some() {
                continue;
            }
            let meant = spec.selector.matches(target, &known.description);
            if meant && !has_everything(past, state, target) {
                return Err(format!("{id} is completed, and {target} owes it something"));
            }
        }
        Ok(())
    }
}

fn has_everything(past: &Past, state: &State, target: &TargetId) -> bool {
    if past.lane(state, target).is_some_and(|lane| lane.phase == Phase::Done) {
        return true;
    }
    let Some((_, known)) = past.fleet.target(target) else { return true };
    let Some(manifest) = past.fleet.bundles.get(&state.plan.spec.bundle) else { return true };
    let ledger: BTreeSet<_> =
        past.fleet.entries.spell(known.in_force()).map(|entry| &entry.version).collect();
    manifest.migrations.iter().all(|migration| ledger.contains(&migration.version))
}

impl Invariant for Owed {
    fn sentence(&self) -> &'static str {
        "a rollout completes only when each target that it means has applied, was left out or was retired"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        match &event.body {
            Body::TargetRegistered { target, .. } => {
                self.known.entry(target.clone()).or_insert(event.seq);
            }
            Body::TargetRetired { target, .. } => {
                self.known.remove(target);
            }
            Body::RolloutPlanned { rollout, plan, .. } => {
                let absent = plan.absent.iter().map(|absent| absent.target.clone()).collect();
                self.planned.insert(*rollout, (event.seq, absent));
            }
            Body::TargetsSkipped { rollout, targets, .. } => {
                let targets = targets.iter().map(|target| (*rollout, target.clone()));
                self.left_out.extend(targets);
            }
            Body::RolloutCompleted { rollout } => return self.completes(*rollout, past),
            _ => {}
        }
        Ok(())
    }
}
