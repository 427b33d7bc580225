//! Fences grow: over the log for each target, and in each target's own row.

use std::collections::BTreeMap;

use skein_core::event::{Body, Event};
use skein_core::ids::{Fence, TargetId};

use super::{Held, Invariant, View};

#[derive(Debug, Default)]
pub(super) struct Fences {
    last: BTreeMap<TargetId, Fence>,
}

impl Invariant for Fences {
    fn sentence(&self) -> &'static str {
        "fences strictly increase over the log, and a target's own fence never decreases"
    }

    fn event(&mut self, event: &Event, _view: View<'_>) -> Held {
        let Body::LegAssigned { target, .. } = &event.body else { return Ok(()) };
        let fence = Fence(event.seq.0);
        match self.last.insert(target.clone(), fence) {
            Some(old) if old >= fence => Err(format!("{target} got fence {fence} after {old}")),
            Some(_) | None => Ok(()),
        }
    }

    fn fence(&mut self, target: &TargetId, old: Fence, new: Fence) -> Held {
        if new >= old { Ok(()) } else { Err(format!("{target} went from fence {old} to {new}")) }
    }
}
