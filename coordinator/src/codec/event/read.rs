//! From disk.

use std::sync::Arc;

use skein_core::event::{Body, Stop, Unwind};
use skein_core::ids::{AgentId, Fence, Millis, RolloutId, StepIx, TargetId, WaveIx};
use skein_core::policy::Policy;
use skein_proto::log::v1::event::Body as Wire;

use super::super::fleet::{description, observation};
use super::super::manifest::manifest;
use super::super::measured;
use super::super::plan::{backup, knob, plan};
use super::super::{Malformed, cluster_id, digest, digest_option, incarnation, pace, required};
use super::{archive, leg_kind, verdict, waiver};

pub(super) fn body(wire: Wire) -> Result<Body, Malformed> {
    Ok(match wire {
        Wire::ClusterFormed(wire) => Body::ClusterFormed {
            cluster: cluster_id(&wire.cluster_id)?,
            charter: digest(&wire.charter, "the charter")?,
            bound: wire.bound,
        },
        Wire::CharterAdopted(wire) => Body::CharterAdopted {
            policy: Policy {
                least_backup: backup(wire.least_backup()),
                refuse_irreversible: wire.refuse_irreversible,
            },
            text: wire.text,
        },
        Wire::ClusterRestored(wire) => Body::ClusterRestored {
            incarnation: incarnation(&wire.incarnation)?,
            fence: Fence(wire.fence),
            taken: Millis(wire.taken_ms),
            reason: wire.reason,
        },
        Wire::AgentJoined(wire) => {
            Body::AgentJoined { agent: AgentId(wire.agent), version: wire.version }
        }
        Wire::AgentLeft(wire) => Body::AgentLeft { agent: AgentId(wire.agent) },
        Wire::TargetRegistered(wire) => {
            let (target, description) = description(required(wire.target, "a target")?)?;
            Body::TargetRegistered { agent: AgentId(wire.agent), target, description }
        }
        Wire::TargetObserved(wire) => Body::TargetObserved {
            agent: AgentId(wire.agent),
            target: TargetId(wire.target),
            seen: observation(required(wire.observation, "an observation")?)?,
            finding: wire.finding,
        },
        Wire::TargetUnreachable(wire) => Body::TargetUnreachable {
            agent: AgentId(wire.agent),
            target: TargetId(wire.target),
            why: wire.why,
        },
        Wire::TargetGone(wire) => {
            Body::TargetGone { agent: AgentId(wire.agent), target: TargetId(wire.target) }
        }
        Wire::TargetRetired(wire) => {
            Body::TargetRetired { target: TargetId(wire.target), reason: wire.reason }
        }
        Wire::RestoreStarted(wire) => Body::RestoreStarted {
            target: TargetId(wire.target),
            archive: wire.archive,
            reason: wire.reason,
        },
        Wire::BundleStored(wire) => Body::BundleStored { manifest: Arc::new(manifest(wire)?) },
        Wire::RolloutPlanned(wire) | Wire::RolloutPlannedInStages(wire) => Body::RolloutPlanned {
            rollout: RolloutId(wire.rollout),
            id: digest(&wire.plan_id, "a plan's id")?,
            plan: Arc::new(plan(required(wire.plan, "a plan")?)?),
        },
        Wire::RolloutStarted(wire) => Body::RolloutStarted { rollout: RolloutId(wire.rollout) },
        Wire::WaveStarted(wire) => {
            Body::WaveStarted { rollout: RolloutId(wire.rollout), wave: WaveIx(wire.wave) }
        }
        Wire::RolloutPaused(wire) => Body::RolloutPaused {
            rollout: RolloutId(wire.rollout),
            reason: wire.reason,
            stop: match (wire.after_batch, wire.after_steps) {
                (true, _) => Stop::BehindBatches,
                (false, true) => Stop::AfterSteps,
                (false, false) => Stop::AfterLegs,
            },
        },
        Wire::RolloutAborted(wire) => {
            Body::RolloutAborted { rollout: RolloutId(wire.rollout), reason: wire.reason }
        }
        Wire::WaveVerified(wire) => {
            Body::WaveVerified { rollout: RolloutId(wire.rollout), wave: WaveIx(wire.wave) }
        }
        Wire::WaveSoaked(wire) => {
            Body::WaveSoaked { rollout: RolloutId(wire.rollout), wave: WaveIx(wire.wave) }
        }
        Wire::WaveApproved(wire) => Body::WaveApproved {
            rollout: RolloutId(wire.rollout),
            wave: WaveIx(wire.wave),
            reason: wire.reason,
        },
        Wire::KnobSet(wire) => {
            Body::KnobSet { rollout: RolloutId(wire.rollout), knob: knob(wire.knob)? }
        }
        Wire::LanesHeld(wire) => super::part::held(wire),
        Wire::LanesReleased(wire) => super::part::released(wire),
        Wire::LanesAborted(wire) => super::part::aborted(wire),
        Wire::RolloutResumed(wire) => Body::RolloutResumed { rollout: RolloutId(wire.rollout) },
        Wire::RequestSettled(wire) => Body::RequestSettled { rollout: RolloutId(wire.rollout) },
        Wire::RollbackStarted(wire) => Body::RollbackStarted {
            rollout: RolloutId(wire.rollout),
            cause: wire.cause,
            targets: wire
                .targets
                .into_iter()
                .map(|unwind| Unwind {
                    target: TargetId(unwind.target),
                    keep: unwind.keep,
                    blocked_by: unwind.blocked_by,
                })
                .collect(),
            breach: wire.breach,
        },
        Wire::RolloutTurnedForward(wire) => Body::RolloutTurnedForward {
            rollout: RolloutId(wire.rollout),
            wave: WaveIx(wire.wave),
            targets: wire.targets.into_iter().map(TargetId).collect(),
            all: wire.all,
        },
        Wire::RolloutHalted(wire) => {
            Body::RolloutHalted { rollout: RolloutId(wire.rollout), reason: wire.reason }
        }
        Wire::RolloutCompleted(wire) => Body::RolloutCompleted { rollout: RolloutId(wire.rollout) },
        Wire::RolloutRolledBack(wire) => {
            Body::RolloutRolledBack { rollout: RolloutId(wire.rollout) }
        }
        Wire::LegAssigned(wire) => Body::LegAssigned {
            rollout: RolloutId(wire.rollout),
            kind: leg_kind(wire.kind())?,
            target: TargetId(wire.target),
            agent: AgentId(wire.agent),
        },
        Wire::LeaseExpired(wire) => Body::LeaseExpired {
            rollout: RolloutId(wire.rollout),
            target: TargetId(wire.target),
            fence: Fence(wire.fence),
            why: wire.why,
            released: wire.released,
        },
        Wire::StepWaived(wire) => {
            Body::StepWaived { rollout: RolloutId(wire.rollout), waiver: waiver(wire.waiver)? }
        }
        Wire::StepRetried(wire) => Body::StepRetried {
            rollout: RolloutId(wire.rollout),
            target: TargetId(wire.target),
            attempt: wire.attempt,
            not_before: Millis(wire.not_before_ms),
        },
        Wire::ChangesFrozen(wire) => pace::frozen(wire),
        Wire::ChangesThawed(wire) => pace::thawed(wire),
        Wire::LanesCancelled(wire) => Body::LanesCancelled {
            rollout: RolloutId(wire.rollout),
            targets: wire.targets.into_iter().map(TargetId).collect(),
            reason: wire.reason,
            held: wire.held,
        },
        wire @ (Wire::RepairOrdered(_)
        | Wire::RepairAssigned(_)
        | Wire::RepairReleased(_)
        | Wire::TargetMended(_)
        | Wire::RepairFailed(_)
        | Wire::RepairWithdrawn(_)
        | Wire::EditAccepted(_)
        | Wire::TargetsRetried(_)
        | Wire::TargetsSkipped(_)) => super::repair::body(wire)?,
        wire @ (Wire::GatesOpened(_)
        | Wire::GateAsked(_)
        | Wire::GateReleased(_)
        | Wire::GatePassed(_)
        | Wire::BaselineTaken(_)
        | Wire::GateFailed(_)
        | Wire::GateBreached(_)) => super::super::gate::body(wire)?,
        Wire::ArrivalsSettled(wire) => super::late::body(wire)?,
        Wire::StepOverran(wire) => super::forecast::body(wire),
        wire @ (Wire::StepBackedUp(_)
        | Wire::StepApplied(_)
        | Wire::StepVerified(_)
        | Wire::StepFailed(_)
        | Wire::StepRolledBack(_)
        | Wire::StepStuck(_)
        | Wire::StepTried(_)
        | Wire::StepCancelled(_)) => step(wire)?,
    })
}

fn step(wire: Wire) -> Result<Body, Malformed> {
    Ok(match wire {
        Wire::StepBackedUp(wire) => Body::StepBackedUp {
            rollout: RolloutId(wire.rollout),
            target: TargetId(wire.target),
            fence: Fence(wire.fence),
            archive: Box::new(archive(required(wire.backup, "a backup")?)?),
            steps: wire.steps,
        },
        Wire::StepApplied(wire) => {
            let applied = required(wire.applied, "an applied step")?;
            Body::StepApplied {
                rollout: RolloutId(wire.rollout),
                target: TargetId(wire.target),
                fence: Fence(wire.fence),
                version: wire.version,
                step: StepIx(applied.step),
                ms: applied.ms,
                rows: applied.rows,
                already: applied.already,
                measured: measured::of_applied(&applied),
            }
        }
        Wire::StepVerified(wire) => {
            let verified = required(wire.verified, "a verified step")?;
            Body::StepVerified {
                rollout: RolloutId(wire.rollout),
                target: TargetId(wire.target),
                fence: Fence(wire.fence),
                version: wire.version,
                step: StepIx(verified.step),
                fingerprint: digest_option(&verified.fingerprint, "the schema fingerprint")?,
            }
        }
        Wire::StepFailed(wire) => {
            let failed = required(wire.failed, "a failed step")?;
            Body::StepFailed {
                rollout: RolloutId(wire.rollout),
                target: TargetId(wire.target),
                fence: Fence(wire.fence),
                version: wire.version,
                step: StepIx(failed.step),
                verdict: verdict(failed.verdict()),
                retryable: failed.retryable,
                message: failed.message,
                file: failed.file,
                line: failed.line,
            }
        }
        Wire::StepCancelled(wire) => {
            let failed = required(wire.failed, "a cancelled step")?;
            Body::StepCancelled {
                rollout: RolloutId(wire.rollout),
                target: TargetId(wire.target),
                fence: Fence(wire.fence),
                version: wire.version,
                step: StepIx(failed.step),
                verdict: verdict(failed.verdict()),
                message: failed.message,
            }
        }
        Wire::StepRolledBack(wire) => {
            let undone = required(wire.rolled_back, "an undone step")?;
            Body::StepRolledBack {
                rollout: RolloutId(wire.rollout),
                target: TargetId(wire.target),
                fence: Fence(wire.fence),
                version: wire.version,
                step: StepIx(undone.step),
                ms: undone.ms,
                already: undone.already,
                fingerprint: digest_option(&undone.fingerprint, "the schema fingerprint")?,
                measured: measured::of_undone(&undone),
            }
        }
        Wire::StepStuck(wire) => {
            let stuck = required(wire.stuck, "a stuck step")?;
            Body::StepStuck {
                rollout: RolloutId(wire.rollout),
                target: TargetId(wire.target),
                fence: Fence(wire.fence),
                version: wire.version,
                step: StepIx(stuck.step),
                why: stuck.why,
            }
        }
        Wire::StepTried(wire) => {
            let tried = required(wire.tried, "a tried step")?;
            Body::StepTried {
                rollout: RolloutId(wire.rollout),
                target: TargetId(wire.target),
                fence: Fence(wire.fence),
                version: wire.version,
                step: StepIx(tried.step),
                passed: tried.passed,
                impossible: tried.impossible,
                note: tried.note,
            }
        }
        _ => return Err(Malformed::new("an event about a step", "is of no kind known here")),
    })
}
