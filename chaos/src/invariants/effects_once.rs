//! A step takes effect once, and is undone once, before it may take effect again.

use std::collections::BTreeSet;

use skein_core::ids::Version;
use skein_core::spec::Direction;

use super::{Held, Invariant, View};
use crate::model::database::Effect;

#[derive(Debug, Default)]
pub(super) struct EffectsOnce {
    in_force: BTreeSet<(usize, Version)>,
}

impl Invariant for EffectsOnce {
    fn sentence(&self) -> &'static str {
        "each step has at most one effect on a target until it is undone"
    }

    fn effect(&mut self, effect: &Effect, _view: View<'_>) -> Held {
        if !effect.whole {
            return Ok(());
        }
        let key = (effect.database, effect.entry.version.clone());
        let fresh = match effect.script {
            Direction::Up => self.in_force.insert(key),
            Direction::Down => self.in_force.remove(&key),
            Direction::Validate => false,
        };
        if fresh {
            return Ok(());
        }
        Err(format!(
            "{:?} of {} ran on {} although it had run already (fence {})",
            effect.script, effect.entry.version, effect.target, effect.fence
        ))
    }
}
