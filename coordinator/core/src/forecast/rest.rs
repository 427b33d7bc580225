//! How long the rest of a rollout takes on its way forward. Looks at its waves and classes, and at legs under
//! way, never at its lanes.

use std::ops::Range;

use super::load::{Legs, Side, is_tried, side};
use super::{Amount, Fits, Interval};
use crate::ids::{ClassIx, Millis, WaveIx};
use crate::plan::Class;
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase, Soak, State, Status};
use crate::state::target;

/// Without what nobody can reckon: somebody's word, gates, windows, targets that are not there. `None`: it has
/// ended, has turned back, or only tries its steps.
pub fn rest(fleet: &Fleet, state: &State, now: Millis) -> Option<Amount> {
    let goes_on = match state.status {
        Status::Planned | Status::Running | Status::Paused => !state.turned,
        Status::Unwinding | Status::Completed | Status::RolledBack | Status::Halted => false,
    };
    if !goes_on || is_tried(state.plan.spec.direction) {
        return None;
    }
    let mut fits = Fits::new(fleet);
    let mut rest = open(fleet, state, (&mut fits, now));
    rest.interval = rest.interval.then(watch(state, now));
    for wave in (state.opened..).map(WaveIx).take_while(|wave| state.plan.wave(*wave).is_some()) {
        let loads = state.todo(wave).into_iter().flatten();
        let leg = |ix| leg_of(state, (ix, wave));
        let side = side(&mut fits, loads, (leg, &state.plan.spec));
        let long = state.soak_ms(wave);
        rest = rest.then(side.at_once(state.parallelism_of(Some(wave))));
        rest.interval = rest.interval.then(Interval { p50: long, p95: long });
    }
    Some(rest)
}

/// What a wave's stage brings a class.
fn leg_of(state: &State, (ix, wave): (ClassIx, WaveIx)) -> Option<(&Class, Range<u32>)> {
    let class = state.class_at(ix)?;
    Some((class, state.plan.leg(class, state.plan.stage_of(wave))))
}

/// What is left of the watch over the open wave.
fn watch(state: &State, now: Millis) -> Interval {
    let long = match state.soaks() {
        Some(Soak::Due(wave)) => state.soak_ms(wave),
        Some(Soak::Until(at)) => at.0.saturating_sub(now.0),
        None => 0,
    };
    Interval { p50: long, p95: long }
}

/// Waves that are open: what waits in them, and what is under way.
fn open(fleet: &Fleet, state: &State, (fits, now): (&mut Fits<'_>, Millis)) -> Amount {
    let mut all = Side::default();
    for wave in (0..state.opened).map(WaveIx) {
        for (ix, load) in state.todo(wave).into_iter().flatten() {
            if let Some(leg) = leg_of(state, (*ix, wave)) {
                all.with(fits, &Legs::of(leg, &state.plan.spec), load);
            }
        }
    }
    let legs = fleet.agents.values().flat_map(|agent| agent.legs.values());
    for target in legs.filter_map(|ix| fleet.targets.get(*ix)) {
        let Some((_, lane)) = target.lane.filter(|(id, _)| *id == state.id) else { continue };
        if let Some(lane) = state.lanes.get(lane)
            && let Some(left) = leg(state, (lane, target), (fits, now))
        {
            all.one(left);
        }
    }
    all.at_once(state.parallelism())
}

/// What is left of a lane's leg, or would be of one that began now. `None`: it does not go forward.
pub fn leg(
    state: &State,
    (lane, target): (&Lane, &target::State),
    (fits, now): (&mut Fits<'_>, Millis),
) -> Option<Amount> {
    let class = state.class(lane).filter(|_| !is_tried(state.plan.spec.direction))?;
    let leg = state.floor(lane).max(lane.applied)..state.until(lane);
    let legs = Legs::of((class, leg), &state.plan.spec);
    let passed = match lane.phase {
        Phase::Leased => now.0.saturating_sub(lane.since.0),
        Phase::Waiting | Phase::Ready => 0,
        Phase::Done
        | Phase::Failed
        | Phase::Stuck
        | Phase::UndoReady
        | Phase::UndoLeased
        | Phase::Undone
        | Phase::Residual
        | Phase::Waived => return None,
    };
    let legs = if lane.archive.is_some() { legs.backed_up() } else { legs };
    Some(legs.rest(fits, &target.told, passed))
}
