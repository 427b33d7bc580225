//! What is known of an agent for good. Whether it is connected is the leader's to know, not the log's.

use std::collections::{BTreeMap, BTreeSet};

use super::rollout::Place;
use crate::ids::{Fence, RolloutId, TargetIx};

/// One agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Its release.
    pub version: String,
    /// Legs leased to it.
    pub legs: BTreeMap<Fence, TargetIx>,
    /// What it asks of waves now: the rollout, and the ask's number there.
    pub asks: BTreeMap<Fence, (RolloutId, u32)>,
    /// Targets that it serves.
    pub targets: u32,
    /// Targets whose ledgers wait to be repaired by it or another.
    pub mends: BTreeSet<TargetIx>,
    /// Lanes that may be leased to it, rollout by rollout.
    pub queues: BTreeMap<RolloutId, BTreeSet<Place>>,
}
