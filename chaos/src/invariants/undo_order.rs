//! What is undone is undone in the exact reverse of how it was applied; what was never applied is
//! never undone.

use skein_core::event::LegKind;

use super::plan_order::InForce;
use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct UndoOrder(InForce);

impl Invariant for UndoOrder {
    fn sentence(&self) -> &'static str {
        "steps are undone in the exact reverse of their order, and only what was applied"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Effect(effect) = seen else { return Ok(()) };
        match self.0.take(effect, past, LegKind::Undo) {
            Some((place, next)) if place.is_none() || place != next => Err(format!(
                "undoing {} on {} is step {place:?}, and {next:?} was next",
                effect.entry.version, effect.target
            )),
            Some(_) | None => Ok(()),
        }
    }
}
