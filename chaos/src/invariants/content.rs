//! What runs is what was planned: the digest executed is the digest approved.

use super::{Held, Invariant, View};
use crate::model::database::Effect;

#[derive(Debug)]
pub(super) struct Content;

impl Invariant for Content {
    fn sentence(&self) -> &'static str {
        "the digest executed is the digest planned"
    }

    fn effect(&mut self, effect: &Effect, view: View<'_>) -> Held {
        let Some(grant) = view.grants.get(&effect.fence) else { return Ok(()) };
        let planned = view.fleet.rollouts.get(&grant.rollout).is_some_and(|state| {
            state
                .plan
                .classes
                .iter()
                .any(|class| class.steps.iter().any(|step| step.entry == effect.entry))
        });
        if planned {
            return Ok(());
        }
        Err(format!(
            "{} with digest {} on {} is not in the plan of {}",
            effect.entry.version,
            effect.entry.digest.short(),
            effect.target,
            grant.rollout
        ))
    }
}
