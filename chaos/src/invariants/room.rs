//! No more targets with one value of a label are worked on than was said last, and none that somebody holds; and of
//! one resource group no more than any rollout says that has targets of it, of all legs and of those with heavy steps.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::event::Body;
use skein_core::ids::{AgentId, Fence, RolloutId, TargetId};
use skein_core::outbox::outbox;
use skein_core::spec::Knob;
use skein_core::state::target;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

/// Counted from the events and the leases: the state's own account is what is checked.
#[derive(Debug, Default)]
pub(super) struct Room {
    labels: BTreeMap<(RolloutId, String), u32>,
    groups: BTreeMap<RolloutId, u32>,
    heavies: BTreeMap<RolloutId, u32>,
    /// Legs that were given out with heavy steps.
    heavy: BTreeSet<Fence>,
    held: BTreeMap<(RolloutId, TargetId), bool>,
    /// Given up while an agent was at work.
    stopping: BTreeSet<(RolloutId, TargetId)>,
    given_up: BTreeSet<(RolloutId, TargetId)>,
}

impl Room {
    fn assigned(&self, rollout: RolloutId, id: &TargetId, past: &Past) -> Held {
        if self.held.get(&(rollout, id.clone())) == Some(&true) {
            return Err(format!("{id} was leased to {rollout}, and somebody holds it"));
        }
        let Some((_, target)) = past.fleet.target(id) else { return Ok(()) };
        let Some(state) = past.fleet.rollouts.get(&rollout) else { return Ok(()) };
        let leased = |like: &dyn Fn(&target::State) -> bool| {
            // A repair writes rows and runs no script: it needs no room.
            let at_work = |one: &target::State| one.lease.is_some() && one.mend.is_none();
            let under_way = past.fleet.targets.iter().filter(|(_, one)| at_work(one));
            u32::try_from(under_way.filter(|(_, one)| like(one)).count()).unwrap_or(u32::MAX)
        };
        let strategy = &state.plan.spec.strategy;
        let mut limits: BTreeMap<&str, u32> =
            strategy.limits.iter().map(|limit| (limit.label.as_str(), limit.most)).collect();
        let said = self.labels.iter().filter(|((of, _), _)| *of == rollout);
        limits.extend(said.map(|((_, label), most)| (label.as_str(), *most)));
        for (label, most) in limits.into_iter().filter(|(_, most)| *most > 0) {
            let value = |one: &target::State| one.description.labels.get(label).cloned();
            let count = leased(&|one| {
                one.lane.is_some_and(|(of, _)| of == rollout) && value(one) == value(target)
            });
            if count > most {
                return Err(format!(
                    "{count} targets like {id} in {label} are leased, most {most}"
                ));
            }
        }
        let group = &target.description.group;
        // Whoever has targets of it says it for all.
        let here = past.fleet.targets.iter().filter(|(_, one)| one.description.group == *group);
        let here: BTreeSet<RolloutId> = here.filter_map(|(_, one)| Some(one.lane?.0)).collect();
        let planned = |of: &RolloutId| Some(&past.fleet.rollouts.get(of)?.plan.spec.strategy);
        let said = |of: &RolloutId| {
            let planned = || Some(planned(of)?.per_group);
            self.groups.get(of).copied().or_else(planned).filter(|most| *most > 0)
        };
        let count = leased(&|one| one.description.group == *group);
        let most = here.iter().filter_map(said).min().filter(|_| !group.is_empty());
        if let Some(most) = most.filter(|most| count > *most) {
            return Err(format!("{count} targets of group {group} are leased, most {most}"));
        }
        let said = |of: &RolloutId| {
            let planned = || Some(planned(of)?.heavy.per_group);
            self.heavies.get(of).copied().or_else(planned).filter(|most| *most > 0)
        };
        let is_heavy = |one: &target::State| {
            one.lease.as_ref().is_some_and(|lease| self.heavy.contains(&lease.fence))
        };
        let count = leased(&|one| one.description.group == *group && is_heavy(one));
        let most = here.iter().filter_map(said).min().filter(|_| !group.is_empty());
        if let Some(most) = most.filter(|most| is_heavy(target) && count > *most) {
            return Err(format!(
                "{count} targets of group {group} are leased with heavy steps, most {most}"
            ));
        }
        Ok(())
    }

    /// What its agent is given has a heavy step in it.
    fn weigh(&mut self, rollout: RolloutId, agent: &AgentId, fence: Fence, past: &Past) {
        let Some(state) = past.fleet.rollouts.get(&rollout) else { return };
        let heavy = &state.plan.spec.strategy.heavy.steps;
        if heavy.is_empty() {
            return;
        }
        let given = outbox(&past.fleet, agent).into_iter().find(|leg| leg.fence == fence);
        // One that is only to look what was left runs no step.
        let given = given.filter(|leg| !leg.cancelled);
        let mut steps = given.into_iter().flat_map(|leg| leg.steps);
        if steps.any(|step| heavy.contains(&step.entry.version)) {
            self.heavy.insert(fence);
        }
    }
}

impl Invariant for Room {
    fn sentence(&self) -> &'static str {
        "no more legs are leased for a label's value and a resource group than was said, and none for who is held or given up"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        match &event.body {
            Body::KnobSet { rollout, knob: Knob::Limit(limit) } => {
                self.labels.insert((*rollout, limit.label.clone()), limit.most);
            }
            Body::KnobSet { rollout, knob: Knob::PerGroup(most) } => {
                self.groups.insert(*rollout, *most);
            }
            Body::KnobSet { rollout, knob: Knob::HeavyPerGroup(most) } => {
                self.heavies.insert(*rollout, *most);
            }
            Body::LanesHeld { rollout, targets, .. }
            | Body::LanesCancelled { rollout, targets, held: true, .. } => {
                self.held.extend(targets.iter().map(|id| ((*rollout, id.clone()), true)));
            }
            Body::LanesReleased { rollout, targets, .. } => {
                self.held.extend(targets.iter().map(|id| ((*rollout, id.clone()), false)));
            }
            Body::LanesAborted { rollout, targets, .. } => {
                for id in targets {
                    let at_work = past.fleet.target(id).is_some_and(|(_, it)| it.lease.is_some());
                    let left = if at_work { &mut self.stopping } else { &mut self.given_up };
                    left.insert((*rollout, id.clone()));
                }
            }
            // Until a time that has passed.
            Body::TargetsRetried { rollout, targets } => {
                for id in targets {
                    self.given_up.remove(&(*rollout, id.clone()));
                }
            }
            // So has the time until which these were left out, and they stand otherwise than they were left: they
            // come like any other, with a lane of what they lack.
            Body::ArrivalsSettled { rollout, joined, .. } => {
                for (target, ..) in joined {
                    self.given_up.remove(&(*rollout, target.clone()));
                    self.stopping.remove(&(*rollout, target.clone()));
                }
            }
            // It stopped before its end. Who got there first may be taken back with the others.
            Body::LeaseExpired { rollout, target, .. }
            | Body::StepFailed { rollout, target, .. }
            | Body::StepCancelled { rollout, target, .. }
            | Body::StepStuck { rollout, target, .. } => {
                let lane = (*rollout, target.clone());
                if self.stopping.remove(&lane) {
                    self.given_up.insert(lane);
                }
            }
            Body::LegAssigned { rollout, target, .. }
                if self.given_up.contains(&(*rollout, target.clone())) =>
            {
                return Err(format!("{target} was given up, and leased to {rollout}"));
            }
            Body::LegAssigned { rollout, target, agent, .. } => {
                self.weigh(*rollout, agent, past.fleet.fence(event.seq), past);
                // It got to its end before it could stop.
                self.stopping.remove(&(*rollout, target.clone()));
                return self.assigned(*rollout, target, past);
            }
            _ => {}
        }
        Ok(())
    }
}
