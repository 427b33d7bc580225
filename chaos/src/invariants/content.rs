//! What runs is what was planned: the digest executed is the digest approved.

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Content;

impl Invariant for Content {
    fn sentence(&self) -> &'static str {
        "the digest executed is the digest planned"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Effect(effect) = seen else { return Ok(()) };
        let Some((grant, state)) = past.granted(effect.fence) else { return Ok(()) };
        let planned = past
            .lane(state, &effect.target)
            .and_then(|lane| state.class(lane))
            .is_some_and(|class| class.steps.iter().any(|step| step.entry == effect.entry));
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
