//! A rollout completes only when each target that it means has everything that it did, was left out by somebody,
//! or was retired: also those that came while it was under way, and those that were absent when it was planned.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::event::Body;
use skein_core::ids::{Millis, RolloutId, Seq, TargetId};
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
    /// Until when; `None`: for good.
    left_out: BTreeMap<(RolloutId, TargetId), Option<Millis>>,
    /// Those that had everything when they were asked about. What others take back from them later is theirs to
    /// answer for.
    settled: BTreeSet<(RolloutId, TargetId)>,
}

impl Owed {
    fn completes(&self, (id, at): (RolloutId, Millis), past: &Past) -> Held {
        let Some((made, absent)) = self.planned.get(&id) else { return Ok(()) };
        for (target, since) in &self.known {
            let asked = (id, target.clone());
            let planned = since < made && !absent.contains(target);
            if planned && !self.left_out.contains_key(&asked)
                || self.is_left_out(&asked, at)
                || self.settled.contains(&asked)
            {
                continue;
            }
            if owes(past, id, target) {
                return Err(format!("{id} is completed, and {target} owes it something"));
            }
        }
        Ok(())
    }

    /// Somebody answers for its going on without a target.
    fn is_left_out(&self, asked: &(RolloutId, TargetId), at: Millis) -> bool {
        self.left_out.get(asked).is_some_and(|until| until.is_none_or(|until| at < until))
    }

    /// Nothing is said to be owed by these.
    fn settle(&mut self, (id, at): (RolloutId, Millis), targets: &[TargetId], past: &Past) -> Held {
        for target in targets {
            let asked = (id, target.clone());
            if !self.is_left_out(&asked, at) && owes(past, id, target) {
                return Err(format!("{target} is said to owe {id} nothing, and lacks something"));
            }
            self.settled.insert(asked);
        }
        Ok(())
    }
}

/// Whether a rollout means a target, which lacks something of it.
fn owes(past: &Past, id: RolloutId, target: &TargetId) -> bool {
    let Some(state) = past.fleet.rollouts.get(&id) else { return false };
    let spec = &state.plan.spec;
    let bounded = matches!(spec.goal, Goal::Latest) && spec.selector.condition.is_none();
    let Some((_, known)) = past.fleet.target(target) else { return false };
    // Changed behind everybody's back after it was settled: it is held.
    spec.direction == Direction::Up
        && bounded
        && !known.retired
        && known.seen.is_none()
        && spec.selector.matches(target, &known.description)
        && !has_everything(past, state, target)
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
                self.settled.retain(|(_, at)| at != target);
            }
            Body::TargetRetired { target, .. } => {
                self.known.remove(target);
            }
            Body::RolloutPlanned { rollout, plan, .. } => {
                let absent = plan.absent.iter().map(|absent| absent.target.clone()).collect();
                self.planned.insert(*rollout, (event.seq, absent));
            }
            Body::TargetsSkipped { rollout, targets, until, .. } => {
                let targets = targets.iter().map(|target| ((*rollout, target.clone()), *until));
                self.left_out.extend(targets);
            }
            Body::LanesAborted { rollout, targets, .. } => {
                let targets = targets.iter().map(|target| ((*rollout, target.clone()), None));
                self.left_out.extend(targets);
            }
            Body::ArrivalsSettled { rollout, settled, .. } => {
                return self.settle((*rollout, event.at), settled, past);
            }
            Body::RolloutCompleted { rollout } => {
                return self.completes((*rollout, event.at), past);
            }
            _ => {}
        }
        Ok(())
    }
}
