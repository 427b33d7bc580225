//! Where there is no transaction, an intent is written before the effect.

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Intents;

impl Invariant for Intents {
    fn sentence(&self) -> &'static str {
        "an effect outside of a transaction has an intent before it"
    }

    fn see(&mut self, seen: Seen<'_>, _past: &Past) -> Held {
        let Seen::Effect(effect) = seen else { return Ok(()) };
        if effect.intent || !effect.statements {
            return Ok(());
        }
        Err(format!("{} on {} had none", effect.entry.version, effect.target))
    }
}
