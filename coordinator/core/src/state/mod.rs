//! Everything that the cluster knows: the fold of the events. One noun a file.

pub mod agent;
pub mod edits;
pub mod freeze;
pub mod gate;
pub mod ledger;
pub mod measures;
pub mod repair;
pub mod requests;
pub mod rollout;
pub mod schemas;
pub mod sums;
pub mod tables;
pub mod target;
pub mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::bundle::Manifest;
use crate::ids::{
    AgentId, ClusterId, Digest, Fence, FreezeId, Incarnation, Millis, RepairId, RolloutId, Seq,
    TargetId, TargetIx,
};
use crate::policy::Policy;

/// The state. Only [`crate::evolve`] changes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Events applied: the sequence that the next one gets.
    pub seq: Seq,
    /// Time of the last event.
    pub time: Millis,
    /// `None` before the first event.
    pub cluster: Option<Cluster>,
    /// Events that carry the charter in force.
    pub under_charter: u64,
    /// By id.
    pub agents: BTreeMap<AgentId, agent::State>,
    /// What is migrated.
    pub targets: target::Table,
    /// By digest.
    pub bundles: BTreeMap<Digest, Arc<Manifest>>,
    /// For each up script ever stored: what of it runs. Tells a harmless edit from a real one.
    pub normalised: BTreeMap<Digest, Digest>,
    /// Versions and digests that ledgers are made of.
    pub entries: ledger::Entries,
    /// By number.
    pub rollouts: BTreeMap<RolloutId, rollout::State>,
    /// Those that may still have something to do.
    pub active: BTreeSet<RolloutId>,
    /// Which rollout carries a plan that was not started yet.
    pub planned: BTreeMap<Digest, RolloutId>,
    /// By number.
    pub repairs: BTreeMap<RepairId, repair::State>,
    /// Which schema belongs to which migrations in force, as legs have shown.
    pub schemas: schemas::Known,
    /// Edits of files after they were applied that somebody took responsibility for.
    pub edits: edits::Accepted,
    /// Changes that somebody froze and nobody has thawed, by number.
    pub freezes: BTreeMap<FreezeId, freeze::State>,
    /// Freezes ever declared.
    pub frozen: u32,
    /// How long steps and backups took.
    pub measures: measures::Measures,
    /// Accepted requests, for repeats.
    pub requests: requests::Window,
}

/// What was fixed when the cluster was formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub id: ClusterId,
    /// The constitutional hash: SHA-256 of the charter in force.
    pub charter: Digest,
    /// An identifier issued elsewhere for the same charter; may be empty.
    pub bound: String,
    /// What the charter demands; `None` until it has been read into the log.
    pub policy: Option<Policy>,
    /// The last time that it began again from a backup.
    pub restored: Option<Restored>,
}

/// A beginning from a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Which.
    pub incarnation: Incarnation,
    /// When the backup was taken: what came after that the log does not know.
    pub taken: Millis,
    /// When it was restored.
    pub at: Millis,
    /// Added to an assignment's sequence, it gives the fence.
    floor: u64,
}

impl Restored {
    /// From the event at `seq`, whose own fence is `fence`.
    pub(crate) fn new(
        incarnation: Incarnation,
        (taken, at): (Millis, Millis),
        (seq, fence): (Seq, Fence),
    ) -> Self {
        Self { incarnation, taken, at, floor: fence.0.saturating_sub(seq.0) }
    }
}

impl Fleet {
    /// A target that exists and is not retired.
    pub fn target(&self, id: &TargetId) -> Option<(TargetIx, &target::State)> {
        let ix = self.targets.find(id)?;
        self.targets.get(ix).filter(|target| !target.retired).map(|target| (ix, target))
    }

    /// The rollout that a target is part of now, with its lane there.
    pub fn lane(&self, target: TargetIx) -> Option<(&rollout::State, &rollout::Lane)> {
        let (rollout, lane) = self.targets.get(target)?.lane?;
        let rollout = self.rollouts.get(&rollout)?;
        rollout.lanes.get(lane).map(|lane| (rollout, lane))
    }

    /// What the charter in force demands.
    pub fn policy(&self) -> Policy {
        self.cluster.as_ref().and_then(|cluster| cluster.policy).unwrap_or_default()
    }

    /// The fence of a leg that the event at `seq` assigns.
    pub fn fence(&self, seq: Seq) -> Fence {
        let restored = self.cluster.as_ref().and_then(|cluster| cluster.restored.as_ref());
        Fence(seq.0.saturating_add(restored.map_or(0, |restored| restored.floor)))
    }

    /// The charter in force; all zero before the cluster is formed.
    pub fn charter(&self) -> Digest {
        self.cluster.as_ref().map(|cluster| cluster.charter).unwrap_or_default()
    }
}
