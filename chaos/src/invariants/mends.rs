//! A ledger is set right only under a durable lease of its repair and under no lesser fence than the target
//! has; and the log says so only where the target's own ledger does.

use std::collections::BTreeMap;

use skein_core::event::Body;
use skein_core::ids::{Fence, TargetId};

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Mends {
    reached: BTreeMap<TargetId, Fence>,
}

impl Invariant for Mends {
    fn sentence(&self) -> &'static str {
        "a ledger is set right under its repair's lease, and the log says so only where it is"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        match seen {
            Seen::Fence { target, new, .. } => {
                let reached = self.reached.entry(target.clone()).or_default();
                *reached = new.max(*reached);
                Ok(())
            }
            Seen::Restored(database) => {
                self.reached.insert(database.target.clone(), database.fence);
                Ok(())
            }
            Seen::Mended(mended) => {
                let (target, fence) = (&mended.database.target, mended.fence);
                if past.mends.get(&fence) != Some(target) {
                    return Err(format!(
                        "the ledger of {target} was written under fence {fence}, which is no lease of \
                         a repair of it"
                    ));
                }
                match self.reached.get(target) {
                    Some(reached) if *reached > fence => Err(format!(
                        "the ledger of {target} was written under fence {fence}, and {reached} was \
                         there before"
                    )),
                    Some(_) | None => Ok(()),
                }
            }
            Seen::Event(event) => {
                let Body::TargetMended { target, seen, .. } = &event.body else { return Ok(()) };
                let is = past.ledgers.get(target).map_or(&[][..], Vec::as_slice);
                if seen.ledger == is {
                    return Ok(());
                }
                Err(format!(
                    "the ledger of {target} is {is:?}, and was told to be {:?}",
                    seen.ledger
                ))
            }
            _ => Ok(()),
        }
    }
}
