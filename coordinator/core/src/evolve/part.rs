//! Parts of a rollout: held, let go on, given up.

use super::{Impossible, gate, rollout, state_mut, target_ix};
use crate::event::Stop;
use crate::ids::{LaneIx, RolloutId, TargetId, TargetIx};
use crate::spec::{Part, Standing, Word};
use crate::state::Fleet;
use crate::state::rollout::{Exempt, Phase};

/// What is said of a part goes for who joins it later.
fn stands(
    fleet: &mut Fleet,
    id: RolloutId,
    part: Option<&Part>,
    (word, reason, by): (Word, &str, &str),
) -> Result<(), Impossible> {
    let Some(part) = part else { return Ok(()) };
    let state = state_mut(fleet, id)?;
    state.standing.retain(|it| it.word != word || it.part != *part);
    let (reason, by) = (reason.into(), by.into());
    state.standing.push(Standing { part: part.clone(), word, reason, by });
    Ok(())
}

/// Lanes that get no legs.
pub(super) fn held(
    fleet: &mut Fleet,
    id: RolloutId,
    targets: &[TargetId],
    (reason, by, stop, part): (&str, &str, Stop, Option<&Part>),
) -> Result<(), Impossible> {
    let lanes = rollout::lanes_of(fleet, id, &targets.iter().collect::<Vec<_>>())?;
    let state = state_mut(fleet, id)?;
    for ix in lanes {
        state.change(ix, |lane, _| {
            lane.held = Some(reason.into());
            lane.finishes = stop == Stop::AfterLegs;
            lane.at_batch = stop == Stop::BehindBatches;
            lane.leaves |= lane.at_batch && lane.fence.is_some();
        });
    }
    stands(fleet, id, part, (Word::Held, reason, by))
}

/// They get legs again.
pub(super) fn released(
    fleet: &mut Fleet,
    id: RolloutId,
    targets: &[TargetId],
    part: Option<&Part>,
) -> Result<(), Impossible> {
    let lanes = rollout::lanes_of(fleet, id, &targets.iter().collect::<Vec<_>>())?;
    let state = state_mut(fleet, id)?;
    for ix in lanes {
        state.change(ix, |lane, _| {
            lane.held = None;
            lane.finishes = false;
            lane.at_batch = false;
        });
    }
    if let Some(part) = part {
        state.standing.retain(|it| it.word != Word::Held || !part.covers(&it.part));
    }
    Ok(())
}

/// The rollout goes on without some lanes. Those with a leg under way stop after its step.
pub(super) fn given_up(
    fleet: &mut Fleet,
    id: RolloutId,
    targets: &[TargetId],
    (exempt, part): (&Exempt, Option<&Part>),
) -> Result<(), Impossible> {
    let mut with_lane = Vec::new();
    for target in targets {
        let ix = target_ix(fleet, target)?;
        let state = state_mut(fleet, id)?;
        state.exempt.insert(ix, exempt.clone());
        gate::left_out(fleet, id, ix)?;
        let state = state_mut(fleet, id)?;
        if state.awaited.remove(&ix).is_none() {
            with_lane.push(target);
        }
    }
    let lanes = rollout::lanes_of(fleet, id, &with_lane)?;
    let state = state_mut(fleet, id)?;
    let mut at_rest = Vec::new();
    for ix in lanes {
        let leased = state.lanes.get(ix).is_some_and(|lane| lane.fence.is_some());
        if leased {
            state.change(ix, |lane, _| lane.given_up = true);
        } else {
            at_rest.push(ix);
        }
    }
    for ix in at_rest {
        leave(fleet, id, ix)?;
    }
    stands(fleet, id, part, (Word::GivenUp, &exempt.reason, &exempt.by))
}

/// The leg of a lane that was given up has ended.
pub(super) fn left(
    fleet: &mut Fleet,
    id: RolloutId,
    (target, ix): (TargetIx, LaneIx),
) -> Result<(), Impossible> {
    let state = state_mut(fleet, id)?;
    state.change(ix, |lane, _| lane.given_up = false);
    let arrived = state.lanes.get(ix).is_some_and(|lane| match lane.phase {
        Phase::Done => !state.has_stages_left(lane),
        Phase::Undone => true,
        Phase::Waiting
        | Phase::Ready
        | Phase::Leased
        | Phase::Failed
        | Phase::Stuck
        | Phase::UndoReady
        | Phase::UndoLeased
        | Phase::Residual
        | Phase::Waived => false,
    });
    if arrived {
        // It got to its end before it could stop.
        state.exempt.remove(&target);
        return Ok(());
    }
    leave(fleet, id, ix)
}

fn leave(fleet: &mut Fleet, id: RolloutId, ix: LaneIx) -> Result<(), Impossible> {
    let state = state_mut(fleet, id)?;
    // Nobody completes its half: somebody has to look before a plan rests on it.
    state.change(ix, |lane, _| lane.doubt |= lane.partly);
    let target = state.lanes.get(ix).map(|lane| lane.target);
    let Some(exempt) = target.and_then(|target| state.exempt.get(&target)).cloned() else {
        return Err(Impossible(format!("a lane of {id} is given up, and nobody says why")));
    };
    rollout::leave_out(fleet, id, &[ix], &exempt)
}
