//! Who is frozen is not worked on: no leg of any rollout is leased on a target while a freeze means it.

use std::collections::BTreeMap;

use skein_core::event::Body;
use skein_core::ids::{FreezeId, Millis};
use skein_core::spec::Selector;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

/// Kept from the events: the state's own account is what is checked.
#[derive(Debug, Default)]
pub(super) struct Frozen {
    freezes: BTreeMap<FreezeId, (Selector, Option<Millis>)>,
}

impl Invariant for Frozen {
    fn sentence(&self) -> &'static str {
        "no leg is leased on a target that somebody froze"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        match &event.body {
            Body::ChangesFrozen { freeze, selector, until, reason: _ } => {
                self.freezes.insert(*freeze, (selector.clone(), *until));
            }
            Body::ChangesThawed { freezes, reason: _ } => {
                self.freezes.retain(|id, _| !freezes.contains(id));
            }
            Body::LegAssigned { rollout, target, .. } => {
                let Some((_, state)) = past.fleet.target(target) else { return Ok(()) };
                let means = self.freezes.iter().find(|(_, (selector, until))| {
                    until.is_none_or(|until| event.at < until)
                        && selector.names(target, &state.description)
                });
                if let Some((freeze, _)) = means {
                    return Err(format!(
                        "{target} was leased to {rollout} under {freeze} (event {})",
                        event.seq
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
