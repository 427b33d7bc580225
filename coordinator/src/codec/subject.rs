//! What an event is about: for the index over the history, and for whoever reads a part of it.

use bytes::Bytes;
use prost::Message as _;
use skein_core::ids::RolloutId;
use skein_proto::log::v1 as log;
use skein_proto::log::v1::event::Body;

/// The terms under which the index finds an event: `target/ID` and `rollout/N`.
pub(crate) fn terms(event: &[u8]) -> Vec<String> {
    let Ok(event) = log::Event::decode(event) else { return Vec::new() };
    let (targets, rollout) = subject(event.body.as_ref());
    let targets = targets.into_iter().map(|target| format!("target/{target}"));
    targets.chain(rollout.map(|rollout| format!("rollout/{rollout}"))).collect()
}

/// Whether an event is about a target and a rollout; empty and `None` mean any.
pub(crate) fn concerns(event: &Bytes, target: &str, rollout: Option<RolloutId>) -> bool {
    if target.is_empty() && rollout.is_none() {
        return true;
    }
    let Ok(event) = log::Event::decode(event.clone()) else { return true };
    let (of_target, of_rollout) = subject(event.body.as_ref());
    (target.is_empty() || of_target.contains(&target))
        && rollout.is_none_or(|wanted| of_rollout == Some(wanted.0))
}

/// None, where a gate is not of a target.
fn of_target(target: &str) -> Vec<&str> {
    if target.is_empty() { Vec::new() } else { vec![target] }
}

fn subject(body: Option<&Body>) -> (Vec<&str>, Option<u32>) {
    let Some(body) = body else { return (Vec::new(), None) };
    match body {
        Body::ClusterFormed(_)
        | Body::CharterAdopted(_)
        | Body::ClusterRestored(_)
        | Body::AgentJoined(_)
        | Body::AgentLeft(_)
        | Body::BundleStored(_) => (Vec::new(), None),
        Body::TargetRegistered(it) => {
            (it.target.as_ref().map(|target| target.id.as_str()).into_iter().collect(), None)
        }
        Body::TargetObserved(it) => (vec![&it.target], None),
        Body::TargetUnreachable(it) => (vec![&it.target], None),
        Body::TargetGone(it) => (vec![&it.target], None),
        Body::TargetRetired(it) => (vec![&it.target], None),
        Body::RestoreStarted(it) => (vec![&it.target], None),
        Body::RolloutPlanned(it) | Body::RolloutPlannedInStages(it) => {
            let waves = it.plan.iter().flat_map(|plan| &plan.waves);
            let targets = waves.flat_map(|wave| &wave.targets).map(|target| target.id.as_str());
            let absent = it.plan.iter().flat_map(|plan| &plan.absent);
            let absent = absent.map(|absent| absent.id.as_str());
            (targets.chain(absent).collect(), Some(it.rollout))
        }
        Body::RolloutStarted(it) => (Vec::new(), Some(it.rollout)),
        Body::WaveStarted(it) => (Vec::new(), Some(it.rollout)),
        Body::RolloutPaused(it) => (Vec::new(), Some(it.rollout)),
        Body::RolloutResumed(it) => (Vec::new(), Some(it.rollout)),
        Body::RequestSettled(it) => (Vec::new(), Some(it.rollout)),
        Body::WaveVerified(it) => (Vec::new(), Some(it.rollout)),
        Body::WaveSoaked(it) => (Vec::new(), Some(it.rollout)),
        Body::WaveApproved(it) => (Vec::new(), Some(it.rollout)),
        Body::KnobSet(it) => (Vec::new(), Some(it.rollout)),
        Body::RolloutAborted(it) => (Vec::new(), Some(it.rollout)),
        Body::LanesHeld(it) => (it.targets.iter().map(String::as_str).collect(), Some(it.rollout)),
        Body::LanesReleased(it) => {
            (it.targets.iter().map(String::as_str).collect(), Some(it.rollout))
        }
        Body::LanesAborted(it) => {
            (it.targets.iter().map(String::as_str).collect(), Some(it.rollout))
        }
        Body::RepairOrdered(it) => {
            let targets = it.order.iter().flat_map(|order| &order.targets);
            (targets.map(|target| target.id.as_str()).collect(), None)
        }
        Body::RepairAssigned(it) => (vec![&it.target], None),
        Body::RepairReleased(it) => (vec![&it.target], None),
        Body::TargetMended(it) => (vec![&it.target], None),
        Body::RepairFailed(it) => (vec![&it.target], None),
        Body::RepairWithdrawn(_)
        | Body::EditAccepted(_)
        | Body::ChangesFrozen(_)
        | Body::ChangesThawed(_) => (Vec::new(), None),
        Body::LanesCancelled(it) => {
            (it.targets.iter().map(String::as_str).collect(), Some(it.rollout))
        }
        Body::StepCancelled(it) => (vec![&it.target], Some(it.rollout)),
        Body::TargetsRetried(it) => {
            (it.targets.iter().map(String::as_str).collect(), Some(it.rollout))
        }
        Body::TargetsSkipped(it) => {
            (it.targets.iter().map(String::as_str).collect(), Some(it.rollout))
        }
        Body::ArrivalsSettled(it) => {
            let joined = it.joined.iter().map(|it| it.target.as_str());
            let awaited = it.awaited.iter().map(|it| it.target.as_str());
            let settled = it.settled.iter().map(String::as_str);
            (joined.chain(awaited).chain(settled).collect(), Some(it.rollout))
        }
        Body::RollbackStarted(it) => {
            (it.targets.iter().map(|unwind| unwind.target.as_str()).collect(), Some(it.rollout))
        }
        Body::RolloutTurnedForward(it) => {
            (it.targets.iter().map(String::as_str).collect(), Some(it.rollout))
        }
        Body::RolloutHalted(it) => (Vec::new(), Some(it.rollout)),
        Body::RolloutCompleted(it) => (Vec::new(), Some(it.rollout)),
        Body::RolloutRolledBack(it) => (Vec::new(), Some(it.rollout)),
        Body::GatesOpened(it) => (Vec::new(), Some(it.rollout)),
        Body::GateAsked(it) => (of_target(&it.target), Some(it.rollout)),
        Body::GateReleased(it) => (Vec::new(), Some(it.rollout)),
        Body::GatePassed(it) | Body::GateFailed(it) | Body::GateBreached(it) => {
            (of_target(&it.target), Some(it.rollout))
        }
        Body::BaselineTaken(it) => (vec![&it.target], Some(it.rollout)),
        Body::StepWaived(it) => (Vec::new(), Some(it.rollout)),
        Body::LegAssigned(it) => (vec![&it.target], Some(it.rollout)),
        Body::LeaseExpired(it) => (vec![&it.target], Some(it.rollout)),
        Body::StepBackedUp(it) => (vec![&it.target], Some(it.rollout)),
        Body::StepApplied(it) => (vec![&it.target], Some(it.rollout)),
        Body::StepVerified(it) => (vec![&it.target], Some(it.rollout)),
        Body::StepFailed(it) => (vec![&it.target], Some(it.rollout)),
        Body::StepRetried(it) => (vec![&it.target], Some(it.rollout)),
        Body::StepRolledBack(it) => (vec![&it.target], Some(it.rollout)),
        Body::StepStuck(it) => (vec![&it.target], Some(it.rollout)),
        Body::StepTried(it) => (vec![&it.target], Some(it.rollout)),
        Body::StepOverran(it) => (vec![&it.target], Some(it.rollout)),
    }
}
