//! Turning back: which targets, how far, and what cannot be undone.

use super::{rollout, rollout::free};
use crate::command::Waiver;
use crate::event::{Body, Unwind};
use crate::ids::{RolloutId, StepIx, TargetId};
use crate::plan::Undo;
use crate::refusal::{Kind, Refusal};
use crate::spec::{OnBreach, Selector};
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase, State, Status};

/// What a rollback would undo on one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where.
    pub target: TargetId,
    /// Versions, in the order in which they are undone.
    pub versions: Vec<String>,
    /// Steps that stay.
    pub keep: u32,
    /// Not empty: it should go further, and this step cannot be undone.
    pub blocked_by: String,
}

impl Line {
    fn unwind(&self) -> Unwind {
        Unwind { target: self.target.clone(), keep: self.keep, blocked_by: self.blocked_by.clone() }
    }
}

/// What rolling back a rollout would undo, target by target.
///
/// # Errors
/// The rollout does not exist, or the selector matches none of its targets.
pub fn lines(
    fleet: &Fleet,
    id: RolloutId,
    selector: &Selector,
    steps: u32,
) -> Result<Vec<Line>, Refusal> {
    let state = rollout(fleet, id)?;
    let lines: Vec<Line> = state
        .lanes
        .iter()
        .filter(|(_, lane)| lane.phase != Phase::Waiting)
        .filter_map(|(_, lane)| {
            let target = fleet.targets.get(lane.target)?;
            selector
                .matches(&target.id, &target.description)
                .then(|| line(state, lane, &target.id, steps))
        })
        .collect();
    if lines.is_empty() {
        return Err(Refusal::new(
            Kind::Missing,
            format!("{id} did nothing on the selected targets"),
            format!("see `skein status {id} --targets`"),
        ));
    }
    Ok(lines)
}

fn line(state: &State, lane: &Lane, target: &TargetId, steps: u32) -> Line {
    let floor = if steps == 0 { 0 } else { lane.applied.saturating_sub(steps) };
    let mut line = Line {
        target: target.clone(),
        versions: Vec::new(),
        keep: lane.applied,
        blocked_by: String::new(),
    };
    for step in (floor..lane.applied).rev() {
        let Some(step) = state.step(lane, StepIx(step)) else { break };
        if step.undo == Undo::Impossible {
            line.blocked_by = step.entry.version.to_string();
            break;
        }
        line.versions.push(step.entry.version.to_string());
        line.keep -= 1;
    }
    line
}

pub(super) fn on_request(
    fleet: &Fleet,
    id: RolloutId,
    selector: &Selector,
    (steps, waivers): (u32, &[Waiver]),
) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    match state.status {
        Status::Running | Status::Paused | Status::Completed | Status::Halted => {}
        Status::Unwinding | Status::RolledBack => return Ok(Vec::new()),
        Status::Planned => {
            return Err(Refusal::new(
                Kind::Conflict,
                format!("{id} was not started: there is nothing to undo"),
                "leave it",
            ));
        }
    }
    free(fleet, state)?;
    let lines = lines(fleet, id, selector, steps)?;
    for line in &lines {
        on_top(fleet, state, &line.target)?;
    }
    let blocked: Vec<&Line> = lines.iter().filter(|line| !line.blocked_by.is_empty()).collect();
    if let Some(first) = blocked.first()
        && waivers.iter().all(|waiver| waiver.reason.trim().is_empty())
    {
        return Err(Refusal::new(
            Kind::Unfit,
            format!(
                "{} targets can be undone in part only: step {} on {} cannot be undone",
                blocked.len(),
                first.blocked_by,
                first.target
            ),
            "see `skein rollback --plan`; to undo what can be undone, record a waiver: --waive \"why\"",
        ));
    }
    let mut bodies: Vec<Body> = waivers
        .iter()
        .map(|waiver| Body::StepWaived { rollout: id, waiver: waiver.clone() })
        .collect();
    bodies.push(Body::RollbackStarted {
        rollout: id,
        cause: "asked for".to_owned(),
        targets: lines.iter().map(Line::unwind).collect(),
    });
    Ok(bodies)
}

/// The steps of this rollout are the last ones that the target has seen.
fn on_top(fleet: &Fleet, state: &State, target: &TargetId) -> Result<(), Refusal> {
    let later = fleet.rollouts.range(RolloutId(state.id.0 + 1)..).find(|(_, later)| {
        later.progress.applied > later.progress.undone
            && later.lanes.iter().any(|(_, lane)| {
                lane.applied > 0
                    && fleet.targets.get(lane.target).is_some_and(|other| other.id == *target)
            })
    });
    match later {
        None => Ok(()),
        Some((later, _)) => Err(Refusal::new(
            Kind::Conflict,
            format!("{later} stands on top of {} on target {target}", state.id),
            format!("roll back {later} first"),
        )),
    }
}

pub(super) fn on_breach(fleet: &Fleet, id: RolloutId) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    if state.status != Status::Running {
        return Ok(Vec::new());
    }
    if !state.may_turn() {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("{id} is within its budget, or its running legs have not ended"),
            "the scheduler asks again before it turns back",
        ));
    }
    let wave = state.wave();
    let scope = state.plan.spec.strategy.on_breach;
    let failed = |lane: &Lane| matches!(lane.phase, Phase::Failed | Phase::Stuck);
    let count = state.lanes.iter().filter(|(_, lane)| failed(lane)).count();
    let cause = format!("{count} targets failed, more than the budget of the wave allows");
    let in_scope = |lane: &Lane| match scope {
        OnBreach::Halt => false,
        OnBreach::RollbackTarget => failed(lane),
        OnBreach::RollbackWave => Some(lane.wave) == wave,
        OnBreach::RollbackRollout => lane.phase != Phase::Waiting,
    };
    let targets: Vec<Unwind> = state
        .lanes
        .iter()
        .filter(|(_, lane)| in_scope(lane))
        .filter_map(|(_, lane)| {
            let target = fleet.targets.get(lane.target)?;
            Some(line(state, lane, &target.id, 0).unwind())
        })
        .collect();
    if scope == OnBreach::Halt || state.trial() {
        let what = if state.trial() {
            format!("{count} targets did not pass the trial; nothing was changed")
        } else {
            cause
        };
        return Ok(vec![Body::RolloutHalted { rollout: id, reason: what }]);
    }
    Ok(vec![Body::RollbackStarted { rollout: id, cause, targets }])
}
