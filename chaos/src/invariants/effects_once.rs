//! A step takes effect once, and is undone once, before it may take effect again.

use std::collections::BTreeSet;

use skein_core::ids::{TargetId, Version};
use skein_core::spec::Direction;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct EffectsOnce {
    in_force: BTreeSet<(TargetId, Version)>,
    /// Begun, in that direction, and not finished.
    halves: BTreeSet<(TargetId, Version, bool)>,
}

impl Invariant for EffectsOnce {
    fn sentence(&self) -> &'static str {
        "each step has at most one effect on a target until it is undone"
    }

    fn see(&mut self, seen: Seen<'_>, _past: &Past) -> Held {
        let Seen::Effect(effect) = seen else { return Ok(()) };
        let (target, version) = (effect.target.clone(), effect.entry.version.clone());
        let half = (target.clone(), version.clone(), effect.script == Direction::Down);
        if !effect.whole {
            return if self.halves.insert(half) {
                Ok(())
            } else {
                Err(format!("the first part of {version} ran on {target} a second time"))
            };
        }
        self.halves.remove(&half);
        let key = (target, version);
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
