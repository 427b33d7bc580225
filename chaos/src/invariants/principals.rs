//! Every event names who asked for it, and that is somebody who had the right then.

use skein_core::event::{Body, Event, Judged};
use skein_core::ids::{AgentId, Fence, TargetId};
use skein_core::state::repair::Verb;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Principals;

/// Whose events are of that kind.
enum Right<'a> {
    /// The leader's own.
    Scheduler,
    /// A person's.
    Person,
    /// Anybody's but an agent's.
    NoAgent,
    /// An agent's or the scheduler's.
    Anybody,
    /// That agent's.
    Agent(&'a AgentId),
    /// The agent's that holds, or held, that lease.
    Holder(Fence, &'a TargetId),
    /// The agent's that asks, or asked, that gate.
    Asker(&'a Judged),
}

fn right(body: &Body) -> Right<'_> {
    match body {
        Body::ClusterFormed { .. } | Body::CharterAdopted { .. } | Body::AgentLeft { .. } => {
            Right::NoAgent
        }
        Body::AgentJoined { agent, .. }
        | Body::TargetRegistered { agent, .. }
        | Body::TargetObserved { agent, .. }
        | Body::TargetUnreachable { agent, .. }
        | Body::TargetGone { agent, .. } => Right::Agent(agent),
        Body::TargetRetired { .. }
        | Body::RestoreStarted { .. }
        | Body::ClusterRestored { .. }
        | Body::BundleStored { .. }
        | Body::RolloutPlanned { .. }
        | Body::RolloutStarted { .. }
        | Body::RolloutPaused { .. }
        | Body::RolloutResumed { .. }
        | Body::RolloutTurnedForward { .. }
        | Body::RequestSettled { .. }
        | Body::RolloutAborted { .. }
        | Body::WaveApproved { .. }
        | Body::KnobSet { .. }
        | Body::LanesReleased { .. }
        | Body::EditAccepted { .. }
        | Body::TargetsSkipped { .. }
        | Body::ChangesFrozen { .. }
        | Body::ChangesThawed { .. }
        | Body::LanesCancelled { .. }
        | Body::StepWaived { .. } => Right::Person,
        // A person's, or of those who were left out until a time that has passed.
        Body::TargetsRetried { .. } => Right::NoAgent,
        // A person's, or what the schema of a target that came late proves.
        Body::RepairOrdered { order, .. }
            if order.verb == Verb::Adopt && order.waiver.is_empty() =>
        {
            Right::NoAgent
        }
        Body::RepairOrdered { .. } => Right::Person,
        // A person's, or what it says of a part, for who joins that later.
        Body::LanesHeld { part: None, .. } | Body::LanesAborted { part: None, .. } => {
            Right::NoAgent
        }
        Body::LanesHeld { .. } | Body::LanesAborted { .. } => Right::Person,
        // A person's, or the first word after a restore of the cluster.
        Body::RepairWithdrawn { .. } => Right::NoAgent,
        Body::RollbackStarted { .. } => Right::NoAgent,
        Body::WaveStarted { .. }
        | Body::WaveVerified { .. }
        | Body::WaveSoaked { .. }
        | Body::GatesOpened { .. }
        | Body::GateAsked { .. }
        | Body::GateReleased { .. }
        | Body::RolloutHalted { .. }
        | Body::RolloutCompleted { .. }
        | Body::RolloutRolledBack { .. }
        | Body::LegAssigned { .. }
        | Body::StepOverran { .. }
        | Body::ArrivalsSettled { .. }
        | Body::RepairAssigned { .. } => Right::Scheduler,
        Body::LeaseExpired { released: false, .. } => Right::Scheduler,
        Body::LeaseExpired { released: true, target, fence, .. }
        | Body::BaselineTaken { target, fence, .. }
        | Body::StepBackedUp { target, fence, .. }
        | Body::StepApplied { target, fence, .. }
        | Body::StepVerified { target, fence, .. }
        | Body::StepFailed { target, fence, .. }
        | Body::StepCancelled { target, fence, .. }
        | Body::StepRolledBack { target, fence, .. }
        | Body::StepStuck { target, fence, .. }
        | Body::StepTried { target, fence, .. } => Right::Holder(*fence, target),
        Body::GatePassed { judged }
        | Body::GateFailed { judged }
        | Body::GateBreached { judged } => Right::Asker(judged),
        Body::TargetMended { target, fence, .. } | Body::RepairFailed { target, fence, .. } => {
            Right::Holder(*fence, target)
        }
        // Given back by its holder, or taken by the leader.
        Body::RepairReleased { .. } => Right::Anybody,
        // Comes with the failure that it follows.
        Body::StepRetried { target, .. } => Right::Holder(Fence(u64::MAX), target),
    }
}

/// As the coordinator names its own requests.
pub(super) const SCHEDULER: &str = "skein/scheduler";

fn agent(actor: &str) -> Option<&str> {
    actor.strip_prefix("agent/")
}

impl Invariant for Principals {
    fn sentence(&self) -> &'static str {
        "every event names a principal who had the right, and the charter in force"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        if event.charter != past.fleet.charter() {
            return Err(format!("event {} was made under another charter", event.seq));
        }
        if may(event, past) {
            return Ok(());
        }
        Err(format!("event {} names {:?}, whose right it is not", event.seq, event.actor))
    }
}

fn may(event: &Event, past: &Past) -> bool {
    let actor = event.actor.as_str();
    match right(&event.body) {
        Right::Scheduler => actor == SCHEDULER,
        Right::Anybody => actor == SCHEDULER || agent(actor).is_some(),
        Right::Person => !actor.is_empty() && actor != SCHEDULER && agent(actor).is_none(),
        Right::NoAgent => !actor.is_empty() && agent(actor).is_none(),
        Right::Agent(named) => agent(actor) == Some(named.as_str()),
        Right::Asker(judged) => {
            let Some(named) = agent(actor) else { return false };
            let lease = past.log.get(usize::try_from(judged.fence.0).unwrap_or(usize::MAX));
            match lease.map(|event| &event.body) {
                Some(Body::GateAsked { agent, gate, ask, .. }) => {
                    agent.as_str() == named && *gate == judged.gate && *ask == judged.ask
                }
                Some(Body::LegAssigned { agent, target, .. }) => {
                    agent.as_str() == named && judged.target.as_ref() == Some(target)
                }
                Some(_) => false,
                None => true,
            }
        }
        Right::Holder(fence, target) => {
            let Some(named) = agent(actor) else { return false };
            let lease = past.log.get(usize::try_from(fence.0).unwrap_or(usize::MAX));
            match lease.map(|event| &event.body) {
                Some(
                    Body::LegAssigned { agent, target: leased, .. }
                    | Body::RepairAssigned { agent, target: leased, .. },
                ) => agent.as_str() == named && leased == target,
                Some(_) => false,
                None => true,
            }
        }
    }
}
