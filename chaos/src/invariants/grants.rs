//! Nothing touches a target but under a lease that is durable in the log.

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Grants;

impl Invariant for Grants {
    fn sentence(&self) -> &'static str {
        "a ledger row exists only where a durable assignment with its fence precedes it"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Effect(effect) = seen else { return Ok(()) };
        match past.grants.get(&effect.fence) {
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
