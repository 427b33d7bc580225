//! On each target steps take effect in the order of the plan, without gaps.

use std::collections::BTreeMap;

use skein_core::event::{Body, LegKind};
use skein_core::ids::{RolloutId, TargetId};
use skein_core::plan::Step;
use skein_core::spec::Direction;
use skein_core::state::rollout::{Lane, State, Status};

use super::{Held, Invariant, Past};
use crate::observation::{Database, Effect, Mended, Seen};

/// How many steps of a rollout are in force on a target, counted from effects alone.
#[derive(Debug, Default)]
pub(super) struct InForce(BTreeMap<(RolloutId, TargetId), usize>);

impl InForce {
    /// Takes in an effect of a leg of `kind`; tells where it stands in the plan, and where it should.
    /// `None`: it is not that kind's.
    pub(super) fn take(
        &mut self,
        effect: &Effect,
        past: &Past,
        kind: LegKind,
    ) -> Option<(Option<usize>, Option<usize>)> {
        let (grant, state) = past.granted(effect.fence).filter(|_| effect.whole)?;
        let lane = past.lane(state, &effect.target);
        let steps = lane.and_then(|lane| state.class(lane)).map(|class| class.steps.as_slice());
        let place = steps.unwrap_or_default().iter().position(|step| {
            step.entry.version == effect.entry.version
                && (step.direction == effect.script) == forward(grant.kind)
        });
        let count = self.0.entry((grant.rollout, effect.target.clone())).or_default();
        let (next, after) = match grant.kind {
            LegKind::Forward => (Some(*count), *count + 1),
            LegKind::Undo => (count.checked_sub(1), count.saturating_sub(1)),
            LegKind::Trial => (None, *count),
        };
        *count = after;
        (grant.kind == kind).then_some((place, next))
    }
}

impl InForce {
    /// Takes in what changes the count otherwise than by an effect.
    pub(super) fn follow(&mut self, seen: Seen<'_>, past: &Past) {
        match seen {
            Seen::Restored(database) | Seen::Mended(Mended { database, .. }) => {
                self.restored(database, past);
            }
            // They have lanes that nothing has happened on, whatever they had before.
            Seen::Event(event) => {
                if let Body::ArrivalsSettled { rollout, joined, .. } = &event.body {
                    for (target, ..) in joined {
                        self.0.remove(&(*rollout, target.clone()));
                    }
                }
            }
            _ => {}
        }
    }

    /// The database was put back, or its ledger set right: of the steps of each rollout those count that it still has.
    /// What was rolled back goes on only from where it was left.
    fn restored(&mut self, database: &Database, past: &Past) {
        let target = &database.target;
        let started = |state: &State| state.status != Status::Planned;
        for (rollout, state) in past.fleet.rollouts.iter().filter(|(_, state)| started(state)) {
            let left = |lane: &&Lane| state.status != Status::RolledBack || !lane.is_back();
            let class = past.lane(state, target).filter(left).and_then(|lane| state.class(lane));
            let Some(steps) = class.map(|class| class.steps.as_slice()) else { continue };
            let has = |step: &&Step| {
                let mut rows = database.ledger.iter();
                let there = rows.any(|row| row.version == step.entry.version);
                there == (step.direction == Direction::Up)
            };
            let count = steps.iter().take_while(has).count();
            self.0.insert((*rollout, target.clone()), count);
        }
    }
}

fn forward(kind: LegKind) -> bool {
    match kind {
        LegKind::Forward | LegKind::Trial => true,
        LegKind::Undo => false,
    }
}

#[derive(Debug, Default)]
pub(super) struct PlanOrder(InForce);

impl Invariant for PlanOrder {
    fn sentence(&self) -> &'static str {
        "steps take effect in plan order without gaps, and a trial has none"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Effect(effect) = seen else {
            self.0.follow(seen, past);
            return Ok(());
        };
        let trial = past.grants.get(&effect.fence).is_some_and(|one| one.kind == LegKind::Trial);
        let kind = if trial { LegKind::Trial } else { LegKind::Forward };
        match self.0.take(effect, past, kind) {
            Some((place, next)) if place.is_none() || place != next => Err(format!(
                "{} on {} is step {place:?}, and {next:?} was next",
                effect.entry.version, effect.target
            )),
            Some(_) | None => Ok(()),
        }
    }
}
