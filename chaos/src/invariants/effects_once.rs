//! A step takes effect once, and is undone once, before it may take effect again.

use std::collections::BTreeSet;

use skein_core::event::Body;
use skein_core::ids::{TargetId, Version};
use skein_core::spec::Direction;
use skein_core::state::ledger::Entry;

use super::{Held, Invariant, Past};
use crate::observation::{Mended, Seen};

#[derive(Debug, Default)]
pub(super) struct EffectsOnce {
    in_force: BTreeSet<(TargetId, Version)>,
    /// Begun, in that direction, and not finished.
    halves: BTreeSet<(TargetId, Version, bool)>,
    /// Targets whose ledger was seen before.
    known: BTreeSet<TargetId>,
}

impl EffectsOnce {
    /// In force on a target is this, and nothing else.
    fn settle(&mut self, target: &TargetId, ledger: &[Entry]) {
        self.in_force.retain(|(other, _)| other != target);
        self.halves.retain(|(other, _, _)| other != target);
        self.in_force.extend(ledger.iter().map(|entry| (target.clone(), entry.version.clone())));
    }
}

impl Invariant for EffectsOnce {
    fn sentence(&self) -> &'static str {
        "each step has at most one effect on a target until it is undone"
    }

    fn see(&mut self, seen: Seen<'_>, _past: &Past) -> Held {
        let effect = match seen {
            Seen::Effect(effect) => effect,
            Seen::Restored(database) | Seen::Mended(Mended { database, .. }) => {
                // A look that was taken before may be heard after.
                self.known.insert(database.target.clone());
                self.settle(&database.target, &database.ledger);
                return Ok(());
            }
            // What was in force before anybody came.
            Seen::Event(event) => {
                if let Body::TargetObserved { target, seen, .. } = &event.body
                    && self.known.insert(target.clone())
                {
                    self.settle(target, &seen.ledger);
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
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
