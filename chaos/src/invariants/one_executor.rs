//! After a greater fence has reached a target, nothing happens there under a lesser one.

use std::collections::BTreeMap;

use skein_core::ids::{Fence, TargetId};

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct OneExecutor {
    reached: BTreeMap<TargetId, Fence>,
}

impl Invariant for OneExecutor {
    fn sentence(&self) -> &'static str {
        "after a greater fence has reached a target no effect carries a lesser one"
    }

    fn see(&mut self, seen: Seen<'_>, _past: &Past) -> Held {
        let (target, fence) = match seen {
            Seen::Fence { target, new, .. } => (target, new),
            Seen::Effect(effect) => (&effect.target, effect.fence),
            Seen::Restored(database) => {
                self.reached.insert(database.target.clone(), database.fence);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let reached = self.reached.entry(target.clone()).or_default();
        let before = *reached;
        *reached = before.max(fence);
        match seen {
            Seen::Effect(effect) if before > fence => Err(format!(
                "{} on {target} ran under fence {fence}, and {before} was there before",
                effect.entry.version
            )),
            _ => Ok(()),
        }
    }
}
