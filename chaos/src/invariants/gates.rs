//! No rollout goes on from a wave before its gates passed, asked anew since the last work in it; and from one
//! that did not pass, of the wave or around a step of it, none goes on before somebody says so.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::event::{Body, Event, LegKind};
use skein_core::ids::{RolloutId, TargetId, WaveIx};
use skein_core::spec::{Gate, When};
use skein_core::state::rollout::Phase;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

/// Counted from the events alone: the state's own account is what is checked.
#[derive(Debug, Default)]
struct Asked {
    wave: Option<WaveIx>,
    /// Since the last leg, by gate and target.
    passed: BTreeSet<(String, Option<TargetId>)>,
    /// A gate that did not pass.
    failed: Option<String>,
    /// Gates around steps that did not pass, where that is a breach.
    breached: BTreeMap<TargetId, String>,
    /// Somebody tries these again by themselves.
    again: BTreeSet<TargetId>,
}

impl Asked {
    /// A gate around a step that has not passed since, in a target that the rollout goes on with.
    fn broken(&self, rollout: RolloutId, past: &Past) -> Option<&String> {
        // On its way back it looks at what an executor left that was never heard of again.
        let state = past.fleet.rollouts.get(&rollout).filter(|state| !state.turned);
        let open = |id: &TargetId| {
            let (ix, _) = past.fleet.target(id)?;
            let mut lanes = state?.lanes.iter().map(|(_, lane)| lane);
            let lane = lanes.find(|lane| lane.target == ix)?;
            Some(!matches!(lane.phase, Phase::Done | Phase::Waived | Phase::Undone))
        };
        let mut breached = self.breached.iter();
        breached.find(|(id, _)| open(id).unwrap_or_default()).map(|(_, gate)| gate)
    }
}

#[derive(Debug, Default)]
pub(super) struct Gates(BTreeMap<RolloutId, Asked>);

impl Gates {
    fn goes_on(&mut self, event: &Event, rollout: RolloutId, past: &Past) -> Held {
        let Some(state) = past.fleet.rollouts.get(&rollout) else { return Ok(()) };
        let asked = self.0.entry(rollout).or_default();
        let seq = event.seq;
        if let Some(gate) = asked.failed.as_ref().or_else(|| asked.broken(rollout, past)) {
            return Err(format!("{rollout} went on (event {seq}) though `{gate}` did not pass"));
        }
        let Some(wave) = asked.wave.filter(|_| !state.trial()) else { return Ok(()) };
        let Some(named) = state.plan.wave(wave) else { return Ok(()) };
        // Everybody was left out in the stage before.
        if state.lanes_of(wave).next().is_none() {
            return Ok(());
        }
        let meant = |gate: &Gate| gate.is_for(&named.name) || gate.is_for(named.called());
        let gates = state.plan.spec.strategy.gates.iter();
        for gate in gates.filter(|gate| gate.when == When::AfterWave && meant(gate)) {
            let lanes = state.lanes.iter().map(|(_, lane)| lane);
            let lanes = lanes.filter(|lane| lane.wave == wave && lane.phase == Phase::Done);
            let mut of: Vec<Option<TargetId>> = if gate.question.is_of_a_target() {
                let targets = lanes.filter_map(|lane| past.fleet.targets.get(lane.target));
                targets.map(|target| Some(target.id.clone())).collect()
            } else {
                vec![None]
            };
            of.retain(|target| !asked.passed.contains(&(gate.name.clone(), target.clone())));
            if let Some(missing) = of.first() {
                return Err(format!(
                    "{rollout} went on from wave {wave} (event {seq}), and `{}` did not pass {missing:?}",
                    gate.name
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for Gates {
    fn sentence(&self) -> &'static str {
        "a rollout goes on from a wave when its gates passed, and from one that did not by somebody's word"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        match &event.body {
            Body::GatePassed { judged } => {
                let asked = self.0.entry(judged.rollout).or_default();
                asked.passed.insert((judged.gate.clone(), judged.target.clone()));
            }
            Body::GateFailed { judged } if judged.version.is_empty() => {
                self.0.entry(judged.rollout).or_default().failed = Some(judged.gate.clone());
            }
            Body::GateBreached { judged } => {
                let asked = self.0.entry(judged.rollout).or_default();
                let target = judged.target.clone();
                asked.breached.extend(target.map(|target| (target, judged.gate.clone())));
            }
            Body::StepVerified { rollout, target, .. } => {
                let state = past.fleet.rollouts.get(rollout);
                let lane = state.and_then(|state| past.lane(state, target));
                if lane.is_some_and(|lane| lane.phase == Phase::Done) {
                    self.0.entry(*rollout).or_default().breached.remove(target);
                }
            }
            Body::TargetsSkipped { rollout, targets, .. } => {
                let asked = self.0.entry(*rollout).or_default();
                asked.breached.retain(|target, _| !targets.contains(target));
            }
            Body::TargetsRetried { rollout, targets } => {
                self.0.entry(*rollout).or_default().again.extend(targets.iter().cloned());
            }
            Body::GatesOpened { rollout, .. } => {
                self.0.entry(*rollout).or_default().passed.clear();
            }
            Body::LegAssigned { rollout, target, kind: LegKind::Forward, .. }
                if let Some(asked) = self.0.get(rollout)
                    && let Some(gate) = asked.broken(*rollout, past)
                    && !asked.again.contains(target) =>
            {
                return Err(format!(
                    "{target} was leased to {rollout} though `{gate}` did not pass"
                ));
            }
            Body::LegAssigned { rollout, .. } => {
                let asked = self.0.entry(*rollout).or_default();
                asked.passed.clear();
                // Work anew in a wave that had been gone on from.
                let state = past.fleet.rollouts.get(rollout);
                asked.wave = asked.wave.or_else(|| state?.wave());
            }
            // Waves from there on open anew; the one before had been gone on from.
            Body::RolloutTurnedForward { rollout, .. } => {
                *self.0.entry(*rollout).or_default() = Asked::default();
            }
            Body::RolloutResumed { rollout } | Body::RollbackStarted { rollout, .. } => {
                let asked = self.0.entry(*rollout).or_default();
                asked.failed = None;
                asked.breached.clear();
                asked.again.clear();
            }
            Body::WaveVerified { rollout, .. } | Body::RolloutCompleted { rollout } => {
                self.goes_on(event, *rollout, past)?;
            }
            Body::WaveStarted { rollout, wave } => {
                self.goes_on(event, *rollout, past)?;
                let asked = self.0.entry(*rollout).or_default();
                asked.wave = Some(*wave);
                asked.passed.clear();
            }
            _ => {}
        }
        Ok(())
    }
}
