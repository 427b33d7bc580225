//! What is said of parts of a rollout, from disk and to it.

use skein_core::event::{Body, Stop};
use skein_core::ids::{RolloutId, TargetId, WaveIx};
use skein_core::spec::Part;
use skein_proto::log::v1 as log;
use skein_proto::log::v1::event::Body as Wire;
use skein_proto::v1;

use super::super::fleet::{selector, selector_out};

fn targets(wire: Vec<String>) -> Vec<TargetId> {
    wire.into_iter().map(TargetId).collect()
}

fn part(wire: Option<v1::Part>) -> Option<Part> {
    let part = |wire: v1::Part| Part {
        selector: selector(wire.selector),
        wave: wire.wave.checked_sub(1).map(WaveIx),
    };
    wire.map(part)
}

fn part_out(part: Option<&Part>) -> Option<v1::Part> {
    let out = |part: &Part| v1::Part {
        selector: Some(selector_out(&part.selector)),
        wave: part.wave.map_or(0, |wave| wave.0.saturating_add(1)),
    };
    part.map(out)
}

pub(super) fn held(wire: log::LanesHeld) -> Body {
    Body::LanesHeld {
        rollout: RolloutId(wire.rollout),
        targets: targets(wire.targets),
        reason: wire.reason,
        stop: match (wire.after_legs, wire.after_batch) {
            (true, _) => Stop::AfterLegs,
            (false, true) => Stop::BehindBatches,
            (false, false) => Stop::AfterSteps,
        },
        part: part(wire.part),
    }
}

pub(super) fn released(wire: log::LanesReleased) -> Body {
    let rollout = RolloutId(wire.rollout);
    Body::LanesReleased { rollout, targets: targets(wire.targets), part: part(wire.part) }
}

pub(super) fn aborted(wire: log::LanesAborted) -> Body {
    Body::LanesAborted {
        rollout: RolloutId(wire.rollout),
        targets: targets(wire.targets),
        reason: wire.reason,
        part: part(wire.part),
    }
}

pub(super) fn held_out(
    rollout: RolloutId,
    targets: &[TargetId],
    reason: &str,
    (stop, part): (Stop, Option<&Part>),
) -> Wire {
    Wire::LanesHeld(log::LanesHeld {
        rollout: rollout.0,
        targets: targets.iter().map(ToString::to_string).collect(),
        reason: reason.to_owned(),
        after_legs: stop == Stop::AfterLegs,
        after_batch: stop == Stop::BehindBatches,
        part: part_out(part),
    })
}

pub(super) fn released_out(rollout: RolloutId, targets: &[TargetId], part: Option<&Part>) -> Wire {
    Wire::LanesReleased(log::LanesReleased {
        rollout: rollout.0,
        targets: targets.iter().map(ToString::to_string).collect(),
        part: part_out(part),
    })
}

pub(super) fn aborted_out(
    rollout: RolloutId,
    targets: &[TargetId],
    reason: &str,
    part: Option<&Part>,
) -> Wire {
    Wire::LanesAborted(log::LanesAborted {
        rollout: rollout.0,
        targets: targets.iter().map(ToString::to_string).collect(),
        reason: reason.to_owned(),
        part: part_out(part),
    })
}
