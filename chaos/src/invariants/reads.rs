//! A linearizable read shows whatever was acknowledged before it began, and nobody's reads go back.

use std::collections::BTreeMap;

use skein_core::ids::Seq;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Reads {
    acked: Seq,
    /// What a client's read has to show at the least.
    floors: BTreeMap<u32, Seq>,
}

impl Invariant for Reads {
    fn sentence(&self) -> &'static str {
        "a read begun after an acknowledgement reflects it, and a client's reads never go back"
    }

    fn see(&mut self, seen: Seen<'_>, _past: &Past) -> Held {
        match seen {
            Seen::Acked { before, .. } => self.acked = self.acked.max(before),
            Seen::ReadBegan { client } => {
                let floor = self.floors.entry(client).or_default();
                *floor = (*floor).max(self.acked);
            }
            Seen::ReadEnded { client, at } => {
                let floor = self.floors.entry(client).or_default();
                if at < *floor {
                    return Err(format!(
                        "client {client} read the state before event {at}, and had to see that before {floor}"
                    ));
                }
                *floor = at;
            }
            _ => {}
        }
        Ok(())
    }
}
