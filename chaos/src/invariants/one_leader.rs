//! A term has one leader, and a vote that is on a disk is not taken back.

use std::collections::BTreeMap;

use super::{Held, Invariant, Past};
use crate::observation::{Node, Seen};

#[derive(Debug, Default)]
pub(super) struct OneLeader {
    leaders: BTreeMap<u64, Node>,
    votes: BTreeMap<Node, (u64, Node)>,
}

impl Invariant for OneLeader {
    fn sentence(&self) -> &'static str {
        "a term has at most one leader, and a node's stored vote never goes back"
    }

    fn see(&mut self, seen: Seen<'_>, _past: &Past) -> Held {
        match seen {
            Seen::Leads { node, term } => match self.leaders.insert(term, node) {
                Some(other) if other != node => {
                    Err(format!("in term {term} node {other} led, and now {node} does"))
                }
                Some(_) | None => Ok(()),
            },
            Seen::Voted { node, term, candidate } => {
                match self.votes.insert(node, (term, candidate)) {
                    Some((before, _)) if before > term => {
                        Err(format!("node {node} went from term {before} back to {term}"))
                    }
                    Some((before, other)) if before == term && other != candidate => Err(format!(
                        "node {node} voted for {other} and for {candidate} in term {term}"
                    )),
                    Some(_) | None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
