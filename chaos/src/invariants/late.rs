//! A target that joins a rollout late gets what it lacks, all of it and nothing else, in the order of the bundle, and in
//! a wave that nobody has gone on from.

use skein_core::event::Body;
use skein_core::ids::{ClassIx, RolloutId, TargetId, Version, WaveIx};
use skein_core::spec::Goal;

use super::regions::is_last_of_its_stage;
use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Late;

fn joins(id: RolloutId, (target, wave, class): (&TargetId, WaveIx, ClassIx), past: &Past) -> Held {
    let Some(state) = past.fleet.rollouts.get(&id) else { return Ok(()) };
    // The last one takes whom no other does, also when it is open: of a stage that is not gone through.
    let is_last =
        is_last_of_its_stage(&state.plan, wave) && state.plan.stage_of(wave) >= state.stage();
    if wave.0 < state.opened && !is_last {
        return Err(format!(
            "{target} joined wave {wave} of {id}, of which {} are open",
            state.opened
        ));
    }
    let known = past.fleet.target(target).map(|(_, known)| known);
    let (Some(known), Some(class)) = (known, state.class_at(class)) else {
        return Err(format!("{target} joined {id} with steps that nobody knows"));
    };
    let Some(manifest) = past.fleet.bundles.get(&state.plan.spec.bundle) else { return Ok(()) };
    let in_force: Vec<_> = past.fleet.entries.spell(known.in_force()).collect();
    if !class.before.iter().eq(in_force.iter().copied()) {
        return Err(format!("{target} joined {id} among those with {:?}", class.before));
    }
    let lacks = |version: &Version| in_force.iter().all(|entry| entry.version != *version);
    let owed = manifest.migrations.iter().map(|one| &one.version).filter(|one| lacks(one));
    let owed: Vec<_> = owed.collect();
    let steps: Vec<_> = class.steps.iter().map(|step| &step.entry.version).collect();
    let whole = state.plan.spec.goal != Goal::Latest || steps.len() == owed.len();
    if steps.is_empty() || !owed.starts_with(&steps) || !whole {
        return Err(format!("{target} joined {id} with {steps:?}, and owes {owed:?}"));
    }
    Ok(())
}

impl Invariant for Late {
    fn sentence(&self) -> &'static str {
        "who joins a rollout late gets what it lacks, in order, in a wave that is not closed"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        let Body::ArrivalsSettled { rollout, joined, .. } = &event.body else { return Ok(()) };
        for (target, wave, class) in joined {
            joins(*rollout, (target, *wave, *class), past)?;
        }
        Ok(())
    }
}
