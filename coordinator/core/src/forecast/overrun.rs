//! Steps that take longer than was forecast. Looks at legs under way, never at the fleet.

use std::collections::BTreeMap;

use super::{Fits, Size, back};
use crate::command::Command;
use crate::event::Overrun;
use crate::ids::{Fence, Millis, StepIx, TargetIx};
use crate::spec::When;
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase, State};

/// The way of a report to the log and of a lease to its agent: what is not the step's. Milliseconds.
pub const GRACE_MS: u64 = 2_000;
/// Of fewer measurements the largest is no limit for the next one.
const FEW: usize = 5;

/// The step that runs under a lane's lease, as far as its reports tell.
fn runs(state: &State, lane: &Lane) -> Option<(StepIx, bool)> {
    match lane.phase {
        // Before its backup is there no step begins; a leg that is to turn back only looks.
        Phase::Leased if lane.archive.is_some() && !lane.unwind && !state.trial() => {
            let between = lane.applied == lane.verified && lane.applied < state.until(lane);
            let gates = state.gates_of(lane.wave, When::BeforeStep).zip(1..).last();
            let passed = gates.is_none_or(|(_, gates)| lane.passed >= gates);
            (between && passed).then_some((StepIx(lane.applied), false))
        }
        Phase::UndoLeased if lane.applied > lane.keep => Some((StepIx(lane.applied - 1), true)),
        Phase::Leased
        | Phase::UndoLeased
        | Phase::Waiting
        | Phase::Ready
        | Phase::Done
        | Phase::Failed
        | Phase::Stuck
        | Phase::UndoReady
        | Phase::Undone
        | Phase::Residual
        | Phase::Waived => None,
    }
}

fn of(
    fits: &mut Fits<'_>,
    fleet: &Fleet,
    ix: TargetIx,
    (held, now): (Millis, Millis),
) -> Option<Overrun> {
    let target = fleet.targets.get(ix)?;
    let lease = target.lease.as_ref()?;
    let (state, lane) = fleet.lane(ix)?;
    let ms = now.0.saturating_sub(lane.since.max(held).0);
    if lane.overran || ms <= GRACE_MS {
        return None;
    }
    let (step, undo) = runs(state, lane)?;
    let planned = state.step(lane, step)?;
    let script = if undo { back(planned.direction) } else { planned.direction };
    let engine = target.description.engine;
    let bundle = state.plan.spec.bundle;
    let rows = fits.rows(bundle, (engine, planned), (script, target.told.tables.as_deref()));
    let fit = fits.step((engine, planned), script)?;
    let forecast = fit.on(Size { bytes: target.told.bytes, rows });
    let late = fit.shape.kept >= FEW && ms - GRACE_MS > forecast.interval.p95;
    late.then(|| Overrun {
        rollout: state.id,
        target: target.id.clone(),
        fence: lease.fence,
        version: planned.entry.version.to_string(),
        step,
        undo,
        ms,
        forecast,
    })
}

/// Whether the step that is under way on a target has taken longer than was forecast, and nobody has said so.
/// `held`: when it was last known to be held back, by a throttle; what it waited is not its work.
pub fn overran(fleet: &Fleet, target: TargetIx, held: Millis, now: Millis) -> Option<Overrun> {
    of(&mut Fits::new(fleet), fleet, target, (held, now))
}

/// What is to be recorded now; with when legs were last known to be held back.
pub fn overruns(fleet: &Fleet, held: &BTreeMap<Fence, Millis>, now: Millis) -> Vec<Command> {
    let mut fits = Fits::new(fleet);
    let legs = fleet.agents.values().flat_map(|agent| &agent.legs);
    let late = legs.filter_map(|(fence, ix)| {
        let held = held.get(fence).copied().unwrap_or_default();
        let late = of(&mut fits, fleet, *ix, (held, now))?;
        Some(Command::RecordOverrun { target: late.target, fence: late.fence, held })
    });
    late.collect()
}
