//! Going on: in the direction that a rollout has, or forward again after it had turned back.

use std::collections::BTreeMap;

use super::again::{retired, without};
use super::rollout;
use super::rollout::{may_go_on, not_now};
use crate::event::Body;
use crate::ids::{RolloutId, TargetId, WaveIx, count_of_targets};
use crate::plan::{self, Homes};
use crate::refusal::{Kind, Refusal};
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase, State, Status};

/// Where a rollout goes on to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It goes on as it does already.
    AsItIs,
    /// On as it was going.
    On,
    /// Back: there is more to undo, and what was undone stays so.
    Back,
    /// Forward again, from this wave on, which opens anew.
    Forward(WaveIx),
}

/// What resuming a rollout comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumption {
    /// Where to.
    pub way: Way,
    /// Targets that were taken back and go forward again, wave by wave.
    pub waves: BTreeMap<WaveIx, Vec<TargetId>>,
    /// Targets that failed on the way that it goes, and are tried again.
    pub again: Vec<TargetId>,
    /// Targets that were retired meanwhile, and are left as they are.
    pub left_out: Vec<TargetId>,
}

/// What resuming a rollout would come to. `all`: what somebody had rolled back by choice is meant, too.
///
/// # Errors
/// There is no such rollout, it has not begun or is completed, something has happened to its targets since, or
/// somebody has to say what becomes of those that were rolled back by choice.
pub fn resumption(fleet: &Fleet, id: RolloutId, all: bool) -> Result<Resumption, Refusal> {
    let state = rollout(fleet, id)?;
    let way = way(fleet, state, all)?;
    let mut waves: BTreeMap<WaveIx, Vec<TargetId>> = BTreeMap::new();
    let named = |lane: &Lane| Some(fleet.targets.get(lane.target)?.id.clone());
    if let Way::Forward(_) = way {
        for (wave, lane) in homes(fleet, state) {
            waves.entry(wave).or_default().extend(named(lane));
        }
    }
    let tried = |lane: &Lane| match way {
        Way::AsItIs => false,
        Way::On if !state.turned => matches!(lane.phase, Phase::Failed | Phase::Stuck),
        Way::Forward(_) => matches!(lane.phase, Phase::Failed | Phase::Stuck),
        Way::On | Way::Back => lane.phase == Phase::Residual && lane.may_be_undone(),
    };
    let again = state.lanes.iter().map(|(_, lane)| lane);
    let again = again.filter(|lane| tried(lane) && lives(fleet, lane));
    let again = again.filter_map(named).collect();
    Ok(Resumption { way, waves, again, left_out: retired(fleet, state) })
}

/// Its target was not retired: nobody goes on with one that was.
pub(super) fn lives(fleet: &Fleet, lane: &Lane) -> bool {
    fleet.targets.get(lane.target).is_some_and(|target| !target.retired)
}

/// Targets that were taken back, each with the wave in which it goes on.
fn homes<'a>(fleet: &Fleet, state: &'a State) -> impl Iterator<Item = (WaveIx, &'a Lane)> {
    let homes = Homes::of(&state.plan);
    let back = state.lanes.iter().map(|(_, lane)| lane).filter(|lane| lane.is_back());
    back.filter(|lane| lives(fleet, lane)).map(move |lane| {
        let known = fleet.targets.get(lane.target).zip(state.class(lane));
        let home =
            known.map(|(target, class)| homes.home((&target.id, class), (lane.wave, lane.applied)));
        (home.unwrap_or(lane.wave), lane)
    })
}

pub(super) fn resume(fleet: &Fleet, id: RolloutId, all: bool) -> Result<Vec<Body>, Refusal> {
    let Resumption { way, waves, left_out, .. } = resumption(fleet, id, all)?;
    let goes_on = match way {
        Way::AsItIs => Body::RequestSettled { rollout: id },
        Way::On | Way::Back => Body::RolloutResumed { rollout: id },
        Way::Forward(wave) => {
            let targets = waves.into_values().flatten().collect();
            Body::RolloutTurnedForward { rollout: id, wave, targets, all }
        }
    };
    Ok(without(id, left_out).chain([goes_on]).collect())
}

fn way(fleet: &Fleet, state: &State, all: bool) -> Result<Way, Refusal> {
    let id = state.id;
    match state.status {
        Status::Paused if state.aborted.is_some() => Err(Refusal::new(
            Kind::Conflict,
            format!("{id} was given up, and its running legs have not ended yet"),
            format!("when it is halted, resume it: `skein status {id}`"),
        )),
        Status::Paused => Ok(Way::On),
        Status::Running | Status::Unwinding => Ok(Way::AsItIs),
        status @ (Status::Planned | Status::Completed) => Err(not_now(id, status, "resumed")),
        Status::Halted if !state.turned => {
            may_go_on(fleet, state, false)?;
            Ok(Way::On)
        }
        Status::Halted | Status::RolledBack if state.trial() => {
            Err(not_now(id, state.status, "resumed"))
        }
        Status::Halted if is_to_be_undone(fleet, state) => {
            may_go_on(fleet, state, true)?;
            Ok(Way::Back)
        }
        Status::Halted | Status::RolledBack => forward(fleet, state, all),
    }
}

/// The undo was not brought to its end: that comes first.
fn is_to_be_undone(fleet: &Fleet, state: &State) -> bool {
    let open = |lane: &Lane| match lane.phase {
        Phase::UndoReady | Phase::UndoLeased => true,
        Phase::Residual => lane.may_be_undone(),
        Phase::Waiting
        | Phase::Ready
        | Phase::Leased
        | Phase::Done
        | Phase::Failed
        | Phase::Stuck
        | Phase::Undone
        | Phase::Waived => false,
    };
    state.lanes.iter().any(|(_, lane)| open(lane) && lives(fleet, lane))
}

/// What a breach took back goes forward by a plain word, what a person took back only by an explicit one.
fn forward(fleet: &Fleet, state: &State, all: bool) -> Result<Way, Refusal> {
    let back = || {
        let lanes = state.lanes.iter().map(|(_, lane)| lane);
        lanes.filter(|lane| lane.is_back() && lives(fleet, lane))
    };
    let asked: Vec<&str> = back()
        .filter(|lane| !lane.breach)
        .filter_map(|lane| Some(fleet.targets.get(lane.target)?.id.as_str()))
        .collect();
    if !all && !asked.is_empty() {
        if state.status == Status::Halted && back().all(|lane| !lane.breach) {
            // Its rollback ends, as it is the last word.
            may_go_on(fleet, state, true)?;
            return Ok(Way::Back);
        }
        return Err(rolled_back_by_choice(state, &asked));
    }
    may_go_on(fleet, state, false)?;
    let first = homes(fleet, state).map(|(wave, _)| wave).min();
    let open = WaveIx(state.opened);
    Ok(Way::Forward(first.map_or(open, |first| first.min(open))))
}

fn rolled_back_by_choice(state: &State, asked: &[&str]) -> Refusal {
    let id = state.id;
    let were = if asked.len() == 1 { "was" } else { "were" };
    Refusal::new(
        Kind::Conflict,
        format!(
            "{} of {id} {were} rolled back because somebody asked for it: {}",
            count_of_targets(asked.len()),
            plan::few(asked)
        ),
        format!(
            "`skein resume {id} --rolled-back` takes them forward again, too; `skein repair skip {id} --on ID \
             --waive \"why\"` leaves them as they are, and then resume; or plan anew"
        ),
    )
}
