//! Everything that the cluster knows: the fold of the events. One noun a file.

pub mod agent;
pub mod ledger;
pub mod requests;
pub mod rollout;
pub mod target;

use std::collections::{BTreeMap, BTreeSet};

use crate::bundle::Manifest;
use crate::ids::{AgentId, ClusterId, Digest, Millis, RolloutId, Seq, TargetId, TargetIx};
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
    pub bundles: BTreeMap<Digest, Manifest>,
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

    /// The charter in force; all zero before the cluster is formed.
    pub fn charter(&self) -> Digest {
        self.cluster.as_ref().map(|cluster| cluster.charter).unwrap_or_default()
    }
}
