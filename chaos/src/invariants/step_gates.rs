//! No step begins where a gate before it did not pass, and none counts as verified where one after it did not: what has no
//! answer has not passed. A rollout in which that happened is not completed before the step is verified after all, taken
//! back, or left out.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::event::{Body, Judged, LegKind};
use skein_core::ids::{Fence, RolloutId, StepIx, TargetId, Version};
use skein_core::spec::{Gate, When};
use skein_core::state::rollout::{Lane, Phase, State};

use super::{Held, Invariant, Past};
use crate::observation::{GateAnswer, Mended, Seen};

/// Kept from what executors were answered.
#[derive(Debug, Default)]
pub(super) struct StepGates {
    /// Somebody tells what is asked around steps. Who does not is not held to this.
    told: bool,
    /// The last answer under each lease, of each step and gate.
    last: BTreeMap<(Fence, Version, String), bool>,
    /// Under which lease a gate has passed at all.
    ever: BTreeSet<(Fence, Version, String)>,
    /// Since a step took effect, whoever asked.
    passed: BTreeMap<(TargetId, Version), BTreeSet<String>>,
    /// Who has an older one changes nothing any more.
    reached: BTreeMap<TargetId, Fence>,
    /// Nobody asks about what a repair wrote down.
    unasked: BTreeSet<(TargetId, Version)>,
    /// Steps whose gate did not pass, as the log has it.
    failed: BTreeMap<(RolloutId, TargetId), (String, String)>,
}

/// Gates of the wave that a lane is in.
fn around<'a>(state: &'a State, lane: &Lane, when: When) -> impl Iterator<Item = &'a Gate> {
    let wave = state.plan.wave(lane.wave);
    let meant = move |gate: &&Gate| {
        gate.when == when
            && wave.is_some_and(|wave| gate.is_for(&wave.name) || gate.is_for(wave.called()))
    };
    state.plan.spec.strategy.gates.iter().filter(meant)
}

impl StepGates {
    fn answered(&mut self, answered: &GateAnswer, past: &Past) {
        let GateAnswer { fence, version, gate, passed } = answered;
        let key = (*fence, version.clone(), gate.clone());
        self.last.insert(key.clone(), *passed);
        if let Some(grant) = past.grants.get(fence).filter(|_| *passed) {
            let step = (grant.target.clone(), version.clone());
            self.passed.entry(step).or_default().insert(gate.clone());
            self.ever.insert(key);
        }
    }

    fn starts(&self, fence: Fence, version: &Version, past: &Past) -> Held {
        let Some((grant, state)) = past.granted(fence) else { return Ok(()) };
        let Some(lane) = past.lane(state, &grant.target) else { return Ok(()) };
        if grant.kind != LegKind::Forward {
            return Ok(());
        }
        for gate in around(state, lane, When::BeforeStep) {
            let key = (fence, version.clone(), gate.name.clone());
            match self.last.get(&key) {
                Some(true) => {}
                answer => {
                    let how = answer.map_or("was not asked", |_| "did not pass");
                    return Err(format!(
                        "{version} of {} on {} begins under fence {fence}, and `{}` {how}",
                        state.id, grant.target, gate.name
                    ));
                }
            }
        }
        if self.reached.get(&grant.target).is_some_and(|reached| *reached > fence) {
            return Ok(());
        }
        // What the log has verified was looked at then.
        let before = (lane.verified..state.steps(lane))
            .filter_map(|step| state.step(lane, StepIx(step)))
            .map(|step| &step.entry.version)
            .take_while(|before| *before != version);
        for before in before {
            self.is_asked_after((state, lane), (&grant.target, before))?;
        }
        Ok(())
    }

    /// What is asked after a step has passed since it took effect.
    fn is_asked_after(
        &self,
        (state, lane): (&State, &Lane),
        (target, version): (&TargetId, &Version),
    ) -> Held {
        let step = (target.clone(), version.clone());
        if self.unasked.contains(&step) {
            return Ok(());
        }
        let passed = self.passed.get(&step);
        let missing = around(state, lane, When::AfterStep)
            .find(|gate| passed.is_none_or(|passed| !passed.contains(&gate.name)));
        missing.map_or(Ok(()), |gate| {
            Err(format!(
                "{} goes on behind {version} on {target}, and `{}` did not pass after it",
                state.id, gate.name
            ))
        })
    }

    /// What the log has of an answer was one.
    fn judged(&mut self, judged: &Judged, passed: bool) -> Held {
        let Some(target) = judged.target.as_ref().filter(|_| !judged.version.is_empty()) else {
            return Ok(());
        };
        let (gate, version) = (judged.gate.clone(), judged.version.clone());
        if !passed {
            self.failed.insert((judged.rollout, target.clone()), (version, gate));
            return Ok(());
        }
        let key = (judged.fence, Version(version), gate);
        if !self.told || self.ever.contains(&key) {
            return Ok(());
        }
        Err(format!("`{}` passed in {target}, says the log, and nobody was answered so", key.2))
    }

    /// Nothing of it stands any more, or somebody answers for it.
    fn settled(&mut self, rollout: RolloutId, target: &TargetId) {
        self.failed.remove(&(rollout, target.clone()));
    }

    fn event(&mut self, body: &Body, past: &Past) -> Held {
        match body {
            Body::GatePassed { judged } => self.judged(judged, true),
            Body::GateFailed { judged } | Body::GateBreached { judged } => {
                self.judged(judged, false)
            }
            Body::StepVerified { rollout, target, version, .. } => {
                self.settled(*rollout, target);
                let Some(state) = past.fleet.rollouts.get(rollout).filter(|_| self.told) else {
                    return Ok(());
                };
                let Some(lane) = past.lane(state, target) else { return Ok(()) };
                self.is_asked_after((state, lane), (target, &Version(version.clone())))
            }
            Body::StepRolledBack { rollout, target, .. } => {
                self.settled(*rollout, target);
                Ok(())
            }
            Body::TargetsSkipped { rollout, targets, .. }
            | Body::LanesAborted { rollout, targets, .. } => {
                for target in targets {
                    self.settled(*rollout, target);
                }
                Ok(())
            }
            Body::TargetMended { target, .. } => {
                self.failed.retain(|(_, at), _| at != target);
                Ok(())
            }
            Body::RolloutCompleted { rollout } => {
                let state = past.fleet.rollouts.get(rollout);
                // Given up while its step ran: it failed, and the rollout went on without it.
                let left = |target: &TargetId| {
                    let lane = state.and_then(|state| past.lane(state, target));
                    lane.is_some_and(|lane| lane.phase == Phase::Waived)
                };
                let mut failed = self.failed.iter().filter(|((of, _), _)| of == rollout);
                let failed = failed.find(|((_, target), _)| !left(target));
                failed.map_or(Ok(()), |((_, target), (version, gate))| {
                    Err(format!(
                        "{rollout} is completed, and `{gate}` did not pass around {version} on {target}"
                    ))
                })
            }
            _ => Ok(()),
        }
    }
}

impl Invariant for StepGates {
    fn sentence(&self) -> &'static str {
        "no step begins, and none counts as verified, where a gate around it did not pass or could not be told"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        match seen {
            Seen::GateAnswered(answered) => self.answered(answered, past),
            Seen::Starts { fence, version } => {
                self.told = true;
                return self.starts(fence, version, past);
            }
            Seen::Fence { target, new, .. } => {
                self.reached.insert(target.clone(), new);
            }
            Seen::Effect(effect) if effect.whole => {
                let step = (effect.target.clone(), effect.entry.version.clone());
                self.unasked.remove(&step);
                self.passed.remove(&step);
            }
            Seen::Mended(Mended { database, .. }) | Seen::Restored(database) => {
                let rows = database.ledger.iter();
                let rows = rows.map(|row| (database.target.clone(), row.version.clone()));
                self.unasked.extend(rows);
            }
            Seen::Event(event) => return self.event(&event.body, past),
            _ => {}
        }
        Ok(())
    }
}
