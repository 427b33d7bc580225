//! What is undone is undone in the exact reverse of how it was applied; what was never applied, or has
//! no way back, is never undone.

use skein_core::event::LegKind;
use skein_core::plan::Undo;

use super::plan_order::InForce;
use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct UndoOrder(InForce);

impl Invariant for UndoOrder {
    fn sentence(&self) -> &'static str {
        "only what was applied and has a way back is undone, in the exact reverse of its order"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Effect(effect) = seen else {
            self.0.follow(seen, past);
            return Ok(());
        };
        let way_back = |place: usize| {
            let (_, state) = past.granted(effect.fence)?;
            let lane = past.lane(state, &effect.target)?;
            Some(state.class(lane)?.steps.get(place)?.undo != Undo::Impossible)
        };
        match self.0.take(effect, past, LegKind::Undo) {
            Some((Some(place), _)) if way_back(place) == Some(false) => Err(format!(
                "{} was undone on {}, and nothing undoes it",
                effect.entry.version, effect.target
            )),
            Some((place, next)) if place.is_none() || place != next => Err(format!(
                "undoing {} on {} is step {place:?}, and {next:?} was next",
                effect.entry.version, effect.target
            )),
            Some(_) | None => Ok(()),
        }
    }
}
