//! Where there is no transaction, an intent is written before the effect.

use super::{Held, Invariant, View};
use crate::model::database::Effect;

#[derive(Debug)]
pub(super) struct Intents;

impl Invariant for Intents {
    fn sentence(&self) -> &'static str {
        "an effect outside of a transaction has an intent before it"
    }

    fn effect(&mut self, effect: &Effect, _view: View<'_>) -> Held {
        if effect.intent || !effect.statements {
            return Ok(());
        }
        Err(format!("{} on {} had none", effect.entry.version, effect.target))
    }
}
