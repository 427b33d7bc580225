//! Cluster, agents, targets, bundles.

use std::sync::Arc;

use super::{Impossible, target_ix};
use crate::bundle::Manifest;
use crate::ids::{AgentId, ClusterId, Digest, Millis, TargetId};
use crate::policy::Policy;
use crate::state::ledger::EntryIx;
use crate::state::target::{Description, Doubt, Observation, Seen};
use crate::state::{Cluster, Fleet, Restored};

pub(super) fn cluster_formed(
    fleet: &mut Fleet,
    id: ClusterId,
    charter: Digest,
    bound: &str,
) -> Result<(), Impossible> {
    if fleet.cluster.is_some() {
        return Err(Impossible("the cluster is formed a second time".to_owned()));
    }
    fleet.cluster =
        Some(Cluster { id, charter, bound: bound.to_owned(), policy: None, restored: None });
    Ok(())
}

pub(super) fn charter_adopted(fleet: &mut Fleet, policy: Policy) -> Result<(), Impossible> {
    match &mut fleet.cluster {
        Some(cluster) => {
            cluster.policy = Some(policy);
            Ok(())
        }
        None => Err(Impossible("a charter is adopted before the cluster is formed".to_owned())),
    }
}

/// Targets may have moved on since the backup was taken: nothing works on one before it was looked at.
pub(super) fn cluster_restored(fleet: &mut Fleet, restored: Restored) -> Result<(), Impossible> {
    let Some(cluster) = &mut fleet.cluster else {
        return Err(Impossible("a cluster is restored that was not formed".to_owned()));
    };
    cluster.restored = Some(restored);
    let known: Vec<_> = fleet.targets.iter().map(|(ix, _)| ix).collect();
    for ix in known {
        if let Some(mut target) = fleet.targets.get_mut(ix)
            && !target.retired
        {
            "nobody has looked at it since the cluster was restored from a backup"
                .clone_into(&mut target.problem);
            target.unreachable = true;
        }
    }
    Ok(())
}

pub(super) fn agent_joined(fleet: &mut Fleet, agent: &AgentId, version: &str) {
    version.clone_into(&mut fleet.agents.entry(agent.clone()).or_default().version);
}

pub(super) fn agent_left(fleet: &mut Fleet, agent: &AgentId) {
    fleet.agents.remove(agent);
    fleet.targets.left_by(agent);
}

pub(super) fn target_registered(
    fleet: &mut Fleet,
    agent: &AgentId,
    id: &TargetId,
    description: &Description,
) {
    let ix = match fleet.targets.find(id) {
        Some(ix) => ix,
        None => fleet.targets.insert(id, description.clone()),
    };
    let seq = fleet.seq;
    if let Some(mut target) = fleet.targets.get_mut(ix) {
        let known =
            target.description == *description && !target.retired && !target.agents.is_empty();
        if !known {
            target.since = seq;
        }
        target.retired = false;
    }
    fleet.targets.describe(ix, description);
    if fleet.targets.served_by(ix, agent) {
        fleet.agents.entry(agent.clone()).or_default().targets += 1;
        super::queue::joined(fleet, agent, ix);
        super::repair::joined(fleet, agent, ix);
    }
    super::late::came(fleet, ix);
}

pub(super) fn target_observed(
    fleet: &mut Fleet,
    at: Millis,
    id: &TargetId,
    seen: &Observation,
    finding: &str,
) -> Result<(), Impossible> {
    let ix = target_ix(fleet, id)?;
    let ledger: Vec<EntryIx> =
        seen.ledger.iter().map(|entry| fleet.entries.intern(entry)).collect();
    let Some(mut target) = fleet.targets.get_mut(ix) else {
        return Err(Impossible(format!("target {id} does not exist")));
    };
    target.engine_version.clone_from(&seen.engine_version);
    if seen.bytes > 0 {
        target.told.bytes = seen.bytes;
    }
    if let Some(tables) = &seen.tables {
        target.told.tables = Some(Arc::new(tables.clone()));
    }
    let first = target.observed_at.replace(at).is_none();
    // Logs of before have looks that raised no fence, and let nobody off.
    target.doubt = target.doubt.filter(|doubt| doubt.outlasts(seen));
    if target.doubt.is_none() || !finding.is_empty() {
        finding.clone_into(&mut target.problem);
    }
    target.unreachable = false;
    target.half = !seen.open_intent.is_empty();
    if first {
        target.ledger.clone_from(&ledger);
    }
    if finding.is_empty() {
        target.ledger = ledger;
        target.seen = None;
        target.fingerprint = Some(seen.fingerprint);
        let old = std::mem::replace(&mut target.identity, seen.identity.clone());
        drop(target);
        if old != seen.identity {
            fleet.targets.release_identity(&old, ix);
            fleet.targets.claim_identity(&seen.identity, ix);
        }
    } else {
        let (identity, fingerprint) = (seen.identity.clone(), seen.fingerprint);
        target.seen = Some(Seen { ledger, identity, fingerprint });
        drop(target);
    }
    super::late::came(fleet, ix);
    Ok(())
}

pub(super) fn target_unreachable(
    fleet: &mut Fleet,
    id: &TargetId,
    why: &str,
) -> Result<(), Impossible> {
    let ix = target_ix(fleet, id)?;
    if let Some(mut target) = fleet.targets.get_mut(ix) {
        target.problem = format!("its agent cannot look at it: {why}");
        target.unreachable = true;
    }
    Ok(())
}

pub(super) fn target_gone(
    fleet: &mut Fleet,
    agent: &AgentId,
    id: &TargetId,
) -> Result<(), Impossible> {
    let ix = target_ix(fleet, id)?;
    if !fleet.targets.given_up_by(ix, agent) {
        return Ok(());
    }
    if let Some(mut target) = fleet.targets.get_mut(ix)
        && target.agents.is_empty()
    {
        target.problem = format!("it is gone: agent {agent} served it last, and names it no more");
        target.unreachable = true;
    }
    if let Some(agent) = fleet.agents.get_mut(agent) {
        agent.targets = agent.targets.saturating_sub(1);
    }
    super::queue::left(fleet, agent, ix);
    super::repair::left(fleet, agent, ix);
    Ok(())
}

pub(super) fn target_retired(
    fleet: &mut Fleet,
    id: &TargetId,
    reason: &str,
) -> Result<(), Impossible> {
    let ix = target_ix(fleet, id)?;
    let identity = match fleet.targets.get_mut(ix) {
        Some(mut target) => {
            target.retired = true;
            target.problem = format!("retired: {reason}");
            target.observed_at = None;
            target.seen = None;
            target.unadopted = None;
            std::mem::take(&mut target.identity)
        }
        None => String::new(),
    };
    fleet.targets.release_identity(&identity, ix);
    super::late::retired(fleet, ix);
    Ok(())
}

pub(super) fn restore_started(
    fleet: &mut Fleet,
    id: &TargetId,
    archive: &str,
) -> Result<(), Impossible> {
    let ix = target_ix(fleet, id)?;
    let seq = fleet.seq;
    let now = fleet.fence(seq);
    if let Some(mut target) = fleet.targets.get_mut(ix) {
        target.worked_on = Some(seq);
        target.problem = format!("{archive} is being restored into it");
        target.doubt = Some(Doubt::Restore(now));
    }
    Ok(())
}

pub(super) fn bundle_stored(fleet: &mut Fleet, manifest: &Arc<Manifest>) {
    for migration in &manifest.migrations {
        fleet.normalised.insert(migration.up.raw, migration.up.normalised);
    }
    fleet.bundles.insert(manifest.digest, Arc::clone(manifest));
}
