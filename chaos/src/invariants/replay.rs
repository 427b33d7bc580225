//! Replaying the log from nothing gives the state that every node has, however it came by it.

use skein_core::evolve::evolve;
use skein_core::state::Fleet;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Replay;

impl Invariant for Replay {
    fn sentence(&self) -> &'static str {
        "replaying the log from nothing gives the state of every node"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::State { node, fleet } = seen else { return Ok(()) };
        let same = if fleet.seq == past.fleet.seq {
            *fleet == past.fleet
        } else {
            let mut replayed = Fleet::default();
            let count = usize::try_from(fleet.seq.0).unwrap_or(usize::MAX);
            for event in past.log.iter().take(count) {
                evolve(&mut replayed, event).map_err(|impossible| impossible.to_string())?;
            }
            *fleet == replayed
        };
        if same {
            Ok(())
        } else {
            Err(format!("node {node} has another state before event {}", fleet.seq))
        }
    }
}
