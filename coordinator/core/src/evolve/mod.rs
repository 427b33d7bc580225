//! The fold: how each event changes the state. The same on every replica and for ever; no rule is
//! decided here. An event that does not fit is *impossible*: the node that meets one stops.

mod baseline;
mod fleet;
mod forward;
mod gate;
mod knob;
mod late;
mod leg;
mod part;
mod queue;
mod repair;
mod rollout;
mod stage;
mod step;

pub(crate) use stage::coming_to;

use std::fmt;

use crate::event::{Body, Event, Measured};
use crate::ids::{RolloutId, TargetId, TargetIx};
use crate::spec::Knob;
use crate::state::{Fleet, Restored, freeze, rollout as run};

/// The history contradicts itself: this replica may not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impossible(pub String);

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Impossible {}

/// Applies one event.
///
/// # Errors
/// The event is not the next one, or speaks of something that does not exist. The state may then be
/// half changed: drop it.
pub fn evolve(fleet: &mut Fleet, event: &Event) -> Result<(), Impossible> {
    if event.seq != fleet.seq {
        return Err(Impossible(format!("event {} comes where {} is next", event.seq, fleet.seq)));
    }
    if event.at < fleet.time {
        return Err(Impossible(format!("event {} is older than the one before it", event.seq)));
    }
    let rollout = apply(fleet, event)?;
    if let Some(rollout) = rollout {
        queue::follow(fleet, rollout);
    }
    fleet.seq.0 += 1;
    fleet.time = event.at;
    if event.charter == fleet.charter() {
        fleet.under_charter += 1;
    }
    if let Some(request) = event.request {
        fleet.requests.record(request, event.seq, rollout, event.at);
    }
    Ok(())
}

fn apply(fleet: &mut Fleet, event: &Event) -> Result<Option<RolloutId>, Impossible> {
    let about = match &event.body {
        Body::ClusterFormed { cluster, charter, bound } => {
            fleet::cluster_formed(fleet, *cluster, *charter, bound)?;
            return Ok(None);
        }
        Body::CharterAdopted { policy, text: _ } => {
            fleet::charter_adopted(fleet, *policy)?;
            return Ok(None);
        }
        Body::ClusterRestored { incarnation, fence, taken, reason: _ } => {
            let restored = Restored::new(*incarnation, (*taken, event.at), (event.seq, *fence));
            fleet::cluster_restored(fleet, restored)?;
            return Ok(None);
        }
        Body::AgentJoined { agent, version } => {
            fleet::agent_joined(fleet, agent, version);
            return Ok(None);
        }
        Body::AgentLeft { agent } => {
            gate::left(fleet, agent)?;
            fleet::agent_left(fleet, agent);
            return Ok(None);
        }
        Body::TargetRegistered { agent, target, description } => {
            fleet::target_registered(fleet, agent, target, description);
            return Ok(None);
        }
        Body::TargetObserved { agent: _, target, seen, finding } => {
            fleet::target_observed(fleet, event.at, target, seen, finding)?;
            return Ok(None);
        }
        Body::TargetUnreachable { agent: _, target, why } => {
            fleet::target_unreachable(fleet, target, why)?;
            return Ok(None);
        }
        Body::TargetGone { agent, target } => {
            fleet::target_gone(fleet, agent, target)?;
            return Ok(None);
        }
        Body::TargetRetired { target, reason } => {
            fleet::target_retired(fleet, target, reason)?;
            return Ok(None);
        }
        Body::RestoreStarted { target, archive, reason: _ } => {
            fleet::restore_started(fleet, target, archive)?;
            return Ok(None);
        }
        Body::BundleStored { manifest } => {
            fleet::bundle_stored(fleet, manifest);
            return Ok(None);
        }
        Body::ChangesFrozen { freeze, selector, until, reason } => {
            let state = freeze::State {
                selector: selector.clone(),
                until: *until,
                reason: reason.clone(),
                by: event.actor.clone(),
                at: event.at,
            };
            fleet.freezes.insert(*freeze, state);
            fleet.frozen = fleet.frozen.max(freeze.0);
            return Ok(None);
        }
        Body::ChangesThawed { freezes, reason: _ } => {
            fleet.freezes.retain(|id, _| !freezes.contains(id));
            return Ok(None);
        }
        Body::RepairOrdered { repair, order } => {
            repair::ordered(fleet, *repair, order, event)?;
            return Ok(None);
        }
        Body::RepairAssigned { repair, target, agent } => {
            repair::assigned(fleet, event.seq, *repair, (target, agent))?;
            return Ok(None);
        }
        Body::RepairReleased { repair, target, fence, why } => {
            repair::released(fleet, *repair, target, (*fence, why))?;
            return Ok(None);
        }
        Body::TargetMended { repair, target, fence, seen, evidence, finding } => {
            repair::mended(fleet, *repair, target, (*fence, seen, evidence, finding))?;
            return Ok(None);
        }
        Body::RepairFailed { repair, target, fence, why, doubt } => {
            repair::failed(fleet, *repair, target, (*fence, why, *doubt))?;
            return Ok(None);
        }
        Body::RepairWithdrawn { repair, reason } => {
            repair::withdrawn(fleet, *repair, reason)?;
            return Ok(None);
        }
        Body::EditAccepted { version, file: _, ran, now: _, normalised, reason: _ } => {
            fleet.edits.accept(version, ran, *normalised);
            return Ok(None);
        }
        Body::RolloutPlanned { rollout, id, plan } => {
            rollout::planned(fleet, *rollout, *id, plan)?;
            rollout
        }
        Body::RolloutStarted { rollout } => {
            rollout::started(fleet, *rollout, event)?;
            rollout
        }
        Body::WaveStarted { rollout, wave } => {
            rollout::wave_started(fleet, *rollout, *wave)?;
            rollout
        }
        Body::RolloutPaused { rollout, reason, stop } => {
            rollout::paused(fleet, *rollout, (reason, *stop))?;
            rollout
        }
        Body::RolloutAborted { rollout, reason } => {
            knob::aborted(fleet, *rollout, reason)?;
            rollout
        }
        Body::WaveVerified { rollout, wave } => {
            gate::watched(fleet, *rollout, (*wave, event.at))?;
            rollout
        }
        Body::BaselineTaken { rollout, target, gate, queries, .. } => {
            baseline::taken(fleet, *rollout, target, (gate, queries))?;
            rollout
        }
        Body::GatesOpened { rollout, wave } => {
            gate::opened(fleet, *rollout, *wave)?;
            rollout
        }
        Body::GateAsked { rollout, ask, agent, for_ms, .. } => {
            gate::asked(fleet, (event.seq, event.at), (*rollout, *ask), (agent, *for_ms))?;
            rollout
        }
        Body::GateReleased { rollout, ask, agent: _, fence, why: _ } => {
            gate::released(fleet, (*rollout, *ask), *fence)?;
            rollout
        }
        Body::GatePassed { judged } => {
            gate::passed(fleet, event.at, judged)?;
            &judged.rollout
        }
        Body::GateFailed { judged } => {
            gate::failed(fleet, judged)?;
            &judged.rollout
        }
        Body::GateBreached { judged } => {
            gate::breached(fleet, judged)?;
            &judged.rollout
        }
        Body::WaveSoaked { rollout, wave } => {
            gate::forget(fleet, *rollout)?;
            let state = state_mut(fleet, *rollout)?;
            state.soaking_since = None;
            state.soaked = wave.0 + 1;
            rollout
        }
        Body::WaveApproved { rollout, wave, reason: _ } => {
            state_mut(fleet, *rollout)?.approved.insert(*wave);
            rollout
        }
        Body::KnobSet { rollout, knob } => {
            state_mut(fleet, *rollout)?.knobs.set(knob);
            if matches!(knob, Knob::SoakMs(_)) {
                gate::retimed(fleet, *rollout)?;
            }
            rollout
        }
        Body::LanesHeld { rollout, targets, reason, stop, part } => {
            let word = (reason.as_str(), event.actor.as_str(), *stop, part.as_ref());
            part::held(fleet, *rollout, targets, word)?;
            rollout
        }
        Body::LanesCancelled { rollout, targets, reason, held } => {
            knob::cancelled(fleet, *rollout, targets, held.then_some(reason))?;
            rollout
        }
        Body::LanesReleased { rollout, targets, part } => {
            part::released(fleet, *rollout, targets, part.as_ref())?;
            rollout
        }
        Body::LanesAborted { rollout, targets, reason, part } => {
            let (by, reason) = (event.actor.as_str().into(), reason.as_str().into());
            let exempt = run::Exempt { by, reason, until: None, lane: None };
            part::given_up(fleet, *rollout, targets, (&exempt, part.as_ref()))?;
            rollout
        }
        Body::RolloutResumed { rollout } => {
            rollout::resumed(fleet, *rollout)?;
            rollout
        }
        Body::RequestSettled { rollout } => {
            state_mut(fleet, *rollout)?;
            rollout
        }
        Body::TargetsRetried { rollout, targets } => {
            rollout::retried(fleet, *rollout, targets)?;
            rollout
        }
        Body::TargetsSkipped { rollout, targets, reason, until } => {
            let (by, reason) = (event.actor.as_str().into(), reason.as_str().into());
            let exempt = run::Exempt { by, reason, until: *until, lane: None };
            rollout::skipped(fleet, *rollout, targets, &exempt)?;
            rollout
        }
        Body::ArrivalsSettled { rollout, classes, joined, awaited, settled } => {
            let (at, others) = (event.at, settled);
            let about = late::Settled { at, classes, joined, awaited, others };
            late::settled(fleet, *rollout, &about)?;
            rollout
        }
        Body::RollbackStarted { rollout, cause, targets, breach } => {
            rollout::rollback_started(fleet, *rollout, (cause, *breach), targets)?;
            rollout
        }
        Body::RolloutTurnedForward { rollout, wave, targets, all: _ } => {
            forward::turned(fleet, *rollout, *wave, targets)?;
            rollout
        }
        Body::RolloutHalted { rollout, reason } => {
            rollout::ended(fleet, *rollout, run::Status::Halted, reason, event.at)?;
            rollout
        }
        Body::RolloutCompleted { rollout } => {
            rollout::ended(fleet, *rollout, run::Status::Completed, "", event.at)?;
            rollout
        }
        Body::RolloutRolledBack { rollout } => {
            rollout::ended(fleet, *rollout, run::Status::RolledBack, "", event.at)?;
            rollout
        }
        Body::LegAssigned { rollout, target, agent, kind } => {
            leg::assigned(fleet, (event.seq, event.at), *rollout, (target, agent, *kind))?;
            rollout
        }
        Body::LeaseExpired { rollout, target, fence, why, released } => {
            leg::expired(fleet, *rollout, target, *fence, (why, *released))?;
            rollout
        }
        Body::StepWaived { rollout, waiver } => {
            state_mut(fleet, *rollout)?.waivers.push(waiver.clone());
            rollout
        }
        Body::StepBackedUp { rollout, target, fence: _, archive, steps: _ } => {
            step::backed_up(fleet, event.at, *rollout, (target, archive))?;
            rollout
        }
        Body::StepApplied { rollout, target, step, ms, already, measured, .. } => {
            step::applied(fleet, *rollout, target, (*step, took(*ms, *already, *measured)))?;
            rollout
        }
        Body::StepVerified { rollout, target, step, fingerprint, .. } => {
            step::verified(fleet, event.at, *rollout, (target, *step, *fingerprint))?;
            rollout
        }
        Body::StepFailed {
            rollout, target, version, step, verdict, message, file, line, ..
        } => {
            let note = match (file.as_str(), *line) {
                ("", _) => format!("{version}: {message}"),
                (file, 0) => format!("{version}: {file}: {message}"),
                (file, line) => format!("{version}: {file}:{line}: {message}"),
            };
            step::failed(fleet, *rollout, target, (version, *step, *verdict, note))?;
            rollout
        }
        Body::StepCancelled { rollout, target, version, verdict, message, .. } => {
            let note = format!("{version}: cancelled, and {}: {message}", verdict.as_str());
            step::cancelled(fleet, *rollout, target, (*verdict, note))?;
            rollout
        }
        Body::StepRetried { rollout, target, attempt, not_before } => {
            step::retried(fleet, *rollout, target, *attempt, *not_before)?;
            rollout
        }
        Body::StepRolledBack {
            rollout, target, step, ms, already, fingerprint, measured, ..
        } => {
            let took = took(*ms, *already, *measured);
            step::rolled_back(fleet, event.at, *rollout, (target, *step, *fingerprint, took))?;
            rollout
        }
        Body::StepStuck { rollout, target, version, why, .. } => {
            step::stuck(fleet, *rollout, target, version, why)?;
            rollout
        }
        Body::StepOverran { overrun } => {
            step::overran(fleet, overrun.rollout, &overrun.target)?;
            &overrun.rollout
        }
        Body::StepTried { rollout, target, step, passed, impossible, note, .. } => {
            step::tried(fleet, *rollout, target, (*step, *passed || *impossible, note))?;
            rollout
        }
    };
    Ok(Some(*about))
}

/// How long a step took from its first try on, and what was written for it; `None`: not all of it was measured.
fn took(ms: u64, already: bool, measured: Measured) -> Option<step::Took> {
    let Measured { waited_ms, resumed, written, locked_ms: _, touched } = measured;
    let ms = ms.saturating_add(waited_ms);
    (!already && !resumed).then_some(step::Took { ms, written, touched })
}

fn state_mut(fleet: &mut Fleet, rollout: RolloutId) -> Result<&mut run::State, Impossible> {
    fleet.rollouts.get_mut(&rollout).ok_or_else(|| Impossible(format!("{rollout} does not exist")))
}

fn target_ix(fleet: &Fleet, target: &TargetId) -> Result<TargetIx, Impossible> {
    fleet.targets.find(target).ok_or_else(|| Impossible(format!("target {target} does not exist")))
}
