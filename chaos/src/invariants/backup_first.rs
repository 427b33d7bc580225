//! The first effect on a target comes after a durable backup event, or the recorded exemption.

use std::collections::BTreeSet;

use skein_core::event::Body;
use skein_core::ids::{RolloutId, TargetId};

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct BackupFirst {
    recorded: BTreeSet<(RolloutId, TargetId)>,
}

impl Invariant for BackupFirst {
    fn sentence(&self) -> &'static str {
        "the first effect on a target comes after its backup event"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        match seen {
            Seen::Event(event) => {
                if let Body::StepBackedUp { rollout, target, .. } = &event.body {
                    self.recorded.insert((*rollout, target.clone()));
                }
                Ok(())
            }
            Seen::Effect(effect) => {
                let Some(grant) = past.grants.get(&effect.fence) else { return Ok(()) };
                if self.recorded.contains(&(grant.rollout, effect.target.clone())) {
                    return Ok(());
                }
                Err(format!(
                    "{} on {} under fence {} has no backup event of {}",
                    effect.entry.version, effect.target, effect.fence, grant.rollout
                ))
            }
            _ => Ok(()),
        }
    }
}
