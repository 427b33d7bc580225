//! Where waves are cut by a label, each of them is of one value of it, and all of one value come before the next: with
//! what `waves` says of one wave after the other, no region begins before the one ahead of it is verified.

use std::collections::BTreeSet;

use skein_core::event::Body;
use skein_core::ids::{RolloutId, TargetId, WaveIx};
use skein_core::plan::Plan;
use skein_core::spec::Wave;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Regions;

/// Whether a target belongs to a part, by one of the labels that the strategy cuts by.
fn is_of(past: &Past, plan: &Plan, (target, part): (&TargetId, &str)) -> bool {
    let Some((_, known)) = past.fleet.target(target) else { return false };
    let mut labels = plan.spec.strategy.waves.iter().map(|wave| wave.per.as_str());
    labels.any(|label| match known.description.labels.get(label).filter(|it| !it.is_empty()) {
        Some(value) => value == part,
        None => !label.is_empty() && part == format!("without {label}"),
    })
}

fn planned(id: RolloutId, plan: &Plan, past: &Past) -> Held {
    for wave in plan.waves.iter().filter(|wave| !wave.part.is_empty()) {
        let stray = wave.targets.iter().find(|(it, _)| !is_of(past, plan, (it, &wave.part)));
        if let Some((target, _)) = stray {
            return Err(format!(
                "{target} is in `{}` of {id}, and not of {}",
                wave.name, wave.part
            ));
        }
    }
    let stages = plan.spec.strategy.waves.chunk_by(Wave::goes_with);
    let cut = stages.filter(|stage| stage.iter().any(|wave| !wave.per.is_empty())).count();
    if cut != 1 {
        return Ok(());
    }
    // Each stage goes through all of them.
    let parts = plan.waves.iter().map(|wave| (wave.stage, wave.part.as_str()));
    let mut gone = BTreeSet::new();
    let mut now = (0, "");
    for part in parts.filter(|(_, part)| !part.is_empty()) {
        if part != now && !gone.insert(part) {
            return Err(format!("{id} goes back to {} when it has left it", part.1));
        }
        now = part;
    }
    Ok(())
}

/// Whether no wave of the same stage comes after it.
pub(super) fn is_last_of_its_stage(plan: &Plan, wave: WaveIx) -> bool {
    let next = plan.wave(WaveIx(wave.0 + 1));
    next.is_none_or(|next| next.stage > plan.stage_of(wave))
}

fn joined(id: RolloutId, (target, wave): (&TargetId, WaveIx), past: &Past) -> Held {
    let Some(state) = past.fleet.rollouts.get(&id) else { return Ok(()) };
    // Whom no other wave takes is in the last one.
    let is_last = is_last_of_its_stage(&state.plan, wave);
    let Some(found) = state.plan.wave(wave).filter(|it| !it.part.is_empty() && !is_last) else {
        return Ok(());
    };
    if is_of(past, &state.plan, (target, &found.part)) {
        return Ok(());
    }
    Err(format!("{target} joined `{}` of {id}, and is not of {}", found.name, found.part))
}

impl Invariant for Regions {
    fn sentence(&self) -> &'static str {
        "where waves are cut by a label each is of one value, and one value is gone through after the other"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        match &event.body {
            Body::RolloutPlanned { rollout, plan, .. } => planned(*rollout, plan, past),
            Body::ArrivalsSettled { rollout, joined: all, .. } => {
                all.iter().try_for_each(|(target, wave, _)| joined(*rollout, (target, *wave), past))
            }
            _ => Ok(()),
        }
    }
}
