//! Targets that come while a rollout is under way, from disk and to it.

use skein_core::event::Body;
use skein_core::ids::{ClassIx, RolloutId, TargetId, WaveIx};
use skein_core::plan::Class;
use skein_proto::log::v1 as log;

use super::super::Malformed;
use super::super::plan::{class, class_out};

pub(super) fn body(wire: log::ArrivalsSettled) -> Result<Body, Malformed> {
    let joined = wire.joined.into_iter();
    let awaited = wire.awaited.into_iter();
    Ok(Body::ArrivalsSettled {
        rollout: RolloutId(wire.rollout),
        classes: wire.classes.into_iter().map(class).collect::<Result<_, _>>()?,
        joined: joined
            .map(|it| (TargetId(it.target), WaveIx(it.wave), ClassIx(it.class)))
            .collect(),
        awaited: awaited.map(|it| (TargetId(it.target), it.why)).collect(),
        settled: wire.settled.into_iter().map(TargetId).collect(),
    })
}

pub(super) fn out(
    rollout: RolloutId,
    classes: &[Class],
    joined: &[(TargetId, WaveIx, ClassIx)],
    (awaited, settled): (&[(TargetId, String)], &[TargetId]),
) -> log::ArrivalsSettled {
    log::ArrivalsSettled {
        rollout: rollout.0,
        classes: classes.iter().map(class_out).collect(),
        joined: joined
            .iter()
            .map(|(target, wave, class)| log::ArrivalJoined {
                target: target.to_string(),
                wave: wave.0,
                class: class.0,
            })
            .collect(),
        awaited: awaited
            .iter()
            .map(|(target, why)| log::ArrivalAwaited {
                target: target.to_string(),
                why: why.clone(),
            })
            .collect(),
        settled: settled.iter().map(ToString::to_string).collect(),
    }
}
