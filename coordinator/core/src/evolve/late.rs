//! Targets that come while rollouts are under way.

use std::sync::Arc;

use super::{Impossible, rollout, state_mut, target_ix};
use crate::forecast::Reach;
use crate::ids::{ClassIx, Millis, RolloutId, TargetId, TargetIx, WaveIx};
use crate::plan::Class;
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase};

/// There is news of a target: rollouts under way that it may owe something decide about it.
pub(super) fn came(fleet: &mut Fleet, ix: TargetIx) {
    let Some(target) = fleet.targets.get(ix) else { return };
    for id in &fleet.active {
        if let Some(state) = fleet.rollouts.get_mut(id)
            && state.may_join(ix, target)
        {
            state.arrived.insert(ix);
        }
    }
}

/// A rollout begins, or goes on: who came since its plan was made, or was absent then and is there now?
pub(super) fn look_around(fleet: &mut Fleet, id: RolloutId) -> Result<(), Impossible> {
    let state = fleet.rollouts.get_mut(&id);
    let state = state.ok_or_else(|| Impossible(format!("{id} does not exist")))?;
    for (ix, target) in fleet.targets.iter() {
        if state.may_join(ix, target) {
            state.arrived.insert(ix);
        }
    }
    Ok(())
}

/// A target is gone for good: nobody waits for it.
pub(super) fn retired(fleet: &mut Fleet, ix: TargetIx) {
    for id in &fleet.active {
        if let Some(state) = fleet.rollouts.get_mut(id) {
            state.awaited.remove(&ix);
            state.arrived.remove(&ix);
        }
    }
}

/// What was decided about targets that came.
pub(super) struct Settled<'a> {
    pub(super) at: Millis,
    pub(super) classes: &'a [Class],
    pub(super) joined: &'a [(TargetId, WaveIx, ClassIx)],
    pub(super) awaited: &'a [(TargetId, String)],
    pub(super) others: &'a [TargetId],
}

pub(super) fn settled(
    fleet: &mut Fleet,
    id: RolloutId,
    about: &Settled<'_>,
) -> Result<(), Impossible> {
    if !about.classes.is_empty() {
        let bundle = state_mut(fleet, id)?.plan.spec.bundle;
        let reach = about.classes.iter().map(|class| Reach::of(fleet, bundle, class));
        let reach: Vec<Reach> = reach.collect();
        let state = state_mut(fleet, id)?;
        Arc::make_mut(&mut state.late).extend_from_slice(about.classes);
        state.ahead.come(reach);
    }
    let state = state_mut(fleet, id)?;
    let (accepts, trial) = (state.plan.spec.accept_drift, state.trial());
    let mut joined = Vec::new();
    for (target, wave, class) in about.joined {
        let ix = target_ix(fleet, target)?;
        let known = fleet.targets.get(ix);
        if known.is_some_and(|target| target.lane.is_some()) {
            return Err(Impossible(format!("{target} joins {id} and is in other hands")));
        }
        let told = known.map(|target| target.told.clone()).unwrap_or_default();
        let had_some = known.is_some_and(|target| target.last.is_some());
        let state = state_mut(fleet, id)?;
        if had_some {
            state.replace(ix);
        }
        let phase = if wave.0 < state.opened { Phase::Ready } else { Phase::Waiting };
        let lane = state.join(Lane::new((ix, told), *wave, *class, phase));
        state.awaited.remove(&ix);
        state.arrived.remove(&ix);
        if let Some(mut target) = fleet.targets.get_mut(ix) {
            target.lane = Some((id, lane));
            target.last = if trial { target.last } else { target.lane };
        }
        joined.push(ix);
    }
    if accepts {
        rollout::accept(fleet, &joined);
    }
    for (target, why) in about.awaited {
        let ix = target_ix(fleet, target)?;
        let state = state_mut(fleet, id)?;
        state.arrived.remove(&ix);
        state.awaited.insert(ix, why.as_str().into());
        // It was left out until a time that has passed: it is asked about like any other.
        if state.exempt.get(&ix).is_some_and(|exempt| !exempt.holds(about.at)) {
            state.exempt.remove(&ix);
            came(fleet, ix);
        }
    }
    for target in about.others {
        let ix = target_ix(fleet, target)?;
        let state = state_mut(fleet, id)?;
        state.arrived.remove(&ix);
        state.awaited.remove(&ix);
    }
    Ok(())
}
