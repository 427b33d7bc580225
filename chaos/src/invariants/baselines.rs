//! How quickly a target answered before is measured before the first step of its leg begins, once in a rollout, and no
//! gate is judged by what was measured later, elsewhere or not at all.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::event::{Body, Judged, LegKind};
use skein_core::ids::{Fence, RolloutId, TargetId};
use skein_core::spec::{Quantiles, Question};
use skein_core::state::rollout::State;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

/// One target in one rollout, as one gate asks it.
type Asked = (RolloutId, TargetId, String);

/// Counted from what is seen: the state's own account is what is checked.
#[derive(Debug, Default)]
pub(super) struct Baselines {
    taken: BTreeMap<Asked, Vec<Quantiles>>,
    /// Something of the rollout had an effect there.
    begun: BTreeSet<(RolloutId, TargetId)>,
    /// Gates of waves in agents' hands, with what had been measured when they were asked.
    asks: BTreeMap<Fence, (Asked, Option<Vec<Quantiles>>)>,
}

/// Whether a gate is held against what was before.
fn compares(state: &State, name: &str) -> bool {
    let gate = state.plan.spec.strategy.gates.iter().find(|gate| gate.name == name);
    gate.is_some_and(|gate| matches!(&gate.question, Question::Latency(it) if it.compares()))
}

impl Baselines {
    fn takes(&mut self, asked: Asked, queries: &[Quantiles]) -> Held {
        let (rollout, target, gate) = &asked;
        if self.begun.contains(&(*rollout, target.clone())) {
            return Err(format!("`{gate}` was measured in {target} after a step of {rollout} ran"));
        }
        if self.taken.contains_key(&asked) {
            return Err(format!("`{gate}` was measured in {target} a second time for {rollout}"));
        }
        self.taken.insert(asked, queries.to_vec());
        Ok(())
    }

    /// What was taken back whole has its first step before it again.
    fn begin_again(&mut self, rollout: RolloutId, targets: &[TargetId], past: &Past) {
        let Some(state) = past.fleet.rollouts.get(&rollout) else { return };
        for target in targets {
            let lane = past.lane(state, target);
            self.begun.remove(&(rollout, target.clone()));
            if lane.is_some_and(|lane| lane.applied == 0) {
                self.taken.retain(|(other, of, _), _| (*other, of) != (rollout, target));
            }
        }
    }

    fn passes(&self, judged: &Judged, past: &Past) -> Held {
        let state = past.fleet.rollouts.get(&judged.rollout);
        let Some(target) = judged.target.as_ref() else { return Ok(()) };
        let asked = (judged.rollout, target.clone(), judged.gate.clone());
        if state.is_some_and(|state| compares(state, &judged.gate))
            && !self.taken.contains_key(&asked)
        {
            return Err(format!("`{}` passed in {target}, and nothing was before", judged.gate));
        }
        Ok(())
    }
}

impl Invariant for Baselines {
    fn sentence(&self) -> &'static str {
        "no gate on latency is judged by what was measured after a step of its leg had run, or in another target"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        match seen {
            Seen::Effect(effect) => {
                if let Some((grant, state)) = past.granted(effect.fence)
                    && grant.kind == LegKind::Forward
                {
                    self.begun.insert((state.id, effect.target.clone()));
                }
            }
            Seen::Event(event) => match &event.body {
                Body::BaselineTaken { rollout, target, gate, queries, .. } => {
                    return self.takes((*rollout, target.clone(), gate.clone()), queries);
                }
                Body::GateAsked { rollout, gate, target: Some(target), .. } => {
                    let asked = (*rollout, target.clone(), gate.clone());
                    let taken = self.taken.get(&asked).cloned();
                    self.asks.insert(Fence(event.seq.0), (asked, taken));
                }
                Body::GatePassed { judged } => return self.passes(judged, past),
                Body::RolloutTurnedForward { rollout, targets, .. } => {
                    self.begin_again(*rollout, targets, past);
                }
                // It has another lane from here on, with what it lacks.
                Body::ArrivalsSettled { rollout, joined, .. } => {
                    for (target, ..) in joined {
                        self.begun.remove(&(*rollout, target.clone()));
                        self.taken.retain(|(other, of, _), _| (other, of) != (rollout, target));
                    }
                }
                // Each stage on a target is a leg of its own.
                Body::WaveStarted { rollout, wave } => {
                    let plan = past.fleet.rollouts.get(rollout).map(|state| &state.plan);
                    let wave = plan.and_then(|plan| plan.wave(*wave)).filter(|it| it.stage > 0);
                    for (target, _) in wave.into_iter().flat_map(|wave| &wave.targets) {
                        self.begun.remove(&(*rollout, target.clone()));
                    }
                }
                _ => {}
            },
            Seen::Compared { fence, baseline } => {
                let Some((asked, taken)) = self.asks.get(&fence) else { return Ok(()) };
                if taken.as_ref().is_none_or(|taken| taken != baseline) {
                    let (rollout, target, gate) = asked;
                    return Err(format!(
                        "`{gate}` of {rollout} in {target} is held against {baseline:?}, which was not measured there"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
