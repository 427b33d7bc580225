//! The first effect on a target comes after a durable backup event, or the recorded exemption. Where something of it
//! was taken back, what runs forward again comes after another one: the first is older than the undo. It names what
//! runs on it.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::event::{Body, LegKind};
use skein_core::ids::{RolloutId, TargetId};

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct BackupFirst {
    /// The steps that the last one was taken for.
    recorded: BTreeMap<(RolloutId, TargetId), Vec<String>>,
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
                match &event.body {
                    Body::StepBackedUp { rollout, target, steps, .. } => {
                        let key = (*rollout, target.clone());
                        self.old.remove(&key);
                        self.recorded.insert(key, steps.clone());
                    }
                    // It has another lane from here on.
                    Body::ArrivalsSettled { rollout, joined, .. } => {
                        for (target, ..) in joined {
                            self.recorded.remove(&(*rollout, target.clone()));
                        }
                    }
                    _ => {}
                }
                Ok(())
            }
            Seen::Effect(effect) => {
                let Some(grant) = past.grants.get(&effect.fence) else { return Ok(()) };
                let key = (grant.rollout, effect.target.clone());
                let (version, target, fence) =
                    (&effect.entry.version, &effect.target, effect.fence);
                let Some(steps) = self.recorded.get(&key) else {
                    return Err(format!(
                        "{version} on {target} under fence {fence} has no backup event of {}",
                        grant.rollout
                    ));
                };
                if grant.kind == LegKind::Forward && !steps.iter().any(|it| it == version.as_str())
                {
                    return Err(format!(
                        "{version} on {target} under fence {fence} runs on a backup of {} that was taken for {steps:?}",
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
