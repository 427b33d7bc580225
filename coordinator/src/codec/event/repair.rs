//! Events of repairs, from disk.

use skein_core::event::Body;
use skein_core::ids::{AgentId, Fence, Millis, RepairId, RolloutId, TargetId, Version};
use skein_proto::log::v1::event::Body as Wire;

use super::super::fleet::observation;
use super::super::repair::{digests, evidence_of, order};
use super::super::{Malformed, digest, required};

pub(super) fn body(wire: Wire) -> Result<Body, Malformed> {
    let targets = |ids: Vec<String>| ids.into_iter().map(TargetId).collect();
    Ok(match wire {
        Wire::RepairOrdered(wire) => Body::RepairOrdered {
            repair: RepairId(wire.repair),
            order: Box::new(order(required(wire.order, "what a repair does")?)?),
        },
        Wire::RepairAssigned(wire) => Body::RepairAssigned {
            repair: RepairId(wire.repair),
            target: TargetId(wire.target),
            agent: AgentId(wire.agent),
        },
        Wire::RepairReleased(wire) => Body::RepairReleased {
            repair: RepairId(wire.repair),
            target: TargetId(wire.target),
            fence: Fence(wire.fence),
            why: wire.why,
        },
        Wire::TargetMended(wire) => Body::TargetMended {
            repair: RepairId(wire.repair),
            target: TargetId(wire.target),
            fence: Fence(wire.fence),
            evidence: evidence_of(&wire.evidence)?,
            seen: Box::new(observation(required(wire.seen, "a repaired target")?)?),
            finding: wire.finding,
        },
        Wire::RepairFailed(wire) => Body::RepairFailed {
            repair: RepairId(wire.repair),
            target: TargetId(wire.target),
            fence: Fence(wire.fence),
            why: wire.why,
            doubt: wire.doubt,
        },
        Wire::RepairWithdrawn(wire) => {
            Body::RepairWithdrawn { repair: RepairId(wire.repair), reason: wire.reason }
        }
        Wire::EditAccepted(wire) => Body::EditAccepted {
            version: Version(wire.version),
            file: wire.file,
            ran: digests(&wire.ran, "the digest of a text that ran")?,
            now: digest(&wire.now, "a file's digest")?,
            normalised: digest(&wire.normalised, "a file's normalised digest")?,
            reason: wire.reason,
        },
        Wire::TargetsRetried(wire) => Body::TargetsRetried {
            rollout: RolloutId(wire.rollout),
            targets: targets(wire.targets),
        },
        Wire::TargetsSkipped(wire) => Body::TargetsSkipped {
            rollout: RolloutId(wire.rollout),
            targets: targets(wire.targets),
            reason: wire.reason,
            until: (wire.until_ms > 0).then_some(Millis(wire.until_ms)),
        },
        _ => return Err(Malformed::new("an event about a repair", "is of no kind known here")),
    })
}
