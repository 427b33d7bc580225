//! What resuming a rollout would come to, for whoever asks before.

use skein_core::Fleet;
use skein_core::decide::{Resumption, Way, resumption};
use skein_core::ids::{RolloutId, TargetId};
use skein_core::refusal::Refusal;
use skein_proto::v1;
use v1::resumption_reply::Way as Wire;

pub(super) fn told(
    fleet: &Fleet,
    id: RolloutId,
    all: bool,
) -> Result<v1::ResumptionReply, Refusal> {
    let Resumption { way, waves, again, left_out } = resumption(fleet, id, all)?;
    let plan = fleet.rollouts.get(&id).map(|state| &state.plan);
    let words = |targets: Vec<TargetId>| targets.iter().map(ToString::to_string).collect();
    let (way, from_wave) = match way {
        Way::AsItIs => (Wire::AsItIs, 0),
        Way::On => (Wire::On, 0),
        Way::Back => (Wire::Back, 0),
        Way::Forward(wave) => (Wire::Forward, wave.0 + 1),
    };
    let waves = waves.into_iter().map(|(wave, targets)| {
        let planned = plan.and_then(|plan| plan.wave(wave));
        v1::ResumedWave {
            wave: wave.0 + 1,
            name: planned.map(|planned| planned.name.clone()).unwrap_or_default(),
            targets: words(targets),
            approval: planned.is_some_and(|planned| planned.approval),
        }
    });
    Ok(v1::ResumptionReply {
        rollout: id.to_string(),
        way: way.into(),
        from_wave,
        waves: waves.collect(),
        again: words(again),
        left_out: words(left_out),
    })
}
