//! The cluster begins again from a backup.

use crate::event::Body;
use crate::ids::{Fence, Incarnation, Millis, RolloutId};
use crate::refusal::{Kind, Refusal};
use crate::state::Fleet;

pub(super) fn cluster(
    fleet: &Fleet,
    incarnation: Incarnation,
    fence: Fence,
    (taken, reason): (Millis, &str),
) -> Result<Vec<Body>, Refusal> {
    let known = fleet.cluster.as_ref().and_then(|cluster| cluster.restored.as_ref());
    if known.is_some_and(|known| known.incarnation == incarnation) {
        return Ok(Vec::new());
    }
    let next = fleet.fence(fleet.seq);
    if fence < next {
        return Err(Refusal::new(
            Kind::Invalid,
            format!("fence {fence} may have been given before: {next} is the next one"),
            "see whether this machine's clock is right",
        ));
    }
    Ok(vec![Body::ClusterRestored { incarnation, fence, taken, reason: reason.to_owned() }])
}

pub(super) fn halt(fleet: &Fleet, id: RolloutId, reason: &str) -> Result<Vec<Body>, Refusal> {
    let state = super::rollout(fleet, id)?;
    if !state.is_open() || state.leased() > 0 {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("{id} has ended, or somebody works on it"),
            format!("see `skein status {id}`"),
        ));
    }
    Ok(vec![Body::RolloutHalted { rollout: id, reason: reason.to_owned() }])
}
