//! Refuses heavy steps that say nothing.

use crate::bundle::Manifest;
use crate::refusal::{Kind, Refusal};
use crate::spec::Strategy;

pub(super) fn check(strategy: &Strategy, manifest: &Manifest) -> Result<(), Refusal> {
    let heavy = &strategy.heavy;
    let wrong = |what: String, next: &str| Err(Refusal::new(Kind::Invalid, what, next));
    if heavy.steps.is_empty() != (heavy.per_group == 0) {
        let what = match heavy.steps.len() {
            0 => "heavy steps are limited, and none is named".to_owned(),
            _ => {
                "steps are named as heavy, and their number for each resource group is 0".to_owned()
            }
        };
        return wrong(what, "give both: `heavy = { steps = [\"7\"], per_group = 1 }`");
    }
    match heavy.steps.iter().find(|version| manifest.position(version).is_none()) {
        None => Ok(()),
        Some(version) => wrong(
            format!("version {version} is named as heavy, and the bundle does not have it"),
            "name versions as the plan shows them",
        ),
    }
}
