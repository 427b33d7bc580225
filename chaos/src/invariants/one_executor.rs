//! After a greater fence has reached a target, nothing happens there under a lesser one.

use std::collections::BTreeMap;

use skein_core::ids::{Fence, TargetId};

use super::{Held, Invariant, View};
use crate::model::database::Effect;

#[derive(Debug, Default)]
pub(super) struct OneExecutor {
    reached: BTreeMap<TargetId, Fence>,
}

impl Invariant for OneExecutor {
    fn sentence(&self) -> &'static str {
        "after a greater fence has reached a target no effect carries a lesser one"
    }

    fn fence(&mut self, target: &TargetId, _old: Fence, new: Fence) -> Held {
        let reached = self.reached.entry(target.clone()).or_default();
        *reached = (*reached).max(new);
        Ok(())
    }

    fn effect(&mut self, effect: &Effect, _view: View<'_>) -> Held {
        match self.reached.get(&effect.target) {
            Some(reached) if *reached > effect.fence => Err(format!(
                "{} on {} ran under fence {}, and {reached} was there before",
                effect.entry.version, effect.target, effect.fence
            )),
            Some(_) | None => Ok(()),
        }
    }
}
