//! A rollout as a whole: planned, started, paused, resumed, finished.

use std::sync::Arc;

use super::forward::lives;
use super::{part, rollout, unwind};
use crate::command::Waiver;
use crate::event::{Body, Stop};
use crate::ids::{Digest, Millis, RolloutId, WaveIx, count_of_targets};
use crate::plan::{self, Plan};
use crate::refusal::{Kind, Refusal};
use crate::spec::Spec;
use crate::state::Fleet;
use crate::state::ledger::Entry;
use crate::state::rollout::{Lane, Phase, Soak, State, Status};
use crate::state::target::Doubt;

pub(super) fn plan(
    fleet: &Fleet,
    spec: &Spec,
    made: &Arc<Plan>,
    id: Digest,
) -> Result<Vec<Body>, Refusal> {
    if fleet.planned.contains_key(&id) {
        return Ok(Vec::new());
    }
    if plan::make(fleet, spec)? != **made {
        return Err(Refusal::new(
            Kind::Stale,
            "the fleet moved while the plan was made",
            "plan again",
        ));
    }
    if made.is_empty() {
        return Err(Refusal::new(
            Kind::Invalid,
            "the plan has nothing to do",
            "every selected target is where it should be",
        ));
    }
    let next = fleet.rollouts.last_key_value().map_or(1, |(last, _)| last.0 + 1);
    Ok(vec![Body::RolloutPlanned { rollout: RolloutId(next), id, plan: Arc::clone(made) }])
}

pub(super) fn start(fleet: &Fleet, plan: Digest, waivers: &[Waiver]) -> Result<Vec<Body>, Refusal> {
    let Some(id) = fleet.planned.get(&plan) else {
        return Err(match fleet.rollouts.values().find(|state| state.plan_id == plan) {
            Some(started) => Refusal::new(
                Kind::Conflict,
                format!("plan {} was started already, as {}", plan.short(), started.id),
                format!("see `skein status {}`", started.id),
            ),
            None => Refusal::new(
                Kind::Missing,
                format!("there is no plan {}", plan.short()),
                "make one with `skein plan`",
            ),
        });
    };
    let state = rollout(fleet, *id)?;
    fresh(fleet, state)?;
    fleet.policy().allows_start(&state.plan)?;
    waived(state, waivers)?;
    let mut bodies: Vec<Body> = waivers
        .iter()
        .map(|waiver| Body::StepWaived { rollout: *id, waiver: waiver.clone() })
        .collect();
    bodies.push(Body::RolloutStarted { rollout: *id });
    Ok(bodies)
}

/// Every target still stands where the plan found it, and nobody else has it.
fn fresh(fleet: &Fleet, state: &State) -> Result<(), Refusal> {
    for (_, lane) in state.lanes.iter() {
        let Some(target) = fleet.targets.get(lane.target) else { continue };
        if let Some((other, _)) = target.lane {
            return Err(Refusal::new(
                Kind::Conflict,
                format!("target {} is part of {other}, which has not ended", target.id),
                format!("wait for {other}, or roll it back"),
            ));
        }
        let before: &[Entry] = state.class(lane).map_or(&[], |class| &class.before);
        let moved = target.retired || !fleet.entries.spell(target.in_force()).eq(before);
        if moved {
            return Err(Refusal::new(
                Kind::Stale,
                format!("the plan is stale: target {} has moved since", target.id),
                "plan again",
            ));
        }
        target.may_work(state.plan.spec.accept_drift)?;
    }
    Ok(())
}

fn waived(state: &State, waivers: &[Waiver]) -> Result<(), Refusal> {
    if let Some(empty) = waivers.iter().find(|waiver| waiver.reason.trim().is_empty()) {
        return Err(Refusal::new(
            Kind::Invalid,
            format!("the waiver for {} gives no reason", empty.step),
            "say why it is acceptable: the reason is recorded",
        ));
    }
    let open: Vec<String> = state
        .plan
        .irreversible()
        .into_iter()
        .filter(|step| {
            !waivers
                .iter()
                .any(|waiver| waiver.step == "*" || waiver.step == step.entry.version.as_str())
        })
        .map(|step| format!("{} ({})", step.entry.version, step.file))
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(
        Kind::Unwaived,
        format!("{} steps cannot be undone: {}", open.len(), open.join(", ")),
        "write their down scripts, or record a waiver: --waive \"why that is acceptable\"",
    ))
}

pub(super) fn pause(
    fleet: &Fleet,
    id: RolloutId,
    (reason, stop): (&str, Stop),
) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    let paused = || vec![Body::RolloutPaused { rollout: id, reason: reason.to_owned(), stop }];
    match state.status {
        Status::Running | Status::Unwinding => Ok(paused()),
        // Whoever waited for legs to end does not want to wait any more.
        Status::Paused if stop == Stop::AfterSteps && !state.stopping => Ok(paused()),
        Status::Paused if stop == Stop::BehindBatches && !(state.stopping && state.at_batch) => {
            Ok(paused())
        }
        Status::Paused => Ok(vec![Body::RequestSettled { rollout: id }]),
        status @ (Status::Planned | Status::Completed | Status::RolledBack | Status::Halted) => {
            Err(not_now(id, status, "paused"))
        }
    }
}

/// A rollout that has ended takes its targets back only where nothing has happened to them since: whatever
/// goes on now, the rest of them may go on later. `back`: it is, or was, on its way back, and stays so.
pub(super) fn may_go_on(fleet: &Fleet, state: &State, back: bool) -> Result<(), Refusal> {
    free(fleet, state)?;
    unmoved(fleet, state, back)?;
    sound(fleet, state)
}

/// Targets that would go on still stand where the rollout left them, and by its own steps.
fn unmoved(fleet: &Fleet, state: &State, back: bool) -> Result<(), Refusal> {
    let goes_on = |lane: &&Lane| match lane.phase {
        Phase::Waiting | Phase::Ready | Phase::Failed | Phase::Stuck => !back,
        Phase::UndoReady => back,
        Phase::Residual => !back || lane.may_be_undone(),
        Phase::Undone => !back,
        // Another stage is to come.
        Phase::Done => !back && state.has_stages_left(lane),
        Phase::Leased | Phase::UndoLeased | Phase::Waived => false,
    };
    let lanes = || {
        state.lanes.iter().map(|(_, lane)| lane).filter(goes_on).filter(|lane| lives(fleet, lane))
    };
    let moved = lanes().find(|lane| !unwind::stands(fleet, state, lane));
    let moved = moved.and_then(|lane| fleet.targets.get(lane.target));
    // A later rollout may have brought a target to the same ledger.
    let above = || {
        let targets = lanes().map(|lane| lane.target).collect();
        unwind::above(fleet, state.id, &targets).map(|(_, target)| target)
    };
    match moved.or_else(above) {
        None => Ok(()),
        Some(target) => Err(Refusal::new(
            Kind::Stale,
            format!("target {} is no longer where {} left it", target.id, state.id),
            format!(
                "make a new plan: it starts from where its targets are now; or leave it out: `skein \
                 repair skip {}`",
                state.id
            ),
        )),
    }
}

/// A rollout from before the cluster was restored goes on only where all of its targets were looked at
/// since, and are where the log has them.
fn sound(fleet: &Fleet, state: &State) -> Result<(), Refusal> {
    let restored = fleet.cluster.as_ref().and_then(|cluster| cluster.restored.as_ref());
    if restored.is_none_or(|restored| state.started_at > restored.at) {
        return Ok(());
    }
    for (_, lane) in state.lanes.iter().filter(|(_, lane)| lane.phase != Phase::Waived) {
        let Some(target) = fleet.targets.get(lane.target) else { continue };
        target.may_work(false)?;
    }
    Ok(())
}

/// No other rollout has one of its targets, and into none an archive is being put back.
pub(super) fn free(fleet: &Fleet, state: &State) -> Result<(), Refusal> {
    for (_, lane) in state.lanes.iter().filter(|(_, lane)| lane.phase != Phase::Waived) {
        let Some(target) = fleet.targets.get(lane.target) else { continue };
        if let Some((other, _)) = target.lane.filter(|(other, _)| *other != state.id) {
            return Err(Refusal::new(
                Kind::Conflict,
                format!("target {} is part of {other}, which has not ended", target.id),
                format!("wait for {other}, or roll it back first"),
            ));
        }
        target.unmended()?;
        if matches!(target.doubt, Some(Doubt::Restore(_))) {
            return Err(Refusal::new(
                Kind::Conflict,
                format!("target {}: {}", target.id, target.problem),
                "when the restore has ended, `skein targets observe` looks at what it left",
            ));
        }
    }
    Ok(())
}

pub(super) fn not_now(id: RolloutId, status: Status, what: &str) -> Refusal {
    let is = match status {
        Status::Planned => "was not started",
        Status::Running => "is running",
        Status::Paused => "is paused",
        Status::Unwinding => "is being rolled back",
        Status::Completed => "is completed",
        Status::RolledBack => "is rolled back",
        Status::Halted => "is halted",
    };
    Refusal::new(
        Kind::Conflict,
        format!("{id} {is}: it cannot be {what}"),
        format!("see `skein status {id}`"),
    )
}

/// The open wave is done.
pub(super) fn soak(fleet: &Fleet, id: RolloutId) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    if state.status != Status::Running {
        return Err(not_now(id, state.status, "continued"));
    }
    if state.under_way() > 0 || state.breached() {
        return Err(early(id, "the open wave is not verified", "it is watched"));
    }
    unasked(state, "it is watched")?;
    match state.soaks() {
        Some(Soak::Due(wave)) => Ok(vec![Body::WaveVerified { rollout: id, wave }]),
        Some(Soak::Until(_)) | None => Err(early(id, "the open wave is watched", "it is again")),
    }
}

/// The gates after the open wave have passed.
fn unasked(state: &State, what: &str) -> Result<(), Refusal> {
    match state.check() {
        None => Ok(()),
        Some(_) => Err(early(state.id, "gates of the open wave have not passed", what)),
    }
}

/// The open wave was watched for as long as it should be; what is recorded of it.
fn soaked(state: &State, now: Millis) -> Result<Option<Body>, Refusal> {
    let over = match state.soaks() {
        Some(Soak::Due(_)) => false,
        Some(Soak::Until(at)) => at <= now && !state.is_asked_in_soak(),
        None => true,
    };
    if !over {
        return Err(early(state.id, "the open wave was not watched to the end", "it goes on"));
    }
    let wave = state.wave().filter(|_| state.soaking_since.is_some());
    Ok(wave.map(|wave| Body::WaveSoaked { rollout: state.id, wave }))
}

pub(super) fn start_wave(fleet: &Fleet, id: RolloutId, now: Millis) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    if state.status != Status::Running {
        return Err(not_now(id, state.status, "continued"));
    }
    if state.breached() || state.under_way() > 0 {
        return Err(early(id, "the wave before it is not verified", "its next wave opens"));
    }
    if usize::try_from(state.opened).is_ok_and(|opened| opened >= state.plan.waves.len()) {
        return Err(early(id, "every wave is open", "another one does"));
    }
    if state.unapproved().is_some() {
        return Err(early(id, "its next wave waits for somebody's word", "it opens"));
    }
    if state.arrived().next().is_some() {
        return Err(early(id, "targets have come that may join it", "its next wave opens"));
    }
    if state.barrier().is_some() {
        return Err(early(id, "its stage is not in force everywhere", "the next stage begins"));
    }
    unasked(state, "its next wave opens")?;
    let mut bodies: Vec<Body> = soaked(state, now)?.into_iter().collect();
    let wave = WaveIx(state.opened);
    bodies.push(Body::WaveStarted { rollout: id, wave });
    bodies.extend(part::come(fleet, state, wave));
    Ok(bodies)
}

pub(super) fn finish(fleet: &Fleet, id: RolloutId, now: Millis) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    let wrong: Vec<&str> = state
        .lanes
        .iter()
        .filter(|(_, lane)| state.left_over(lane))
        .filter_map(|(_, lane)| fleet.targets.get(lane.target))
        .map(|target| target.id.as_str())
        .collect();
    let left = match state.status {
        Status::Running => {
            let late = state.awaited.len() + state.arrived().count();
            let late = late + state.lapsed(&fleet.targets, now).count();
            let late = u32::try_from(late).unwrap_or(u32::MAX);
            state.under_way() + state.total.of(Phase::Waiting) + late
        }
        Status::Unwinding => state.leased() + state.total.of(Phase::UndoReady),
        Status::Planned
        | Status::Paused
        | Status::Completed
        | Status::RolledBack
        | Status::Halted => 0,
    };
    if left > 0 || (state.status == Status::Running && state.breached()) {
        return Err(early(id, &format!("{left} targets are not at their end"), "it ends"));
    }
    let watched = if state.status == Status::Running {
        // Who was left out of it until a time may be called in yet.
        if usize::try_from(state.opened).is_ok_and(|opened| opened < state.plan.waves.len()) {
            return Err(early(id, "a wave is to be opened", "it ends"));
        }
        unasked(state, "it ends")?;
        soaked(state, now)?
    } else {
        None
    };
    let end = match state.status {
        Status::Running if wrong.is_empty() => Body::RolloutCompleted { rollout: id },
        Status::Unwinding if wrong.is_empty() => Body::RolloutRolledBack { rollout: id },
        Status::Running | Status::Unwinding => {
            Body::RolloutHalted { rollout: id, reason: residual(state, &wrong) }
        }
        status @ (Status::Planned
        | Status::Paused
        | Status::Completed
        | Status::RolledBack
        | Status::Halted) => return Err(not_now(id, status, "finished")),
    };
    Ok(watched.into_iter().chain([end]).collect())
}

/// The scheduler asks by a state that has moved, or is wrong.
pub(super) fn early(id: RolloutId, why: &str, what: &str) -> Refusal {
    Refusal::new(
        Kind::Conflict,
        format!("{id} is not ready: {why}"),
        format!("the scheduler asks again before {what}"),
    )
}

fn residual(state: &State, wrong: &[&str]) -> String {
    let (count, few) = (count_of_targets(wrong.len()), plan::few(wrong));
    if state.trial() {
        return format!("{count} did not pass the trial ({few}); nothing was changed");
    }
    let first = if state.reason.is_empty() { String::new() } else { format!("{}; ", state.reason) };
    format!("{first}{count} left neither where it was nor where it should be: {few}")
}
