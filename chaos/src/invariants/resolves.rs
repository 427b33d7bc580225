//! After faults end no lease stays open: it comes to a result, or it is ended.

use std::collections::BTreeMap;

use skein_core::event::Body;
use skein_core::ids::{Fence, Millis, TargetId};

use super::{Held, Invariant, Past};
use crate::observation::Seen;

/// The length of a lease and thirty seconds more.
const LONGEST_MS: u64 = 40_000;

#[derive(Debug, Default)]
pub(super) struct Resolves {
    open: BTreeMap<Fence, (TargetId, Millis)>,
    healed: Option<Millis>,
}

impl Invariant for Resolves {
    fn sentence(&self) -> &'static str {
        "after faults end every lease comes to a result, or is ended, within its length and 30 s"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        match seen {
            Seen::Event(event) => {
                if let Body::LegAssigned { target, .. } | Body::RepairAssigned { target, .. } =
                    &event.body
                {
                    self.open.insert(Fence(event.seq.0), (target.clone(), event.at));
                }
                match self.healed {
                    Some(healed) => self.overdue(past, |since| {
                        since.max(healed).0.saturating_add(LONGEST_MS) < event.at.0
                    }),
                    None => Ok(()),
                }
            }
            Seen::Healed { at } => {
                self.healed = Some(at);
                Ok(())
            }
            Seen::End => self.overdue(past, |_| true),
            _ => Ok(()),
        }
    }
}

impl Resolves {
    fn overdue(&mut self, past: &Past, late: impl Fn(Millis) -> bool) -> Held {
        self.open.retain(|fence, (target, _)| {
            let target = past.fleet.target(target);
            let lease = target.and_then(|(_, target)| target.lease.as_ref());
            lease.is_some_and(|lease| lease.fence == *fence)
        });
        match self.open.iter().find(|(_, (_, since))| late(*since)) {
            Some((fence, (target, since))) => {
                Err(format!("fence {fence} on {target} is open since {since}"))
            }
            None => Ok(()),
        }
    }
}
