//! What people change of a rollout while it runs: knobs, waves that may open, lanes that are held.

use super::rollout;
use crate::event::Body;
use crate::ids::{RolloutId, TargetId, WaveIx};
use crate::refusal::{Kind, Refusal};
use crate::spec::{Batching, Knob, Selector, Setting};
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase, State, Status};

pub(super) fn set(fleet: &Fleet, id: RolloutId, knobs: &[Knob]) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    open(state)?;
    if let Some(wrong) = knobs.iter().find_map(|knob| wrong(state, knob)) {
        return Err(wrong);
    }
    let bodies: Vec<Body> = knobs
        .iter()
        .filter(|knob| !state.knobs.has(knob))
        .map(|knob| Body::KnobSet { rollout: id, knob: knob.clone() })
        .collect();
    Ok(settled(id, bodies))
}

fn wrong(state: &State, knob: &Knob) -> Option<Refusal> {
    match knob {
        Knob::Throttle(name, setting) => throttle(state, name, *setting),
        Knob::Batch(size) => batching(Batching { size: *size, pause_ms: 0 }),
        Knob::BatchPauseMs(pause_ms) => batching(Batching { size: 0, pause_ms: *pause_ms }),
        Knob::Parallelism(0) => Some(Refusal::new(
            Kind::Invalid,
            "parallelism is 0: no leg could ever run",
            "set it to 1 or more; `skein pause` hands out no more work",
        )),
        Knob::BudgetPercent(percent) if *percent > 100 => Some(Refusal::new(
            Kind::Invalid,
            format!("{percent} percent of the targets can never fail"),
            "a share is at most 100",
        )),
        Knob::Limit(limit) if limit.label.is_empty() => {
            Some(Refusal::new(Kind::Invalid, "a limit names no label", "write per.region=2"))
        }
        Knob::Parallelism(_)
        | Knob::Limit(_)
        | Knob::PerGroup(_)
        | Knob::HeavyPerGroup(_)
        | Knob::SoakMs(_)
        | Knob::BudgetFailed(_)
        | Knob::BudgetPercent(_)
        | Knob::Retries(_)
        | Knob::Windows(_) => None,
    }
}

fn throttle(state: &State, name: &str, setting: Setting) -> Option<Refusal> {
    let throttles = &state.plan.spec.strategy.throttles;
    if let Some(known) = throttles.iter().find(|known| known.name == name) {
        let next = "write a time like 2s for a lag, a number for what is counted, `off` or `on`";
        return known.wrong(setting).map(|what| Refusal::new(Kind::Invalid, what, next));
    }
    let names: Vec<&str> = throttles.iter().map(|known| known.name.as_str()).collect();
    let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let what = format!("{} has no throttle `{name}`: it has {has}", state.id);
    Some(Refusal::new(Kind::Missing, what, format!("see `skein get {}`", state.id)))
}

fn batching(set: Batching) -> Option<Refusal> {
    let next = "write batch=5000 (0: as the file says) and batch_pause=200ms; `skein pause` stops the work";
    set.wrong().map(|what| Refusal::new(Kind::Invalid, what, next))
}

/// Nothing to do is recorded, too, so that a copy that comes late does nothing.
pub(super) fn settled(id: RolloutId, bodies: Vec<Body>) -> Vec<Body> {
    if bodies.is_empty() { vec![Body::RequestSettled { rollout: id }] } else { bodies }
}

/// What is halted or rolled back may be resumed, and goes on by what was set meanwhile.
pub(super) fn open(state: &State) -> Result<(), Refusal> {
    if state.status == Status::Completed {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("{} has ended", state.id),
            format!("see `skein status {}`", state.id),
        ));
    }
    Ok(())
}

pub(super) fn approve(
    fleet: &Fleet,
    id: RolloutId,
    wave: WaveIx,
    reason: &str,
) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    open(state)?;
    let Some(planned) = state.plan.wave(wave) else {
        let count = state.plan.waves.len();
        return Err(Refusal::new(
            Kind::Missing,
            format!("{id} has no wave {}: it has {count}", wave.0 + 1),
            format!("see `skein status {id}`"),
        ));
    };
    if !planned.approval {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("wave {} ({}) of {id} waits for nobody's word", wave.0 + 1, planned.name),
            "waves that do have `approval = true` in the strategy",
        ));
    }
    let known = state.approved.contains(&wave);
    let approved = || Body::WaveApproved { rollout: id, wave, reason: reason.to_owned() };
    Ok(settled(id, (!known).then(approved).into_iter().collect()))
}

pub(super) fn goes_on(lane: &Lane) -> bool {
    match lane.phase {
        Phase::Waiting | Phase::Ready | Phase::Leased | Phase::UndoReady | Phase::UndoLeased => {
            true
        }
        Phase::Done
        | Phase::Failed
        | Phase::Stuck
        | Phase::Undone
        | Phase::Residual
        | Phase::Waived => false,
    }
}

pub(super) fn meant<'a>(
    fleet: &'a Fleet,
    state: &'a State,
    selector: &Selector,
    wave: Option<WaveIx>,
) -> Result<Vec<(&'a Lane, &'a TargetId)>, Refusal> {
    let lanes: Vec<_> = state
        .lanes
        .iter()
        .filter(|(_, lane)| wave.is_none_or(|wave| lane.wave == wave))
        .filter_map(|(_, lane)| {
            let target = fleet.targets.get(lane.target)?;
            selector.matches(&target.id, &target.description).then_some((lane, &target.id))
        })
        .collect();
    if lanes.is_empty() {
        return Err(Refusal::new(
            Kind::Missing,
            format!("{} has none of the selected targets", state.id),
            format!("see `skein status {}`", state.id),
        ));
    }
    Ok(lanes)
}

pub(super) fn abort(fleet: &Fleet, id: RolloutId, reason: &str) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    open(state)?;
    if !state.is_open() {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("{id} is not under way: there is nothing to give up"),
            format!("see `skein status {id}`"),
        ));
    }
    let aborted = || Body::RolloutAborted { rollout: id, reason: reason.to_owned() };
    Ok(settled(id, state.aborted.is_none().then(aborted).into_iter().collect()))
}
