//! Nothing touches a target but under a lease that is durable in the log.

use super::{Held, Invariant, View};
use crate::model::database::Effect;

#[derive(Debug)]
pub(super) struct Grants;

impl Invariant for Grants {
    fn sentence(&self) -> &'static str {
        "a ledger row exists only where a durable assignment with its fence precedes it"
    }

    fn effect(&mut self, effect: &Effect, view: View<'_>) -> Held {
        match view.grants.get(&effect.fence) {
            Some(grant) if grant.target == effect.target => Ok(()),
            Some(grant) => Err(format!(
                "fence {} is of {}, and was used on {}",
                effect.fence, grant.target, effect.target
            )),
            None => Err(format!(
                "{} on {} ran under fence {}, which is not in the log",
                effect.entry.version, effect.target, effect.fence
            )),
        }
    }
}
