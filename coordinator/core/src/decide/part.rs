//! Parts of a rollout: held, let go on, given up. What is said of a wave or of labels goes for targets that join
//! them later.

use std::collections::{BTreeMap, BTreeSet};

use super::again::{awaited, waited_for};
use super::knob::{goes_on, meant, open, settled};
use super::rollout;
use crate::event::{Body, Stop};
use crate::evolve::coming_to;
use crate::ids::{ClassIx, RolloutId, TargetId, TargetIx, WaveIx};
use crate::refusal::{Kind, Refusal};
use crate::spec::{Part, Selector, Standing, Word};
use crate::state::rollout::{Lane, Phase, State};
use crate::state::{Fleet, target};

pub(super) fn hold(
    fleet: &Fleet,
    id: RolloutId,
    (selector, wave): (&Selector, Option<WaveIx>),
    (reason, stop): (&str, Stop),
) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    open(state)?;
    let part = Part::lasting(selector, wave);
    let to_come = part.is_some() && is_to_come(state, wave);
    let meant = match meant(fleet, state, selector, wave) {
        Ok(meant) => meant,
        Err(_) if to_come => Vec::new(),
        Err(refusal) => return Err(refusal),
    };
    if !to_come && meant.iter().all(|(lane, _)| !has_more(state, lane)) {
        return Err(nothing_left(id));
    }
    // Whoever waited for legs or steps to end does not want to wait any more.
    let sooner = |lane: &Lane| match stop {
        Stop::AfterLegs => false,
        Stop::AfterSteps => lane.finishes,
        Stop::BehindBatches => !lane.at_batch,
    };
    let wanted = |lane: &Lane| has_more(state, lane) && (lane.held.is_none() || sooner(lane));
    let targets = of(meant, wanted);
    let new = part.as_ref().is_some_and(|part| !stands(state, Word::Held, part));
    let held = (new || !targets.is_empty()).then(|| Body::LanesHeld {
        rollout: id,
        targets,
        reason: reason.to_owned(),
        stop,
        part,
    });
    Ok(settled(id, held.into_iter().collect()))
}

pub(super) fn release(
    fleet: &Fleet,
    id: RolloutId,
    (selector, wave): (&Selector, Option<WaveIx>),
) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    open(state)?;
    let part = Part::lasting(selector, wave);
    let lifts = state
        .standing
        .iter()
        .any(|it| it.word == Word::Held && part.as_ref().is_some_and(|part| part.covers(&it.part)));
    let targets = match meant(fleet, state, selector, wave) {
        Ok(meant) => of(meant, |lane| lane.held.is_some()),
        // Those of whom it was said have other labels by now.
        Err(_) if lifts => Vec::new(),
        Err(refusal) => return Err(refusal),
    };
    let some = lifts || !targets.is_empty();
    let part = part.filter(|_| lifts);
    let released = some.then_some(Body::LanesReleased { rollout: id, targets, part });
    Ok(settled(id, released.into_iter().collect()))
}

pub(super) fn abort(
    fleet: &Fleet,
    id: RolloutId,
    (selector, wave): (&Selector, Option<WaveIx>),
    reason: &str,
) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    open(state)?;
    if !state.is_open() {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("{id} is not under way: there is no part of it to give up"),
            format!("see `skein status {id}`; `skein repair skip {id}` leaves targets out of it"),
        ));
    }
    // Nobody knows yet in which wave those would be that nobody could look at.
    let absent = if wave.is_none() { awaited(fleet, state, selector) } else { Vec::new() };
    let part = Part::lasting(selector, wave);
    let to_come = part.is_some() && is_to_come(state, wave);
    let meant = match meant(fleet, state, selector, wave) {
        Ok(meant) => meant,
        Err(_) if to_come || !absent.is_empty() => Vec::new(),
        Err(refusal) => return Err(refusal),
    };
    let known = part.as_ref().is_some_and(|part| stands(state, Word::GivenUp, part));
    // Another stage is to come for who is done with one.
    let open = |lane: &Lane| {
        waited_for(lane) || (lane.phase == Phase::Done && state.has_stages_left(lane))
    };
    if absent.is_empty() && !known && !to_come && meant.iter().all(|(lane, _)| !open(lane)) {
        return Err(nothing_left(id));
    }
    let mut targets = of(meant, |lane| open(lane) && !lane.given_up);
    targets.extend(absent);
    let reason = reason.to_owned();
    let new = part.is_some() && !known;
    let aborted = (new || !targets.is_empty()).then_some(Body::LanesAborted {
        rollout: id,
        targets,
        reason,
        part,
    });
    Ok(settled(id, aborted.into_iter().collect()))
}

/// What was said of parts, for targets that join them now: whoever joins is told to the log as if it had been
/// there.
pub(super) fn joined(
    fleet: &Fleet,
    state: &State,
    joined: &[(TargetId, WaveIx, ClassIx)],
) -> Vec<Body> {
    told(state, |standing| {
        let meant = joined.iter().filter(|(id, wave, _)| {
            let target = fleet.target(id).map(|(_, target)| target);
            let last = target.and_then(|target| state.standing_of(*wave, target));
            last.is_some_and(|last| last == standing)
        });
        meant.map(|(id, ..)| id.clone()).collect()
    })
}

/// Who had a lane before, in which somebody held it, is held in the one that it gets now.
pub(super) fn still(
    fleet: &Fleet,
    state: &State,
    joined: &[(TargetId, WaveIx, ClassIx)],
) -> Vec<Body> {
    let had_some = |(id, ..): &(TargetId, _, _)| {
        let (ix, target) = fleet.target(id)?;
        target.last.map(|_| ix)
    };
    let joined: BTreeSet<_> = joined.iter().filter_map(had_some).collect();
    // New ones, as a rule: what they cost does not grow with the fleet.
    if joined.is_empty() {
        return Vec::new();
    }
    let mut held: BTreeMap<&str, (BTreeSet<TargetIx>, Stop)> = BTreeMap::new();
    for (_, lane) in state.lanes.iter().filter(|(_, lane)| joined.contains(&lane.target)) {
        if let Some(reason) = &lane.held {
            let stop = if lane.finishes { Stop::AfterLegs } else { Stop::AfterSteps };
            held.entry(reason).or_insert((BTreeSet::new(), stop)).0.insert(lane.target);
        }
    }
    let bodies = held.into_iter().map(|(reason, (targets, stop))| {
        let named = |ix: &TargetIx| Some(fleet.targets.get(*ix)?.id.clone());
        let targets = targets.iter().filter_map(named).collect();
        Body::LanesHeld { rollout: state.id, targets, reason: reason.to_owned(), stop, part: None }
    });
    bodies.collect()
}

/// What was said of a wave, for targets that come to it from the stage before as it opens.
pub(super) fn come(fleet: &Fleet, state: &State, wave: WaveIx) -> Vec<Body> {
    let of_it = |standing: &Standing| standing.part.wave == Some(wave);
    if state.plan.stages.is_empty() || !state.standing.iter().any(of_it) {
        return Vec::new();
    }
    let coming = coming_to(fleet, state, wave).unwrap_or_default();
    let coming = coming.iter().filter_map(|ix| state.lanes.get(*ix));
    // Those of the first stage were told when it was said, and may have been released since.
    let coming = coming.filter(|lane| lane.wave != wave);
    let coming: Vec<_> =
        coming.filter_map(|lane| Some((lane, fleet.targets.get(lane.target)?))).collect();
    told(state, |standing| {
        let last = |(lane, target): &&(&Lane, &target::State)| {
            // Whoever is held is told of it.
            let knows = standing.word == Word::Held && lane.held.is_some();
            !knows && of_it(standing) && state.standing_of_wave(wave, target) == Some(standing)
        };
        coming.iter().filter(last).map(|(_, target)| target.id.clone()).collect()
    })
}

fn told(state: &State, meant: impl Fn(&Standing) -> Vec<TargetId>) -> Vec<Body> {
    let mut bodies = Vec::new();
    for standing in &state.standing {
        let targets = meant(standing);
        if targets.is_empty() {
            continue;
        }
        let (rollout, part) = (state.id, None);
        bodies.push(match standing.word {
            Word::Held => {
                let (reason, stop) = (standing.reason.to_string(), Stop::AfterSteps);
                Body::LanesHeld { rollout, targets, reason, stop, part }
            }
            Word::GivenUp => {
                let reason = format!("{} ({}, of its part)", standing.reason, standing.by);
                Body::LanesAborted { rollout, targets, reason, part }
            }
        });
    }
    bodies
}

/// Steps of a lane are still to come: of its leg, or of a stage that has not begun.
pub(super) fn has_more(state: &State, lane: &Lane) -> bool {
    let of_a_stage = lane.phase == Phase::Done && !state.turned && state.has_stages_left(lane);
    goes_on(lane) || of_a_stage
}

/// Targets come to that wave from the stage before, when it opens.
fn is_to_come(state: &State, wave: Option<WaveIx>) -> bool {
    let closed = wave.filter(|wave| wave.0 >= state.opened);
    !state.plan.stages.is_empty() && closed.is_some_and(|wave| state.plan.wave(wave).is_some())
}

fn stands(state: &State, word: Word, part: &Part) -> bool {
    state.standing.iter().any(|it| it.word == word && it.part == *part)
}

fn nothing_left(id: RolloutId) -> Refusal {
    Refusal::new(
        Kind::Conflict,
        format!("nothing is left to do for {id} on the selected targets"),
        format!("see `skein status {id}`"),
    )
}

/// The targets of those lanes of which something holds.
fn of(lanes: Vec<(&Lane, &TargetId)>, holds: impl Fn(&Lane) -> bool) -> Vec<TargetId> {
    lanes.into_iter().filter(|(lane, _)| holds(lane)).map(|(_, id)| id.clone()).collect()
}
