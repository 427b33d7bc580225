//! Whatever two nodes have applied at one place is the same.

use std::collections::BTreeMap;

use skein_core::ids::Digest;

use super::{Held, Invariant, Past};
use crate::observation::{Node, Seen};

#[derive(Debug, Default)]
pub(super) struct SameLog {
    roots: BTreeMap<u64, (Node, Digest)>,
}

impl Invariant for SameLog {
    fn sentence(&self) -> &'static str {
        "what two nodes have applied at one place of the log is the same, and so are their roots"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        match seen {
            Seen::Applied { node, event } => {
                let place = usize::try_from(event.seq.0).unwrap_or(usize::MAX);
                match past.log.get(place) {
                    Some(durable) if durable == event => Ok(()),
                    Some(_) => Err(format!("node {node} applied another event {}", event.seq)),
                    None => Err(format!("node {node} applied event {}, not durable", event.seq)),
                }
            }
            Seen::Root { node, len, root } => {
                let (first, known) = self.roots.entry(len).or_insert((node, root));
                if *known == root {
                    return Ok(());
                }
                Err(format!(
                    "behind {len} events node {node} has root {}, and node {first} {}",
                    root.short(),
                    known.short()
                ))
            }
            _ => Ok(()),
        }
    }
}
