//! A node that could not write stops: it acknowledges nothing more until it was started again.

use std::collections::BTreeSet;

use super::{Held, Invariant, Past};
use crate::observation::{Node, Seen};

#[derive(Debug, Default)]
pub(super) struct FailStop {
    failed: BTreeSet<Node>,
}

impl Invariant for FailStop {
    fn sentence(&self) -> &'static str {
        "a node whose disk has failed acknowledges nothing until it is started again"
    }

    fn see(&mut self, seen: Seen<'_>, _past: &Past) -> Held {
        match seen {
            Seen::DiskFailed { node } => {
                self.failed.insert(node);
            }
            Seen::Started { node } => {
                self.failed.remove(&node);
            }
            Seen::Acked { node, before } if self.failed.contains(&node) => {
                return Err(format!("node {node} acknowledged all before event {before}"));
            }
            _ => {}
        }
        Ok(())
    }
}
