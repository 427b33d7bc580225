//! Targets that come when a plan is under way, or was carried out: the same question, asked for one of them.

use std::collections::BTreeSet;

use super::make::Asked;
use super::{Class, throttles, up};
use crate::bundle::Manifest;
use crate::ids::Version;
use crate::refusal::{Kind, Refusal};
use crate::spec::{Direction, Spec};
use crate::state::Fleet;
use crate::state::ledger::Entry;
use crate::state::target;

/// Why nobody can look at a target; `None`: somebody has.
pub(crate) fn absent(target: &target::State) -> Option<String> {
    if target.is_seen() {
        return None;
    }
    Some(match target.problem.as_str() {
        "" => "nobody has looked at it yet".to_owned(),
        problem => problem.to_owned(),
    })
}

fn asked<'a>(
    fleet: &'a Fleet,
    spec: &'a Spec,
    target: &'a target::State,
) -> Result<Asked<'a>, Refusal> {
    let manifest: &Manifest = fleet.bundles.get(&spec.bundle).ok_or_else(|| {
        Refusal::new(
            Kind::Missing,
            format!("bundle {} is not stored", spec.bundle.short()),
            "store it: `skein plan` does so by itself",
        )
    })?;
    let engine = target.description.engine;
    Ok(Asked { fleet, spec, manifest, engine, example: &target.id })
}

/// Versions of a plan's question that a target lacks, whatever else it has.
///
/// # Errors
/// The question has no answer.
pub(crate) fn owes(
    fleet: &Fleet,
    spec: &Spec,
    target: &target::State,
) -> Result<Vec<Version>, Refusal> {
    if spec.direction != Direction::Up {
        return Ok(Vec::new());
    }
    let asked = asked(fleet, spec, target)?;
    let wanted = asked.manifest.migrations.iter().take(up::end(&asked)?);
    let has: BTreeSet<&Version> =
        fleet.entries.spell(target.in_force()).map(|entry| &entry.version).collect();
    let owed = wanted.map(|one| &one.version).filter(|version| !has.contains(version));
    Ok(owed.cloned().collect())
}

/// The class of a target: what is in force there, and what would be done.
///
/// # Errors
/// It is held, or in a state that no steps of the bundle lead on from.
pub(crate) fn class(fleet: &Fleet, spec: &Spec, target: &target::State) -> Result<Class, Refusal> {
    target.may_work(spec.accept_drift)?;
    throttles::fits(&spec.strategy, target)?;
    let asked = asked(fleet, spec, target)?;
    let before: Vec<Entry> = fleet.entries.spell(target.in_force()).cloned().collect();
    let steps = asked.steps(&before, &mut Vec::new())?;
    Ok(Class { engine: target.description.engine, before, steps, targets: 0 })
}
