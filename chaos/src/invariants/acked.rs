//! What was acknowledged is recorded, and stays recorded through every change of leader.

use skein_core::ids::Seq;

use super::{Held, Invariant, Past};
use crate::observation::{Node, Seen};

#[derive(Debug, Default)]
pub(super) struct Acked {
    before: Seq,
    by: Node,
}

impl Invariant for Acked {
    fn sentence(&self) -> &'static str {
        "what was acknowledged is in the log, in every later leader's and at the end in every node's"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        match seen {
            Seen::Acked { node, before } => {
                if before > self.before {
                    (self.before, self.by) = (before, node);
                }
                let durable = past.fleet.seq;
                if before > durable {
                    return Err(format!(
                        "node {node} acknowledged events before {before}, and the log ends at {durable}"
                    ));
                }
            }
            // A node that catches up has less; one that leads or has come to rest has not.
            Seen::State { node, fleet } if fleet.seq < self.before => {
                return Err(format!(
                    "node {node} ends at event {}, and node {} acknowledged all before {}",
                    fleet.seq, self.by, self.before
                ));
            }
            _ => {}
        }
        Ok(())
    }
}
