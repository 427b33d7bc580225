//! Cluster, agents, targets, bundles.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::target;
use crate::bundle::Manifest;
use crate::event::Body;
use crate::ids::{AgentId, ClusterId, Digest, Seq, TargetId};
use crate::plan;
use crate::policy::Policy;
use crate::refusal::{Kind, Refusal};
use crate::state::Fleet;
use crate::state::tables::Tables;
use crate::state::target::{Description, Doubt, Observation, State};

pub(super) fn form(
    fleet: &Fleet,
    cluster: ClusterId,
    charter: Digest,
    bound: &str,
) -> Result<Vec<Body>, Refusal> {
    match &fleet.cluster {
        None => Ok(vec![Body::ClusterFormed { cluster, charter, bound: bound.to_owned() }]),
        Some(formed) if formed.charter == charter => Ok(Vec::new()),
        Some(formed) => Err(Refusal::new(
            Kind::Denied,
            format!(
                "the cluster was formed under charter {}, and this node is configured with {}",
                formed.charter.short(),
                charter.short()
            ),
            "give the node the charter file that the cluster was formed with",
        )),
    }
}

pub(super) fn adopt(fleet: &Fleet, policy: Policy, text: &str) -> Vec<Body> {
    let known = fleet.cluster.as_ref().is_some_and(|cluster| cluster.policy.is_some());
    if known { Vec::new() } else { vec![Body::CharterAdopted { policy, text: text.to_owned() }] }
}

pub(super) fn join(
    fleet: &Fleet,
    agent: &AgentId,
    version: &str,
    (targets, whole): (&[(TargetId, Description)], bool),
) -> Vec<Body> {
    let mut bodies = Vec::new();
    if fleet.agents.get(agent).is_none_or(|known| known.version != version) {
        bodies.push(Body::AgentJoined { agent: agent.clone(), version: version.to_owned() });
    }
    for (id, description) in targets {
        let known = fleet.target(id).is_some_and(|(_, target)| {
            target.agents.contains(agent) && target.description == *description
        });
        if !known {
            bodies.push(Body::TargetRegistered {
                agent: agent.clone(),
                target: id.clone(),
                description: description.clone(),
            });
        }
    }
    if whole {
        let named: BTreeSet<&TargetId> = targets.iter().map(|(id, _)| id).collect();
        let served = fleet.targets.iter().map(|(_, target)| target);
        let gone = served.filter(|target| {
            !target.retired && target.agents.contains(agent) && !named.contains(&target.id)
        });
        bodies.extend(
            gone.map(|target| Body::TargetGone { agent: agent.clone(), target: target.id.clone() }),
        );
    }
    bodies
}

pub(super) fn observe(
    fleet: &Fleet,
    agent: &AgentId,
    id: &TargetId,
    (seen, as_of): (&Result<Observation, String>, Option<Seq>),
) -> Result<Vec<Body>, Refusal> {
    let (_, target) = target(fleet, id)?;
    // Who does not serve it any more, and looked before, would bring it back.
    if !target.agents.contains(agent) {
        return Ok(Vec::new());
    }
    // Under a lease, or between the legs of a rollout, the reports tell more than a look from aside.
    if target.lease.is_some() || target.lane.is_some() {
        return Ok(Vec::new());
    }
    // Whoever looked before that, and is heard late, saw what is not there any more.
    if as_of.is_some_and(|as_of| target.worked_on.is_some_and(|worked_on| as_of <= worked_on)) {
        return Err(Refusal::new(
            Kind::Stale,
            format!("target {id} was worked on since the look began"),
            "look again",
        ));
    }
    let seen = match seen {
        Err(why) => {
            let known = target.problem.ends_with(why.as_str());
            return Ok(if known {
                Vec::new()
            } else {
                vec![Body::TargetUnreachable {
                    agent: agent.clone(),
                    target: id.clone(),
                    why: why.clone(),
                }]
            });
        }
        Ok(seen) => seen,
    };
    if let Some(doubt) = target.doubt.filter(|doubt| doubt.outlasts(seen)) {
        let who = match doubt {
            Doubt::Leg(_) => "an executor of before may still be at work on",
            Doubt::Restore(_) => "somebody may still be putting an archive back into",
        };
        return Err(Refusal::new(
            Kind::Stale,
            format!("{who} target {id}"),
            "raise the fence, and look again",
        ));
    }
    let finding = finding(fleet, target, seen);
    let same = target.observed_at.is_some()
        && target.problem == finding
        && target.engine_version == seen.engine_version
        && fleet.entries.spell(target.in_force()).eq(&seen.ledger)
        && target.seen.as_ref().is_none_or(|known| known.identity == seen.identity)
        && (target.fingerprint == Some(seen.fingerprint) || !finding.is_empty())
        && is_alike(target.told.bytes, seen.bytes)
        && tables_alike(target.told.tables.as_deref(), seen.tables.as_ref());
    if same {
        return Ok(Vec::new());
    }
    Ok(vec![Body::TargetObserved {
        agent: agent.clone(),
        target: id.clone(),
        seen: seen.clone(),
        finding,
    }])
}

/// Sizes that differ by less, bytes, are alike: no step takes another time for that.
const ALIKE: u64 = 1 << 20;

/// Whether a size is worth no word: a target that grows is told of each time that it has doubled.
fn is_alike(known: u64, seen: u64) -> bool {
    let doubled = seen / 2 >= known || known / 2 >= seen;
    seen == 0 || seen.abs_diff(known) < ALIKE || !doubled
}

/// The same of rows. Who never told of them, and does now, is heard.
fn tables_alike(known: Option<&Tables>, seen: Option<&Tables>) -> bool {
    match (known, seen) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(known), Some(seen)) => known.is_alike(seen),
    }
}

/// What is wrong with it whatever the log says.
pub(super) fn unsound(fleet: &Fleet, target: &State, seen: &Observation) -> Option<String> {
    if !seen.open_intent.is_empty() {
        return Some(format!(
            "step {} was begun by an executor and neither finished nor undone",
            seen.open_intent
        ));
    }
    if let Some(other) = fleet.targets.with_identity(&seen.identity)
        && let Some(other) = fleet.targets.get(other)
        && other.id != target.id
    {
        return Some(format!(
            "it says that it is the same database as target {}: a clone, or one database under two \
             names",
            other.id
        ));
    }
    None
}

/// What is not as the log says; empty: everything is.
fn finding(fleet: &Fleet, target: &State, seen: &Observation) -> String {
    if let Some(unsound) = unsound(fleet, target, seen) {
        return unsound;
    }
    if target.observed_at.is_none() {
        return String::new();
    }
    if !target.identity.is_empty() && target.identity != seen.identity {
        return "the server or database behind it is another one than before".to_owned();
    }
    if let Some(ahead) = ahead(fleet, target, seen) {
        return format!(
            "its ledger is ahead of the log by {ahead}: applied past this cluster, or before the cluster \
             was restored from a backup"
        );
    }
    if !same_ledger(fleet, target, seen) {
        return "its ledger is not what the log says: restored from a backup, or changed by hand"
            .to_owned();
    }
    if target.fingerprint.is_some_and(|known| known != seen.fingerprint) {
        return "its schema is not what it was after the last step: changed by hand".to_owned();
    }
    String::new()
}

/// What its ledger has behind everything that the log has; `None`: it is not just ahead.
fn ahead(fleet: &Fleet, target: &State, seen: &Observation) -> Option<String> {
    let known = fleet.entries.spell(&target.ledger);
    let more = seen.ledger.get(target.ledger.len()..).filter(|more| !more.is_empty())?;
    let versions: Vec<&str> = more.iter().map(|entry| entry.version.as_str()).collect();
    known.eq(seen.ledger.iter().take(target.ledger.len())).then(|| plan::few(&versions))
}

fn same_ledger(fleet: &Fleet, target: &State, seen: &Observation) -> bool {
    fleet.entries.spell(&target.ledger).eq(&seen.ledger)
}

pub(super) fn retire(fleet: &Fleet, id: &TargetId, reason: &str) -> Result<Vec<Body>, Refusal> {
    let (_, target) = target(fleet, id)?;
    if let Some((rollout, _)) = target.lane {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("target {id} is part of {rollout}, which has not ended"),
            "wait for it to end, or roll it back",
        ));
    }
    target.unmended()?;
    Ok(vec![Body::TargetRetired { target: id.clone(), reason: reason.to_owned() }])
}

pub(super) fn restore(
    fleet: &Fleet,
    id: &TargetId,
    archive: &str,
    reason: &str,
) -> Result<Vec<Body>, Refusal> {
    let (_, target) = target(fleet, id)?;
    if let Some((rollout, _)) = target.lane {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("target {id} is part of {rollout}, which has not ended"),
            "wait for it to end, or roll it back",
        ));
    }
    target.unmended()?;
    if reason.trim().is_empty() {
        return Err(Refusal::new(
            Kind::Invalid,
            format!("restoring {archive} loses every later write to {id}, and no reason is given"),
            "say why that is acceptable: the reason is recorded",
        ));
    }
    Ok(vec![Body::RestoreStarted {
        target: id.clone(),
        archive: archive.to_owned(),
        reason: reason.to_owned(),
    }])
}

pub(super) fn store(fleet: &Fleet, manifest: &Arc<Manifest>) -> Result<Vec<Body>, Refusal> {
    if fleet.bundles.contains_key(&manifest.digest) {
        return Ok(Vec::new());
    }
    for (place, migration) in manifest.migrations.iter().enumerate() {
        if manifest.position(&migration.version) != Some(place) {
            return Err(Refusal::new(
                Kind::Invalid,
                format!("the bundle has version {} twice", migration.version),
                "give one of the two another version",
            ));
        }
    }
    Ok(vec![Body::BundleStored { manifest: Arc::clone(manifest) }])
}
