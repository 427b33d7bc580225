//! The first effect on a target comes after a durable backup event, or the recorded exemption.

use std::collections::BTreeSet;

use skein_core::event::{Body, Event};
use skein_core::ids::{RolloutId, TargetId};

use super::{Held, Invariant, View};
use crate::model::database::Effect;

#[derive(Debug, Default)]
pub(super) struct BackupFirst {
    recorded: BTreeSet<(RolloutId, TargetId)>,
}

impl Invariant for BackupFirst {
    fn sentence(&self) -> &'static str {
        "the first effect on a target comes after its backup event"
    }

    fn event(&mut self, event: &Event, _view: View<'_>) -> Held {
        if let Body::StepBackedUp { rollout, target, .. } = &event.body {
            self.recorded.insert((*rollout, target.clone()));
        }
        Ok(())
    }

    fn effect(&mut self, effect: &Effect, view: View<'_>) -> Held {
        let Some(grant) = view.grants.get(&effect.fence) else { return Ok(()) };
        if self.recorded.contains(&(grant.rollout, effect.target.clone())) {
            return Ok(());
        }
        Err(format!(
            "{} on {} under fence {} has no backup event of {}",
            effect.entry.version, effect.target, effect.fence, grant.rollout
        ))
    }
}
