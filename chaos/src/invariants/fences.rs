//! Fences grow: over the log for each target, and in each target's own row.

use std::collections::BTreeMap;

use skein_core::event::Body;
use skein_core::ids::{Fence, TargetId};

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Fences {
    last: BTreeMap<TargetId, Fence>,
}

impl Invariant for Fences {
    fn sentence(&self) -> &'static str {
        "fences strictly increase over the log, and a target's own fence never decreases"
    }

    fn see(&mut self, seen: Seen<'_>, _past: &Past) -> Held {
        match seen {
            Seen::Event(event) => {
                let Body::LegAssigned { target, .. } = &event.body else { return Ok(()) };
                let fence = Fence(event.seq.0);
                match self.last.insert(target.clone(), fence) {
                    Some(old) if old >= fence => {
                        Err(format!("{target} got fence {fence} after {old}"))
                    }
                    Some(_) | None => Ok(()),
                }
            }
            Seen::Fence { target, old, new } if new < old => {
                Err(format!("{target} went from fence {old} to {new}"))
            }
            _ => Ok(()),
        }
    }
}
