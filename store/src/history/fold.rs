//! What a run of frames adds up to, and whether the next frame belongs to it.

use super::frame::Frame;
use super::tree::{Tree, TreeHead, leaf_hash};
use crate::types::{LogId, NodeId, StoredMembership};

/// The state of a history after some frame.
#[derive(Debug, Clone, Default)]
pub(super) struct Fold {
    pub(super) tree: Tree,
    pub(super) last: Option<LogId>,
    pub(super) membership: StoredMembership,
    /// The highest number that any member ever had, removed ones too.
    pub(super) highest_node: NodeId,
}

/// Why a frame does not continue a history.
#[derive(Debug)]
pub(super) enum Misfit {
    OutOfOrder { index: u64, last: u64 },
    OtherRoot { index: u64, ours: TreeHead, theirs: TreeHead },
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OutOfOrder { index, last } => write!(f, "entry {index} follows entry {last}"),
            Self::OtherRoot { index, ours, theirs } => {
                write!(f, "entry {index} says {theirs}, but the events add up to {ours}")
            }
        }
    }
}

impl Fold {
    pub(super) fn head(&self) -> TreeHead {
        self.tree.head()
    }

    pub(super) fn check_order(&self, id: &LogId) -> Result<(), Misfit> {
        match &self.last {
            Some(last) if last.index >= id.index || last.leader_id > id.leader_id => {
                Err(Misfit::OutOfOrder { index: id.index, last: last.index })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Takes in a frame that was stored before. After an error this fold is of no further use.
    pub(super) fn accept(&mut self, frame: &Frame) -> Result<(), Misfit> {
        self.check_order(&frame.log_id)?;
        for event in &frame.events {
            self.tree.push(leaf_hash(event));
        }
        let ours = self.head();
        if ours != frame.head {
            let index = frame.log_id.index;
            return Err(Misfit::OtherRoot { index, ours, theirs: frame.head });
        }
        self.advance(frame);
        Ok(())
    }

    /// Moves on over a frame whose events are in the tree.
    pub(super) fn advance(&mut self, frame: &Frame) {
        if let Some(membership) = &frame.membership {
            let highest = membership.nodes().map(|(node, _)| *node).max().unwrap_or_default();
            self.highest_node = self.highest_node.max(highest);
            self.membership = StoredMembership::new(Some(frame.log_id), membership.clone());
        }
        self.last = Some(frame.log_id);
    }
}
