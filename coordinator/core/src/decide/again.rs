//! Chosen targets of a rollout: tried again, or left out of it.

use std::collections::BTreeSet;

use super::part::has_more;
use super::rollout;
use super::rollout::{may_go_on, not_now};
use crate::event::Body;
use crate::ids::{Millis, RolloutId, TargetId, TargetIx};
use crate::refusal::{Kind, Refusal};
use crate::spec::Selector;
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase, State, Status};
use crate::state::{gate, target};

/// The lanes of the selected targets that are in one of some phases.
fn chosen<'a>(
    fleet: &'a Fleet,
    state: &'a State,
    selector: &Selector,
    fits: impl Fn(&Lane) -> bool,
) -> Vec<(&'a Lane, &'a target::State)> {
    state
        .lanes
        .iter()
        .filter(|(_, lane)| fits(lane))
        .filter_map(|(_, lane)| Some((lane, fleet.targets.get(lane.target)?)))
        .filter(|(_, target)| selector.matches(&target.id, &target.description))
        .collect()
}

fn ids(chosen: &[(&Lane, &target::State)]) -> Vec<TargetId> {
    chosen.iter().map(|(_, target)| target.id.clone()).collect()
}

/// Failed, and there is something to try.
fn failed(state: &State, lane: &Lane) -> bool {
    match lane.phase {
        Phase::Failed | Phase::Stuck => !state.turned,
        Phase::Residual => lane.may_be_undone(),
        Phase::Waiting
        | Phase::Ready
        | Phase::Leased
        | Phase::Done
        | Phase::UndoReady
        | Phase::UndoLeased
        | Phase::Undone
        | Phase::Waived => false,
    }
}

/// Which targets a retry would try again.
///
/// # Errors
/// There is no such rollout, it has not begun or has ended well, none of its failed targets is selected, or
/// it has halted and something has happened to a target since.
pub fn retries(
    fleet: &Fleet,
    id: RolloutId,
    selector: &Selector,
) -> Result<Vec<TargetId>, Refusal> {
    let state = rollout(fleet, id)?;
    match state.status {
        Status::Running | Status::Paused | Status::Unwinding => {}
        Status::Halted => may_go_on(fleet, state, state.turned)?,
        Status::RolledBack => {
            return Err(Refusal::new(
                Kind::Conflict,
                format!("{id} is rolled back: none of its targets is left to be tried again"),
                format!("`skein resume {id} --plan` says what would go forward again"),
            ));
        }
        status @ (Status::Planned | Status::Completed) => {
            return Err(not_now(id, status, "tried again"));
        }
    }
    if state.aborted.is_some() || (state.stopping && state.leased() > 0) {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("{id} is being stopped, and agents are at work on its last steps"),
            format!("see `skein status {id}`, and ask again when they have ended"),
        ));
    }
    let mut chosen = chosen(fleet, state, selector, |lane| failed(state, lane));
    chosen.retain(|(_, target)| !target.retired);
    if chosen.is_empty() {
        return Err(Refusal::new(
            Kind::Missing,
            format!("no target of {id} that failed and can be tried again is selected"),
            format!("`skein status {id}` names them; a half of a step is settled first"),
        ));
    }
    Ok(ids(&chosen))
}

pub(super) fn retry(
    fleet: &Fleet,
    id: RolloutId,
    selector: &Selector,
) -> Result<Vec<Body>, Refusal> {
    let retried = Body::TargetsRetried { rollout: id, targets: retries(fleet, id, selector)? };
    Ok(without(id, retired(fleet, rollout(fleet, id)?)).chain([retried]).collect())
}

/// Targets of a rollout that has ended, and that were retired before they were at their end: it goes on without them.
pub(super) fn retired(fleet: &Fleet, state: &State) -> Vec<TargetId> {
    let open = |lane: &&Lane| waited_for(lane) || lane.phase == Phase::Undone;
    let ended = state.status.ended();
    let lanes = state.lanes.iter().map(|(_, lane)| lane).filter(|lane| ended && open(lane));
    let targets = lanes.filter_map(|lane| fleet.targets.get(lane.target));
    targets.filter(|target| target.retired).map(|target| target.id.clone()).collect()
}

/// A rollout goes on without these.
pub(super) fn without(rollout: RolloutId, targets: Vec<TargetId>) -> impl Iterator<Item = Body> {
    let reason = "it was retired".to_owned();
    let any = !targets.is_empty();
    any.then_some(Body::TargetsSkipped { rollout, targets, reason, until: None }).into_iter()
}

/// Which targets a rollout would be left without.
///
/// # Errors
/// There is no such rollout, it has not begun or has ended well, nothing that could be skipped is selected,
/// or an agent is at work on one of the targets.
pub fn skips(fleet: &Fleet, id: RolloutId, selector: &Selector) -> Result<Vec<TargetId>, Refusal> {
    let state = rollout(fleet, id)?;
    match state.status {
        Status::Running
        | Status::Paused
        | Status::Unwinding
        | Status::Halted
        | Status::RolledBack => {}
        status @ (Status::Planned | Status::Completed) => {
            return Err(not_now(id, status, "changed"));
        }
    }
    let asks = state.round.iter().flat_map(|round| &round.asks);
    let unanswered = asks.filter(|ask| ask.phase != gate::Phase::Passed);
    let asked: BTreeSet<TargetIx> = unanswered.filter_map(|ask| ask.target).collect();
    let ended = state.status.ended();
    let open = |lane: &Lane| match lane.phase {
        // Nobody may be there any more who could ask its gates, or who goes through the next stage.
        Phase::Done => asked.contains(&lane.target) || has_more(state, lane),
        // It stays as it is when the others go forward again.
        Phase::Undone => ended,
        Phase::Waiting
        | Phase::Ready
        | Phase::Leased
        | Phase::Failed
        | Phase::Stuck
        | Phase::UndoReady
        | Phase::UndoLeased
        | Phase::Residual
        | Phase::Waived => waited_for(lane),
    };
    let chosen = chosen(fleet, state, selector, open);
    let absent = awaited(fleet, state, selector);
    if chosen.is_empty() && absent.is_empty() {
        return Err(Refusal::new(
            Kind::Missing,
            format!("{id} waits for none of the selected targets"),
            format!("`skein status {id}` shows where each of them is"),
        ));
    }
    if let Some((_, target)) = chosen.iter().find(|(lane, _)| lane.fence.is_some()) {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("an agent is at work on target {} for {id}", target.id),
            format!("`skein pause {id}`, and ask again when its leg has ended"),
        ));
    }
    Ok(ids(&chosen).into_iter().chain(absent).collect())
}

/// A lane that is not at its end.
pub(super) fn waited_for(lane: &Lane) -> bool {
    match lane.phase {
        Phase::Waiting
        | Phase::Ready
        | Phase::Leased
        | Phase::Failed
        | Phase::Stuck
        | Phase::UndoReady
        | Phase::UndoLeased
        | Phase::Residual => true,
        Phase::Done | Phase::Undone | Phase::Waived => false,
    }
}

/// The selected targets that a rollout waits for and that have no lane.
pub(super) fn awaited(fleet: &Fleet, state: &State, selector: &Selector) -> Vec<TargetId> {
    let targets = state.awaited.keys().filter_map(|ix| fleet.targets.get(*ix));
    targets
        .filter(|target| !target.retired && selector.matches(&target.id, &target.description))
        .map(|target| target.id.clone())
        .collect()
}

pub(super) fn skip(
    fleet: &Fleet,
    id: RolloutId,
    selector: &Selector,
    (reason, until, now): (&str, Option<Millis>, Millis),
) -> Result<Vec<Body>, Refusal> {
    if reason.trim().is_empty() {
        return Err(Refusal::new(
            Kind::Invalid,
            format!("{id} would end without some of its targets, and no reason is given"),
            "say why that is acceptable, it is recorded: --waive \"why\"",
        ));
    }
    if until.is_some_and(|until| until <= now) {
        return Err(Refusal::new(
            Kind::Invalid,
            "the waiver would have run out before it is given",
            "name a later day, or none: --until DATE",
        ));
    }
    let targets = skips(fleet, id, selector)?;
    let (rollout, reason) = (id, reason.to_owned());
    // Nobody completes a half that is left: to be given up says that somebody has to look at it first.
    let state = super::rollout(fleet, id)?;
    // Called in later it would go on in the midst of a stage that is not its own.
    let between = |lane: &Lane| lane.phase == Phase::Done && has_more(state, lane);
    let between = chosen(fleet, state, selector, between);
    if let Some((_, target)) = between.first().filter(|_| until.is_some()) {
        return Err(Refusal::new(
            Kind::Unfit,
            format!(
                "{} is between two stages, and is left out there for good or not at all",
                target.id
            ),
            "leave `--until` away, or pause it: `skein pause ROLLOUT --on TARGET`",
        ));
    }
    let half = |lane: &Lane| lane.partly && !lane.doubt && lane.phase != Phase::Waived;
    let halves: Vec<TargetId> = chosen(fleet, state, selector, half)
        .into_iter()
        .map(|(_, target)| target.id.clone())
        .filter(|id| targets.contains(id))
        .collect();
    let given_up = (!halves.is_empty()).then(|| Body::LanesAborted {
        rollout,
        targets: halves,
        reason: reason.clone(),
        part: None,
    });
    let skipped = Body::TargetsSkipped { rollout, targets, reason, until };
    Ok(given_up.into_iter().chain([skipped]).collect())
}
