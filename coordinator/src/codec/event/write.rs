//! To disk.

use bytes::Bytes;
use skein_core::event::{Body, Stop};
use skein_proto::agent::v1 as session;
use skein_proto::log::v1 as log;
use skein_proto::log::v1::event::Body as Wire;
use skein_proto::v1;

use super::super::fleet::{description_out, observation_out, selector_out};
use super::super::gate::{judged_out, target_out};
use super::super::manifest::manifest_out;
use super::super::plan::{backup_out, knob_out};
use super::super::repair::{digests_out, evidence_out, order_out};
use super::super::{digest_out, plan_out, quantiles_out};
use super::{archive_out, leg_kind_out, verdict_out};

pub(super) fn body(body: &Body) -> Wire {
    match body {
        Body::ClusterFormed { cluster, charter, bound } => {
            Wire::ClusterFormed(log::ClusterFormed {
                cluster_id: Bytes::copy_from_slice(&cluster.0),
                charter: digest_out(Some(*charter)),
                bound: bound.clone(),
            })
        }
        Body::CharterAdopted { policy, text } => Wire::CharterAdopted(log::CharterAdopted {
            least_backup: backup_out(policy.least_backup).into(),
            refuse_irreversible: policy.refuse_irreversible,
            text: text.clone(),
        }),
        Body::ClusterRestored { incarnation, fence, taken, reason } => {
            Wire::ClusterRestored(log::ClusterRestored {
                incarnation: Bytes::copy_from_slice(&incarnation.0),
                fence: fence.0,
                taken_ms: taken.0,
                reason: reason.clone(),
            })
        }
        Body::AgentJoined { agent, version } => Wire::AgentJoined(log::AgentJoined {
            agent: agent.to_string(),
            version: version.clone(),
        }),
        Body::AgentLeft { agent } => Wire::AgentLeft(log::AgentLeft { agent: agent.to_string() }),
        Body::TargetRegistered { agent, target, description } => {
            Wire::TargetRegistered(log::TargetRegistered {
                agent: agent.to_string(),
                target: Some(description_out(target, description)),
            })
        }
        Body::TargetObserved { agent, target, seen, finding } => {
            Wire::TargetObserved(log::TargetObserved {
                target: target.to_string(),
                agent: agent.to_string(),
                observation: Some(observation_out(seen)),
                finding: finding.clone(),
            })
        }
        Body::TargetUnreachable { agent, target, why } => {
            Wire::TargetUnreachable(log::TargetUnreachable {
                target: target.to_string(),
                agent: agent.to_string(),
                why: why.clone(),
            })
        }
        Body::TargetGone { agent, target } => Wire::TargetGone(log::TargetGone {
            agent: agent.to_string(),
            target: target.to_string(),
        }),
        Body::TargetRetired { target, reason } => Wire::TargetRetired(log::TargetRetired {
            target: target.to_string(),
            reason: reason.clone(),
        }),
        Body::RestoreStarted { target, archive, reason } => {
            Wire::RestoreStarted(log::RestoreStarted {
                target: target.to_string(),
                archive: archive.clone(),
                reason: reason.clone(),
            })
        }
        Body::BundleStored { manifest } => Wire::BundleStored(manifest_out(manifest)),
        Body::RolloutPlanned { rollout, id, plan } => {
            let planned = log::RolloutPlanned {
                rollout: rollout.0,
                plan_id: digest_out(Some(*id)),
                plan: Some(plan_out(plan)),
            };
            if plan.stages.is_empty() {
                Wire::RolloutPlanned(planned)
            } else {
                Wire::RolloutPlannedInStages(planned)
            }
        }
        Body::RolloutStarted { rollout } => {
            Wire::RolloutStarted(log::RolloutStarted { rollout: rollout.0 })
        }
        Body::WaveStarted { rollout, wave } => {
            Wire::WaveStarted(log::WaveStarted { rollout: rollout.0, wave: wave.0 })
        }
        Body::RolloutPaused { rollout, reason, stop } => Wire::RolloutPaused(log::RolloutPaused {
            rollout: rollout.0,
            reason: reason.clone(),
            after_steps: match stop {
                Stop::AfterLegs => false,
                Stop::AfterSteps | Stop::BehindBatches => true,
            },
            after_batch: *stop == Stop::BehindBatches,
        }),
        Body::RolloutAborted { rollout, reason } => {
            Wire::RolloutAborted(log::RolloutAborted { rollout: rollout.0, reason: reason.clone() })
        }
        Body::WaveVerified { rollout, wave } => {
            Wire::WaveVerified(log::WaveVerified { rollout: rollout.0, wave: wave.0 })
        }
        Body::WaveSoaked { rollout, wave } => {
            Wire::WaveSoaked(log::WaveSoaked { rollout: rollout.0, wave: wave.0 })
        }
        Body::WaveApproved { rollout, wave, reason } => Wire::WaveApproved(log::WaveApproved {
            rollout: rollout.0,
            wave: wave.0,
            reason: reason.clone(),
        }),
        Body::KnobSet { rollout, knob } => {
            Wire::KnobSet(log::KnobSet { rollout: rollout.0, knob: Some(knob_out(knob)) })
        }
        Body::LanesHeld { rollout, targets, reason, stop, part } => {
            super::part::held_out(*rollout, targets, reason, (*stop, part.as_ref()))
        }
        Body::LanesReleased { rollout, targets, part } => {
            super::part::released_out(*rollout, targets, part.as_ref())
        }
        Body::LanesAborted { rollout, targets, reason, part } => {
            super::part::aborted_out(*rollout, targets, reason, part.as_ref())
        }
        Body::RequestSettled { rollout } => {
            Wire::RequestSettled(log::RequestSettled { rollout: rollout.0 })
        }
        Body::RolloutResumed { rollout } => {
            Wire::RolloutResumed(log::RolloutResumed { rollout: rollout.0 })
        }
        Body::RolloutTurnedForward { rollout, wave, targets, all } => {
            Wire::RolloutTurnedForward(log::RolloutTurnedForward {
                rollout: rollout.0,
                wave: wave.0,
                targets: targets.iter().map(ToString::to_string).collect(),
                all: *all,
            })
        }
        Body::RollbackStarted { rollout, cause, targets, breach } => {
            Wire::RollbackStarted(log::RollbackStarted {
                rollout: rollout.0,
                cause: cause.clone(),
                targets: targets
                    .iter()
                    .map(|unwind| log::UnwindTarget {
                        target: unwind.target.to_string(),
                        keep: unwind.keep,
                        blocked_by: unwind.blocked_by.clone(),
                    })
                    .collect(),
                breach: *breach,
            })
        }
        Body::RolloutHalted { rollout, reason } => {
            Wire::RolloutHalted(log::RolloutHalted { rollout: rollout.0, reason: reason.clone() })
        }
        Body::RolloutCompleted { rollout } => {
            Wire::RolloutCompleted(log::RolloutCompleted { rollout: rollout.0 })
        }
        Body::RolloutRolledBack { rollout } => {
            Wire::RolloutRolledBack(log::RolloutRolledBack { rollout: rollout.0 })
        }
        Body::RepairOrdered { repair, order } => Wire::RepairOrdered(log::RepairOrdered {
            repair: repair.0,
            order: Some(order_out(order)),
        }),
        Body::RepairAssigned { repair, target, agent } => {
            Wire::RepairAssigned(log::RepairAssigned {
                repair: repair.0,
                target: target.to_string(),
                agent: agent.to_string(),
            })
        }
        Body::RepairReleased { repair, target, fence, why } => {
            Wire::RepairReleased(log::RepairReleased {
                repair: repair.0,
                target: target.to_string(),
                fence: fence.0,
                why: why.clone(),
            })
        }
        Body::TargetMended { repair, target, fence, seen, evidence, finding } => {
            Wire::TargetMended(log::TargetMended {
                repair: repair.0,
                target: target.to_string(),
                fence: fence.0,
                seen: Some(observation_out(seen)),
                evidence: evidence.iter().map(|one| evidence_out(*one).into()).collect(),
                finding: finding.clone(),
            })
        }
        Body::RepairFailed { repair, target, fence, why, doubt } => {
            Wire::RepairFailed(log::RepairFailed {
                repair: repair.0,
                target: target.to_string(),
                fence: fence.0,
                why: why.clone(),
                doubt: *doubt,
            })
        }
        Body::RepairWithdrawn { repair, reason } => {
            Wire::RepairWithdrawn(log::RepairWithdrawn { repair: repair.0, reason: reason.clone() })
        }
        Body::EditAccepted { version, file, ran, now, normalised, reason } => {
            Wire::EditAccepted(log::EditAccepted {
                version: version.to_string(),
                file: file.clone(),
                ran: digests_out(ran),
                now: digest_out(Some(*now)),
                normalised: digest_out(Some(*normalised)),
                reason: reason.clone(),
            })
        }
        Body::TargetsRetried { rollout, targets } => Wire::TargetsRetried(log::TargetsRetried {
            rollout: rollout.0,
            targets: targets.iter().map(ToString::to_string).collect(),
        }),
        Body::TargetsSkipped { rollout, targets, reason, until } => {
            Wire::TargetsSkipped(log::TargetsSkipped {
                rollout: rollout.0,
                targets: targets.iter().map(ToString::to_string).collect(),
                reason: reason.clone(),
                until_ms: until.map_or(0, |until| until.0),
            })
        }
        Body::GatesOpened { rollout, wave } => {
            Wire::GatesOpened(log::GatesOpened { rollout: rollout.0, wave: wave.0 })
        }
        Body::GateAsked { rollout, wave, gate, ask, target, agent, for_ms } => {
            Wire::GateAsked(log::GateAsked {
                rollout: rollout.0,
                wave: wave.0,
                gate: gate.clone(),
                ask: *ask,
                target: target_out(target.as_ref()),
                agent: agent.to_string(),
                for_ms: *for_ms,
            })
        }
        Body::GateReleased { rollout, ask, agent, fence, why } => {
            Wire::GateReleased(log::GateReleased {
                rollout: rollout.0,
                ask: *ask,
                agent: agent.to_string(),
                fence: fence.0,
                why: why.clone(),
            })
        }
        Body::BaselineTaken { rollout, target, fence, gate, queries } => {
            Wire::BaselineTaken(log::BaselineTaken {
                rollout: rollout.0,
                target: target.to_string(),
                fence: fence.0,
                gate: gate.clone(),
                queries: quantiles_out(queries),
            })
        }
        Body::GatePassed { judged } => Wire::GatePassed(judged_out(judged)),
        Body::GateFailed { judged } => Wire::GateFailed(judged_out(judged)),
        Body::GateBreached { judged } => Wire::GateBreached(judged_out(judged)),
        Body::ChangesFrozen { freeze, selector, until, reason } => {
            Wire::ChangesFrozen(log::ChangesFrozen {
                freeze: freeze.0,
                selector: Some(selector_out(selector)),
                until_ms: until.map_or(0, |until| until.0),
                reason: reason.clone(),
            })
        }
        Body::ChangesThawed { freezes, reason } => Wire::ChangesThawed(log::ChangesThawed {
            freezes: freezes.iter().map(|freeze| freeze.0).collect(),
            reason: reason.clone(),
        }),
        Body::LanesCancelled { rollout, targets, reason, held } => {
            Wire::LanesCancelled(log::LanesCancelled {
                rollout: rollout.0,
                targets: targets.iter().map(ToString::to_string).collect(),
                reason: reason.clone(),
                held: *held,
            })
        }
        Body::StepCancelled { rollout, target, fence, version, step, verdict, message } => {
            Wire::StepCancelled(log::StepCancelled {
                rollout: rollout.0,
                target: target.to_string(),
                fence: fence.0,
                version: version.clone(),
                failed: Some(session::Failed {
                    step: step.0,
                    verdict: verdict_out(*verdict).into(),
                    message: message.clone(),
                    cancelled: true,
                    ..session::Failed::default()
                }),
            })
        }
        Body::ArrivalsSettled { rollout, classes, joined, awaited, settled } => {
            let others = (awaited.as_slice(), settled.as_slice());
            Wire::ArrivalsSettled(super::late::out(*rollout, classes, joined, others))
        }
        Body::LegAssigned { rollout, target, agent, kind } => Wire::LegAssigned(log::LegAssigned {
            rollout: rollout.0,
            target: target.to_string(),
            agent: agent.to_string(),
            kind: leg_kind_out(*kind).into(),
        }),
        Body::LeaseExpired { rollout, target, fence, why, released } => {
            Wire::LeaseExpired(log::LeaseExpired {
                rollout: rollout.0,
                target: target.to_string(),
                fence: fence.0,
                why: why.clone(),
                released: *released,
            })
        }
        Body::StepWaived { rollout, waiver } => Wire::StepWaived(log::StepWaived {
            rollout: rollout.0,
            waiver: Some(v1::Waiver { step: waiver.step.clone(), reason: waiver.reason.clone() }),
        }),
        Body::StepRetried { rollout, target, attempt, not_before } => {
            Wire::StepRetried(log::StepRetried {
                rollout: rollout.0,
                target: target.to_string(),
                attempt: *attempt,
                not_before_ms: not_before.0,
            })
        }
        Body::StepBackedUp { rollout, target, fence, archive, steps } => {
            Wire::StepBackedUp(log::StepBackedUp {
                rollout: rollout.0,
                target: target.to_string(),
                fence: fence.0,
                backup: Some(archive_out(archive)),
                steps: steps.clone(),
            })
        }
        Body::StepApplied {
            rollout,
            target,
            fence,
            version,
            step,
            ms,
            rows,
            already,
            measured,
        } => Wire::StepApplied(log::StepApplied {
            rollout: rollout.0,
            target: target.to_string(),
            fence: fence.0,
            version: version.clone(),
            applied: Some(session::Applied {
                step: step.0,
                ms: *ms,
                rows: *rows,
                already: *already,
                waited_ms: measured.waited_ms,
                resumed: measured.resumed,
                written_bytes: measured.written,
                locked_ms: measured.locked_ms,
                touched_rows: measured.touched,
            }),
        }),
        Body::StepOverran { overrun } => Wire::StepOverran(super::forecast::out(overrun)),
        Body::StepVerified { rollout, target, fence, version, step, fingerprint } => {
            Wire::StepVerified(log::StepVerified {
                rollout: rollout.0,
                target: target.to_string(),
                fence: fence.0,
                version: version.clone(),
                verified: Some(session::Verified {
                    step: step.0,
                    fingerprint: digest_out(*fingerprint),
                }),
            })
        }
        Body::StepFailed {
            rollout,
            target,
            fence,
            version,
            step,
            verdict,
            retryable,
            message,
            file,
            line,
        } => Wire::StepFailed(log::StepFailed {
            rollout: rollout.0,
            target: target.to_string(),
            fence: fence.0,
            version: version.clone(),
            failed: Some(session::Failed {
                step: step.0,
                verdict: verdict_out(*verdict).into(),
                retryable: *retryable,
                message: message.clone(),
                file: file.clone(),
                line: *line,
                cancelled: false,
            }),
        }),
        Body::StepRolledBack {
            rollout,
            target,
            fence,
            version,
            step,
            ms,
            already,
            fingerprint,
            measured,
        } => Wire::StepRolledBack(log::StepRolledBack {
            rollout: rollout.0,
            target: target.to_string(),
            fence: fence.0,
            version: version.clone(),
            rolled_back: Some(session::RolledBack {
                step: step.0,
                ms: *ms,
                already: *already,
                fingerprint: digest_out(*fingerprint),
                waited_ms: measured.waited_ms,
                resumed: measured.resumed,
                written_bytes: measured.written,
                locked_ms: measured.locked_ms,
                touched_rows: measured.touched,
            }),
        }),
        Body::StepStuck { rollout, target, fence, version, step, why } => {
            Wire::StepStuck(log::StepStuck {
                rollout: rollout.0,
                target: target.to_string(),
                fence: fence.0,
                version: version.clone(),
                stuck: Some(session::Stuck { step: step.0, why: why.clone() }),
            })
        }
        Body::StepTried { rollout, target, fence, version, step, passed, impossible, note } => {
            Wire::StepTried(log::StepTried {
                rollout: rollout.0,
                target: target.to_string(),
                fence: fence.0,
                version: version.clone(),
                tried: Some(session::Tried {
                    step: step.0,
                    passed: *passed,
                    note: note.clone(),
                    impossible: *impossible,
                }),
            })
        }
    }
}
