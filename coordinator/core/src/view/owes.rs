//! What a target owes to rollouts that were completed without it: it came later, or it was left out until a day
//! that has passed. Nobody begins work on it by that: somebody plans it.

use crate::ids::{Millis, RolloutId, Version};
use crate::plan;
use crate::spec::Goal;
use crate::state::Fleet;
use crate::state::rollout::{State, Status};
use crate::state::target;

/// A debt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debt {
    /// The newest rollout that it is owed to.
    pub rollout: RolloutId,
    /// What the target lacks, in order.
    pub versions: Vec<Version>,
    /// The target was left out, by whom and why; empty: it was not.
    pub left_out: String,
    /// It is not called in before this time; `None`: it is due.
    pub not_before: Option<Millis>,
}

/// Rollouts that something may be owed to, the newest first: the first that means a target says what it owes.
/// So many steps from where each target was are owed to nobody once they are over.
pub fn creditors(fleet: &Fleet) -> impl Iterator<Item = &State> {
    let all = fleet.rollouts.values().rev();
    let counted = |state: &&State| matches!(state.plan.spec.goal, Goal::Steps(_));
    all.filter(|state| state.status == Status::Completed && !state.trial())
        .filter(move |state| !counted(state))
}

/// What a target owes to a completed rollout that means it. Nothing is owed by whom a rollout has now, or who was
/// left out for good.
pub fn owes(fleet: &Fleet, state: &State, target: &target::State, now: Millis) -> Option<Debt> {
    if target.retired || target.lane.is_some() || target.observed_at.is_none() {
        return None;
    }
    let exempt = state.exempt.get(&fleet.targets.find(&target.id)?);
    if exempt.is_some_and(|exempt| exempt.until.is_none()) {
        return None;
    }
    let versions = plan::owes(fleet, &state.plan.spec, target).ok()?;
    (!versions.is_empty()).then(|| Debt {
        rollout: state.id,
        versions,
        left_out: exempt
            .map(|exempt| format!("left out by {}: {}", exempt.by, exempt.reason))
            .unwrap_or_default(),
        not_before: exempt.and_then(|exempt| exempt.until).filter(|until| now < *until),
    })
}
