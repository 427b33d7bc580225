//! Events, as they are on disk for ever.

use bytes::Bytes;
use prost::Message as _;
use skein_core::command::Waiver;
use skein_core::event::{Archive, Body, Event, LegKind, Unwind, Verdict};
use skein_core::ids::{AgentId, Fence, Millis, RolloutId, Seq, StepIx, TargetId, WaveIx};
use skein_core::policy::Policy;
use skein_proto::agent::v1 as session;
use skein_proto::log::v1 as log;
use skein_proto::log::v1::event::Body as Wire;
use skein_proto::v1;

use super::fleet::{description, description_out, observation, observation_out};
use super::manifest::{manifest, manifest_out};
use super::plan::{backup, backup_out, plan};
use super::{
    Malformed, cluster_id, digest, digest_option, digest_out, plan_out, request_id, required,
};

/// The bytes that are stored, hashed and kept.
pub(crate) fn encode(event: &Event) -> Bytes {
    let (request_id, request_digest) = match &event.request {
        Some((id, digest)) => (Bytes::copy_from_slice(&id.0), *digest),
        None => (Bytes::new(), 0),
    };
    let wire = log::Event {
        seq: event.seq.0,
        at_ms: event.at.0,
        actor: event.actor.clone(),
        charter: Bytes::copy_from_slice(&event.charter.0),
        request_id,
        request_digest,
        body: Some(body_out(&event.body)),
    };
    wire.encode_to_vec().into()
}

/// Reads stored bytes.
pub(crate) fn decode(bytes: &Bytes) -> Result<Event, Malformed> {
    let wire = log::Event::decode(bytes.clone())
        .map_err(|error| Malformed::new("an event", format!("cannot be read: {error}")))?;
    let request = request_id(&wire.request_id)?.map(|id| (id, wire.request_digest));
    let body = required(
        wire.body,
        "what happened, in an event (was it written by a newer release of skein?),",
    )?;
    Ok(Event {
        seq: Seq(wire.seq),
        at: Millis(wire.at_ms),
        actor: wire.actor,
        charter: digest(&wire.charter, "an event's charter")?,
        request,
        body: body_in(body)?,
    })
}

fn leg_kind(wire: session::LegKind) -> Result<LegKind, Malformed> {
    match wire {
        session::LegKind::Forward => Ok(LegKind::Forward),
        session::LegKind::Undo => Ok(LegKind::Undo),
        session::LegKind::Trial => Ok(LegKind::Trial),
        session::LegKind::Unspecified => Err(Malformed::new("a leg's kind", "is missing")),
    }
}

pub(crate) fn leg_kind_out(kind: LegKind) -> session::LegKind {
    match kind {
        LegKind::Forward => session::LegKind::Forward,
        LegKind::Undo => session::LegKind::Undo,
        LegKind::Trial => session::LegKind::Trial,
    }
}

pub(crate) fn verdict(wire: session::Verdict) -> Verdict {
    match wire {
        session::Verdict::Never => Verdict::Never,
        session::Verdict::Partly => Verdict::Partly,
        session::Verdict::Fully => Verdict::Fully,
        // Whoever cannot say does not know.
        session::Verdict::Unknown | session::Verdict::Unspecified => Verdict::Unknown,
    }
}

fn verdict_out(verdict: Verdict) -> session::Verdict {
    match verdict {
        Verdict::Never => session::Verdict::Never,
        Verdict::Partly => session::Verdict::Partly,
        Verdict::Fully => session::Verdict::Fully,
        Verdict::Unknown => session::Verdict::Unknown,
    }
}

pub(crate) fn archive(wire: session::BackedUp) -> Result<Archive, Malformed> {
    let scope = backup(wire.scope());
    Ok(Archive {
        name: wire.archive,
        sha256: digest_option(&wire.sha256, "an archive's digest")?.unwrap_or_default(),
        bytes: wire.bytes,
        tool: wire.tool,
        scope,
        ms: wire.ms,
        fingerprint: digest_option(&wire.fingerprint, "the schema fingerprint")?
            .unwrap_or_default(),
        exemption: wire.exemption,
    })
}

fn archive_out(archive: &Archive) -> session::BackedUp {
    session::BackedUp {
        archive: archive.name.clone(),
        sha256: digest_out(Some(archive.sha256)),
        bytes: archive.bytes,
        tool: archive.tool.clone(),
        scope: backup_out(archive.scope).into(),
        ms: archive.ms,
        fingerprint: digest_out(Some(archive.fingerprint)),
        exemption: archive.exemption.clone(),
    }
}

fn waiver(wire: Option<v1::Waiver>) -> Result<Waiver, Malformed> {
    let wire = required(wire, "a waiver")?;
    Ok(Waiver { step: wire.step, reason: wire.reason })
}

fn body_in(wire: Wire) -> Result<Body, Malformed> {
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
        Wire::TargetRetired(wire) => {
            Body::TargetRetired { target: TargetId(wire.target), reason: wire.reason }
        }
        Wire::BundleStored(wire) => Body::BundleStored { manifest: Box::new(manifest(wire)?) },
        Wire::RolloutPlanned(wire) => Body::RolloutPlanned {
            rollout: RolloutId(wire.rollout),
            id: digest(&wire.plan_id, "a plan's id")?,
            plan: Box::new(plan(required(wire.plan, "a plan")?)?),
        },
        Wire::RolloutStarted(wire) => Body::RolloutStarted { rollout: RolloutId(wire.rollout) },
        Wire::WaveStarted(wire) => {
            Body::WaveStarted { rollout: RolloutId(wire.rollout), wave: WaveIx(wire.wave) }
        }
        Wire::RolloutPaused(wire) => {
            Body::RolloutPaused { rollout: RolloutId(wire.rollout), reason: wire.reason }
        }
        Wire::RolloutResumed(wire) => Body::RolloutResumed { rollout: RolloutId(wire.rollout) },
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
        wire @ (Wire::StepBackedUp(_)
        | Wire::StepApplied(_)
        | Wire::StepVerified(_)
        | Wire::StepFailed(_)
        | Wire::StepRolledBack(_)
        | Wire::StepStuck(_)
        | Wire::StepTried(_)) => step_in(wire)?,
    })
}

fn step_in(wire: Wire) -> Result<Body, Malformed> {
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

fn body_out(body: &Body) -> Wire {
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
        Body::TargetRetired { target, reason } => Wire::TargetRetired(log::TargetRetired {
            target: target.to_string(),
            reason: reason.clone(),
        }),
        Body::BundleStored { manifest } => Wire::BundleStored(manifest_out(manifest)),
        Body::RolloutPlanned { rollout, id, plan } => Wire::RolloutPlanned(log::RolloutPlanned {
            rollout: rollout.0,
            plan_id: digest_out(Some(*id)),
            plan: Some(plan_out(plan)),
        }),
        Body::RolloutStarted { rollout } => {
            Wire::RolloutStarted(log::RolloutStarted { rollout: rollout.0 })
        }
        Body::WaveStarted { rollout, wave } => {
            Wire::WaveStarted(log::WaveStarted { rollout: rollout.0, wave: wave.0 })
        }
        Body::RolloutPaused { rollout, reason } => {
            Wire::RolloutPaused(log::RolloutPaused { rollout: rollout.0, reason: reason.clone() })
        }
        Body::RolloutResumed { rollout } => {
            Wire::RolloutResumed(log::RolloutResumed { rollout: rollout.0 })
        }
        Body::RollbackStarted { rollout, cause, targets } => {
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
        Body::StepApplied { rollout, target, fence, version, step, ms, rows, already } => {
            Wire::StepApplied(log::StepApplied {
                rollout: rollout.0,
                target: target.to_string(),
                fence: fence.0,
                version: version.clone(),
                applied: Some(session::Applied {
                    step: step.0,
                    ms: *ms,
                    rows: *rows,
                    already: *already,
                }),
            })
        }
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
