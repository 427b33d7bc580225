//! Repairs of ledgers: ordered, leased, withdrawn, and what their agents tell.

use super::draft::draft;
use super::fleet::unsound;
use crate::command::{Ask, Outcome};
use crate::event::{Body, Verdict};
use crate::ids::{AgentId, Fence, RepairId, TargetId, Version};
use crate::plan;
use crate::refusal::{Kind, Refusal};
use crate::state::Fleet;
use crate::state::repair::{Class, Evidence, Line, Phase, State, Verb};
use crate::state::target::{self, Observation};

pub(super) fn on_request(fleet: &Fleet, ask: &Ask) -> Result<Vec<Body>, Refusal> {
    if ask.versions.is_empty() {
        return Err(Refusal::new(
            Kind::Invalid,
            "no version is named",
            "name the versions that the ledger is wrong about",
        ));
    }
    let draft = draft(fleet, ask)?;
    let bare: Vec<&str> = draft
        .order
        .targets
        .iter()
        .zip(&draft.evidence)
        .filter(|(_, evidence)| evidence.is_none())
        .map(|((target, _), _)| target.as_str())
        .collect();
    if !bare.is_empty() {
        let what = match ask.verb {
            Verb::Applied | Verb::Adopt => "is in force",
            Verb::NotApplied => "is not in force",
        };
        let (versions, why): (Vec<&str>, _) = if draft.untold.is_empty() {
            let why = "the migrations have no probe for it, and no target with that schema got there \
                       by running them";
            (ask.versions.iter().map(Version::as_str).collect(), why)
        } else {
            let why = "no schema tells, since it changes rows alone, and the migrations have no probe \
                       for it";
            (draft.untold.iter().map(Version::as_str).collect(), why)
        };
        return Err(Refusal::new(
            Kind::Unfit,
            format!(
                "nothing proves that {} {what} on {}: {why}",
                plan::few(&versions),
                plan::few(&bare)
            ),
            "look at the target; write VERSION_NAME.probe.sql beside the migration, or take \
             responsibility: --waive \"why\"",
        ));
    }
    let next = fleet.repairs.last_key_value().map_or(1, |(last, _)| last.0 + 1);
    Ok(vec![Body::RepairOrdered { repair: RepairId(next), order: Box::new(draft.order) }])
}

pub(super) fn assign(
    fleet: &Fleet,
    target_id: &TargetId,
    agent: &AgentId,
) -> Result<Vec<Body>, Refusal> {
    let (_, target) = super::target(fleet, target_id)?;
    let waits = line(fleet, target).is_some_and(|(_, line)| line.phase == Phase::Waiting);
    match target.mend {
        Some((repair, _)) if waits && target.agents.contains(agent) => {
            Ok(vec![Body::RepairAssigned {
                repair,
                target: target_id.clone(),
                agent: agent.clone(),
            }])
        }
        Some(_) | None => Err(Refusal::new(
            Kind::Conflict,
            format!("the ledger of target {target_id} does not wait for {agent}"),
            "the scheduler asks again",
        )),
    }
}

fn line<'a>(fleet: &'a Fleet, target: &target::State) -> Option<(&'a State, &'a Line)> {
    let (repair, line) = target.mend?;
    let state = fleet.repairs.get(&repair)?;
    Some((state, state.lines.get(usize::try_from(line).ok()?)?))
}

/// The lease on a target that is being repaired ended without a result.
pub(super) fn expire(
    target: &target::State,
    repair: RepairId,
    (fence, why): (Fence, &str),
) -> Body {
    Body::RepairReleased { repair, target: target.id.clone(), fence, why: why.to_owned() }
}

/// What is wrong with the target although its ledger is right now.
fn finding(
    fleet: &Fleet,
    target: &target::State,
    (seen, evidence): (&Observation, &[Evidence]),
) -> String {
    if let Some(unsound) = unsound(fleet, target, seen) {
        return unsound;
    }
    let ledger: Option<Vec<_>> =
        seen.ledger.iter().map(|entry| fleet.entries.find(entry)).collect();
    let known = ledger.map(|ledger| fleet.schemas.of(target.description.engine, &ledger));
    let odd = known.is_some_and(|known| !known.is_empty() && !known.contains(&seen.fingerprint));
    if odd && !evidence.contains(&Evidence::Waiver) {
        "its schema is not that of others with the same migrations in force: changed by hand"
            .to_owned()
    } else {
        String::new()
    }
}

/// What the holder of the lease tells.
pub(super) fn report(
    fleet: &Fleet,
    target: &target::State,
    (fence, outcome): (Fence, &Outcome),
) -> Result<Vec<Body>, Refusal> {
    let Some((state, line)) = line(fleet, target) else {
        return Err(Refusal::new(
            Kind::LeaseLost,
            format!("fence {fence} on target {} is no lease any more", target.id),
            "write nothing more",
        ));
    };
    let failed = |why: String, doubt: bool| Body::RepairFailed {
        repair: state.id,
        target: target.id.clone(),
        fence,
        why,
        doubt,
    };
    let body = match outcome {
        Outcome::Mended { seen, evidence } => {
            let wanted = state.class(line).map(Class::after).unwrap_or_default();
            let count = state.class(line).map_or(0, |class| class.changes.len());
            let waived = state.order.waiver.is_empty() && evidence.contains(&Evidence::Waiver);
            if seen.ledger != wanted || evidence.len() != count || waived {
                failed("its agent tells of another ledger than was asked for".to_owned(), true)
            } else {
                Body::TargetMended {
                    repair: state.id,
                    target: target.id.clone(),
                    fence,
                    seen: seen.clone(),
                    evidence: evidence.clone(),
                    finding: finding(fleet, target, (seen, evidence)),
                }
            }
        }
        Outcome::Failed { verdict, message, .. } => {
            failed(message.clone(), line.doubt || *verdict != Verdict::Never)
        }
        Outcome::Stuck { why, .. } => failed(why.clone(), line.doubt),
        Outcome::Released { why } => expire(target, state.id, (fence, why)),
        Outcome::BackedUp(_)
        | Outcome::Applied { .. }
        | Outcome::Verified { .. }
        | Outcome::RolledBack { .. }
        | Outcome::Judged { .. }
        | Outcome::Baseline { .. }
        | Outcome::Tried { .. } => {
            return Err(Refusal::new(
                Kind::Invalid,
                format!("{} runs no step, and a step of {} was reported", state.id, target.id),
                "send what belongs to a repair",
            ));
        }
    };
    Ok(vec![body])
}

pub(super) fn withdraw(fleet: &Fleet, id: RepairId, reason: &str) -> Result<Vec<Body>, Refusal> {
    let Some(state) = fleet.repairs.get(&id) else {
        return Err(Refusal::new(
            Kind::Missing,
            format!("there is no repair {id}"),
            "`skein repair list` lists them",
        ));
    };
    let waiting = state.lines.iter().filter(|line| line.phase == Phase::Waiting).count();
    if waiting == 0 {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("nothing of {id} waits: it has ended, or agents are at work on the rest"),
            format!("see `skein repair show {id}`"),
        ));
    }
    Ok(vec![Body::RepairWithdrawn { repair: id, reason: reason.to_owned() }])
}
