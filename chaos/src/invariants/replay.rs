//! Replaying the log from nothing gives the state.

use skein_core::evolve::evolve;
use skein_core::state::Fleet;

use super::{Held, Invariant, View};

#[derive(Debug)]
pub(super) struct Replay;

impl Invariant for Replay {
    fn sentence(&self) -> &'static str {
        "replaying the log from nothing gives the state"
    }

    fn end(&mut self, view: View<'_>) -> Held {
        let mut fleet = Fleet::default();
        for event in view.log {
            evolve(&mut fleet, event).map_err(|impossible| impossible.to_string())?;
        }
        if format!("{fleet:?}") == format!("{:?}", view.fleet) {
            Ok(())
        } else {
            Err(format!("the states behind event {} differ", fleet.seq))
        }
    }
}
