//! The first effect on a target comes after a durable backup event, or the recorded exemption. Where something of it
//! was taken back, what runs forward again comes after another one: the first is older than the undo.

use std::collections::BTreeSet;

use skein_core::event::{Body, LegKind};
use skein_core::ids::{RolloutId, TargetId};

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct BackupFirst {
    recorded: BTreeSet<(RolloutId, TargetId)>,
    /// Something was undone since.
    old: BTreeSet<(RolloutId, TargetId)>,
}

impl Invariant for BackupFirst {
    fn sentence(&self) -> &'static str {
        "the first effect on a target, and the first after an undo, comes after its backup event"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        match seen {
            Seen::Event(event) => {
                if let Body::StepBackedUp { rollout, target, .. } = &event.body {
                    let key = (*rollout, target.clone());
                    self.old.remove(&key);
                    self.recorded.insert(key);
                }
                Ok(())
            }
            Seen::Effect(effect) => {
                let Some(grant) = past.grants.get(&effect.fence) else { return Ok(()) };
                let key = (grant.rollout, effect.target.clone());
                let (version, target, fence) =
                    (&effect.entry.version, &effect.target, effect.fence);
                if !self.recorded.contains(&key) {
                    return Err(format!(
                        "{version} on {target} under fence {fence} has no backup event of {}",
                        grant.rollout
                    ));
                }
                if grant.kind == LegKind::Undo {
                    self.old.insert(key);
                } else if self.old.contains(&key) {
                    return Err(format!(
                        "{version} on {target} under fence {fence} runs on a backup of {} from before its undo",
                        grant.rollout
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
