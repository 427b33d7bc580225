//! Every event names who asked for it, and the charter in force.

use skein_core::event::Event;

use super::{Held, Invariant, View};

#[derive(Debug)]
pub(super) struct Principals;

impl Invariant for Principals {
    fn sentence(&self) -> &'static str {
        "every event names a principal and the charter in force"
    }

    fn event(&mut self, event: &Event, view: View<'_>) -> Held {
        if event.actor.is_empty() {
            return Err(format!("event {} names nobody", event.seq));
        }
        if event.charter != view.fleet.charter() {
            return Err(format!("event {} was made under another charter", event.seq));
        }
        Ok(())
    }
}
