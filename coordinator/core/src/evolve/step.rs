//! What happens to single steps. The ledger that the log keeps of a target follows the target's own.

use super::leg::{end, lane_of, settled};
use super::rollout::begins_another_leg;
use super::{Impossible, state_mut};
use crate::event::{Archive, Verdict};
use crate::forecast::{Size, back};
use crate::ids::{Digest, LaneIx, Millis, RolloutId, StepIx, TargetId, TargetIx};
use crate::spec::Direction;
use crate::state::Fleet;
use crate::state::ledger::{Entries, EntryIx};
use crate::state::measures::{Measurement, What, Work};
use crate::state::rollout::{Lane, Phase};
use crate::state::target::Doubt;

/// What one step took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    /// Milliseconds.
    pub(super) ms: u64,
    /// Bytes of the engine's log.
    pub(super) written: Option<u64>,
    /// Rows of the tables that it touched, before it ran.
    pub(super) touched: Option<u64>,
}

pub(super) fn backed_up(
    fleet: &mut Fleet,
    at: Millis,
    rollout: RolloutId,
    (target, archive): (&TargetId, &Archive),
) -> Result<(), Impossible> {
    let (ix, lane) = lane_of(fleet, rollout, target)?;
    let state = state_mut(fleet, rollout)?;
    let covered = state.lanes.get(lane).map_or(0, |lane| state.end(lane));
    state.change(lane, |lane, _| {
        lane.archive = Some(Box::new(archive.clone()));
        lane.covered = covered;
        lane.base = lane.applied;
        lane.since = at;
    });
    if let Some(mut target) = fleet.targets.get_mut(ix)
        && archive.target_bytes > 0
    {
        target.told.bytes = archive.target_bytes;
    }
    if archive.exemption.is_empty() {
        let took = Took { ms: archive.ms, written: None, touched: None };
        measure(fleet, ix, What::Backup(archive.scope), took);
    }
    Ok(())
}

/// Work was done on a target, and this is what it took.
fn measure(fleet: &mut Fleet, ix: TargetIx, what: What, took: Took) {
    let Some(target) = fleet.targets.get(ix) else { return };
    let work = Work { what, engine: target.description.engine };
    let Took { ms, written, touched: rows } = took;
    let size = Size { bytes: target.told.bytes, rows };
    let measurement = Measurement { ms, size, written };
    fleet.measures.add(work, fleet.seq, measurement);
}

pub(super) fn applied(
    fleet: &mut Fleet,
    rollout: RolloutId,
    target: &TargetId,
    (step, took): (StepIx, Option<Took>),
) -> Result<(), Impossible> {
    let (ix, lane) = lane_of(fleet, rollout, target)?;
    let (entry, direction) = planned(fleet, (rollout, lane), (target, step))?;
    state_mut(fleet, rollout)?.change(lane, |lane, progress| {
        lane.overran = false;
        lane.applied = step.0 + 1;
        lane.attempt = 0;
        lane.partly = false;
        lane.note = None;
        progress.applied += 1;
    });
    follow(fleet, ix, entry, (direction, took));
    Ok(())
}

/// A step's migration as ledgers have it, and which of its scripts the plan runs.
fn planned(
    fleet: &mut Fleet,
    (rollout, lane): (RolloutId, LaneIx),
    (target, step): (&TargetId, StepIx),
) -> Result<(EntryIx, Direction), Impossible> {
    let state = fleet.rollouts.get(&rollout);
    let planned = state.and_then(|state| state.step(state.lanes.get(lane)?, step));
    let Some(planned) = planned else {
        return Err(Impossible(format!("{rollout} has no step {step} for {target}")));
    };
    Ok((fleet.entries.intern(&planned.entry), planned.direction))
}

/// It was said that the step under way takes longer than was forecast.
pub(super) fn overran(
    fleet: &mut Fleet,
    rollout: RolloutId,
    target: &TargetId,
) -> Result<(), Impossible> {
    let (_, lane) = lane_of(fleet, rollout, target)?;
    state_mut(fleet, rollout)?.change(lane, |lane, _| lane.overran = true);
    Ok(())
}

/// Puts a migration into the ledger that the log keeps, or takes it out.
fn follow(
    fleet: &mut Fleet,
    target: TargetIx,
    entry: EntryIx,
    (ran, took): (Direction, Option<Took>),
) {
    if let Some(took) = took {
        measure(fleet, target, What::Step(entry, ran), took);
    }
    let Some(mut target) = fleet.targets.get_mut(target) else { return };
    // Not known until the leg's last step tells it, or the next look; the last look is older.
    target.fingerprint = None;
    target.seen = None;
    match ran {
        Direction::Up => target.ledger.push(entry),
        Direction::Down => {
            if let Some(place) = place_of(&target.ledger, &fleet.entries, entry) {
                target.ledger.remove(place);
            }
        }
        Direction::Validate => {}
    }
}

/// A leg has shown which schema belongs to what is in force in its target.
fn learn(fleet: &mut Fleet, ix: TargetIx, fingerprint: Option<Digest>) {
    let (Some(schema), Some(mut target)) = (fingerprint, fleet.targets.get_mut(ix)) else { return };
    let engine = target.description.engine;
    // One that stands on somebody's word proves nothing, until it has come to what others prove.
    target.vouched &= !fleet.schemas.of(engine, &target.ledger).contains(&schema);
    if !target.vouched {
        fleet.schemas.learn(engine, &target.ledger, schema);
    }
}

/// Where a migration's version stands in a ledger. Its digest there may be that of a file whose comments were
/// edited since.
fn place_of(ledger: &[EntryIx], entries: &Entries, entry: EntryIx) -> Option<usize> {
    let version = &entries.get(entry)?.version;
    ledger.iter().rposition(|ix| entries.get(*ix).is_some_and(|entry| entry.version == *version))
}

pub(super) fn verified(
    fleet: &mut Fleet,
    at: Millis,
    rollout: RolloutId,
    (target, step, fingerprint): (&TargetId, StepIx, Option<Digest>),
) -> Result<(), Impossible> {
    let (ix, lane) = lane_of(fleet, rollout, target)?;
    let state = state_mut(fleet, rollout)?;
    let known = state.lanes.get(lane).map(|lane| (state.until(lane), state.end(lane)));
    let (leg, steps) = known.unwrap_or_default();
    state.change(lane, |lane, progress| {
        lane.since = at;
        lane.passed = 0;
        lane.verified = step.0 + 1;
        // It is whole, whatever could not be told of it before.
        lane.partly = false;
        progress.verified += 1;
    });
    if let Some(mut target) = fleet.targets.get_mut(ix) {
        target.sound();
        if fingerprint.is_some() {
            target.fingerprint = fingerprint;
        }
    }
    learn(fleet, ix, fingerprint);
    if step.0 + 1 == leg {
        end(fleet, rollout, ix, lane, |lane| {
            lane.phase = if leg < steps { Phase::Ready } else { Phase::Done };
            // The others are in a later stage, which wants a backup of its own.
            if leg < steps {
                begins_another_leg(lane);
            }
        })?;
    }
    Ok(())
}

pub(super) fn failed(
    fleet: &mut Fleet,
    rollout: RolloutId,
    target: &TargetId,
    (version, step, verdict, note): (&str, StepIx, Verdict, String),
) -> Result<(), Impossible> {
    let (ix, lane) = lane_of(fleet, rollout, target)?;
    let told = state_mut(fleet, rollout)?.lanes.get(lane).is_some_and(|lane| lane.applied > step.0);
    let half = match verdict {
        Verdict::Partly | Verdict::Unknown => true,
        // In force, and the log does not have it: only another look can tell.
        Verdict::Fully => !told,
        Verdict::Never => false,
    };
    let now = fleet.fence(fleet.seq);
    if half && let Some(mut target) = fleet.targets.get_mut(ix) {
        target.problem = format!("{rollout} failed at {version}, and {}", verdict.as_str());
        target.doubt = Some(Doubt::Leg(now));
    }
    end(fleet, rollout, ix, lane, |lane| {
        lane.note = Some(note.into());
        // A half of an undo is completed by undoing again.
        lane.partly = half && lane.phase != Phase::UndoLeased;
        lane.phase = match lane.phase {
            Phase::UndoLeased => Phase::Residual,
            Phase::Waiting
            | Phase::Ready
            | Phase::Leased
            | Phase::Done
            | Phase::Failed
            | Phase::Stuck
            | Phase::UndoReady
            | Phase::Undone
            | Phase::Residual
            | Phase::Waived => Phase::Failed,
        };
    })
}

/// Its statement was killed: it goes on from where it stands when it may, and a half is completed first.
pub(super) fn cancelled(
    fleet: &mut Fleet,
    rollout: RolloutId,
    target: &TargetId,
    (verdict, note): (Verdict, String),
) -> Result<(), Impossible> {
    let (ix, lane) = lane_of(fleet, rollout, target)?;
    end(fleet, rollout, ix, lane, |lane| {
        let undoing = lane.phase == Phase::UndoLeased;
        lane.note = Some(note.into());
        // A half of an undo is completed by undoing again.
        lane.partly |= verdict == Verdict::Partly && !undoing;
        lane.phase = if undoing { Phase::UndoReady } else { Phase::Ready };
    })
}

pub(super) fn retried(
    fleet: &mut Fleet,
    rollout: RolloutId,
    target: &TargetId,
    attempt: u32,
    not_before: Millis,
) -> Result<(), Impossible> {
    let (_, lane) = lane_of(fleet, rollout, target)?;
    state_mut(fleet, rollout)?.change(lane, |lane, _| {
        lane.attempt = attempt;
        lane.not_before = not_before;
        lane.phase = match lane.phase {
            Phase::Failed => Phase::Ready,
            Phase::Residual => Phase::UndoReady,
            Phase::Waiting => Phase::Waiting,
            Phase::Ready => Phase::Ready,
            Phase::Leased => Phase::Leased,
            Phase::Done => Phase::Done,
            Phase::Stuck => Phase::Stuck,
            Phase::UndoReady => Phase::UndoReady,
            Phase::UndoLeased => Phase::UndoLeased,
            Phase::Undone => Phase::Undone,
            Phase::Waived => Phase::Waived,
        };
    });
    Ok(())
}

/// What the schema was where a lane stands now, as its backups tell: before its first step, and before its stage.
fn before(lane: &Lane) -> Option<Digest> {
    let archive = || lane.archive.as_ref().map(|archive| archive.fingerprint);
    match lane.applied {
        0 if lane.first.is_some() => lane.first.as_deref().copied(),
        applied if applied == lane.base => archive(),
        _ => None,
    }
}

pub(super) fn rolled_back(
    fleet: &mut Fleet,
    at: Millis,
    rollout: RolloutId,
    (target, step, fingerprint, took): (&TargetId, StepIx, Option<Digest>, Option<Took>),
) -> Result<(), Impossible> {
    let (ix, lane) = lane_of(fleet, rollout, target)?;
    let (entry, direction) = planned(fleet, (rollout, lane), (target, step))?;
    state_mut(fleet, rollout)?.change(lane, |lane, progress| {
        lane.overran = false;
        lane.since = at;
        lane.applied = step.0;
        lane.verified = lane.verified.min(step.0);
        lane.attempt = 0;
        lane.partly = false;
        lane.note = None;
        progress.undone += 1;
    });
    follow(fleet, ix, entry, (back(direction), took));
    if let Some(mut target) = fleet.targets.get_mut(ix) {
        target.sound();
        if fingerprint.is_some() {
            target.fingerprint = fingerprint;
        }
    }
    learn(fleet, ix, fingerprint);
    let known = fleet.rollouts.get(&rollout).and_then(|state| state.lanes.get(lane));
    if let Some(known) = known.filter(|lane| lane.applied <= lane.keep) {
        let before = before(known);
        end(fleet, rollout, ix, lane, |lane| {
            lane.phase = settled(lane);
            if let (Some(before), Some(after)) = (before, fingerprint)
                && before != after
            {
                let which = if lane.applied == 0 { "" } else { " since its backup" };
                let note = format!(
                    "every step{which} was undone, and the schema is not what it was before: \
                     a down script does not restore what its up changed"
                );
                lane.note = Some(note.into());
                lane.phase = Phase::Residual;
            }
        })?;
    }
    Ok(())
}

pub(super) fn stuck(
    fleet: &mut Fleet,
    rollout: RolloutId,
    target: &TargetId,
    version: &str,
    why: &str,
) -> Result<(), Impossible> {
    let (ix, lane) = lane_of(fleet, rollout, target)?;
    let now = fleet.fence(fleet.seq);
    if let Some(mut target) = fleet.targets.get_mut(ix) {
        target.problem = format!("{rollout} is stuck at {version}: {why}");
        target.doubt = Some(Doubt::Leg(now));
    }
    end(fleet, rollout, ix, lane, |lane| {
        lane.note = Some(format!("{version}: {why}").into());
        // There may be a half of it.
        lane.partly = lane.phase != Phase::UndoLeased;
        lane.phase = match lane.phase {
            Phase::UndoLeased => Phase::Residual,
            Phase::Waiting
            | Phase::Ready
            | Phase::Leased
            | Phase::Done
            | Phase::Failed
            | Phase::Stuck
            | Phase::UndoReady
            | Phase::Undone
            | Phase::Residual
            | Phase::Waived => Phase::Stuck,
        };
    })
}

pub(super) fn tried(
    fleet: &mut Fleet,
    rollout: RolloutId,
    target: &TargetId,
    (step, went_through, note): (StepIx, bool, &str),
) -> Result<(), Impossible> {
    let (ix, lane) = lane_of(fleet, rollout, target)?;
    let state = state_mut(fleet, rollout)?;
    let steps = state.lanes.get(lane).map_or(0, |lane| state.steps(lane));
    state.change(lane, |lane, progress| {
        if !note.is_empty() {
            lane.note = Some(note.into());
        }
        if went_through {
            lane.verified = step.0 + 1;
            progress.verified += 1;
        }
    });
    if !went_through {
        end(fleet, rollout, ix, lane, |lane| lane.phase = Phase::Failed)?;
    } else if step.0 + 1 == steps {
        end(fleet, rollout, ix, lane, |lane| lane.phase = Phase::Done)?;
    }
    Ok(())
}
