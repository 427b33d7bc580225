//! Turning back: which targets, how far, and what cannot be undone.

use std::collections::BTreeSet;

use super::{rollout, rollout::free};
use crate::command::Waiver;
use crate::event::{Body, Unwind};
use crate::ids::{RolloutId, StepIx, TargetId, TargetIx, count_of_targets};
use crate::plan::{self, Undo};
use crate::refusal::{Kind, Refusal};
use crate::spec::{Direction, OnBreach, Scope, Selector};
use crate::state::Fleet;
use crate::state::ledger::Entry;
use crate::state::rollout::{Lane, Phase, State, Status};
use crate::state::target;

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
    Ok(wanted(fleet, state, selector, steps)?.into_iter().map(|(_, line)| line).collect())
}

fn wanted<'a>(
    fleet: &Fleet,
    state: &'a State,
    selector: &Selector,
    steps: u32,
) -> Result<Vec<(&'a Lane, Line)>, Refusal> {
    let lines: Vec<_> = state
        .lanes
        .iter()
        .filter(|(_, lane)| !matches!(lane.phase, Phase::Waiting | Phase::Waived))
        .filter_map(|(_, lane)| {
            let target = fleet.targets.get(lane.target).filter(|target| !target.retired)?;
            selector
                .matches(&target.id, &target.description)
                .then(|| (lane, line(state, lane, &target.id, steps)))
        })
        .collect();
    if lines.is_empty() {
        return Err(Refusal::new(
            Kind::Missing,
            format!("{} did nothing on the selected targets", state.id),
            format!("see `skein status {}`", state.id),
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
    if state.status == Status::Planned {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("{id} was not started: there is nothing to undo"),
            "leave it",
        ));
    }
    free(fleet, state)?;
    let mut lines = Vec::new();
    for (lane, line) in wanted(fleet, state, selector, steps)? {
        if lane.unwind && lane.keep <= line.keep && lane.phase != Phase::Residual {
            continue; // It is on its way there, or has arrived.
        }
        if lane.phase == Phase::UndoLeased {
            return Err(Refusal::new(
                Kind::Conflict,
                format!("target {} is being undone down to another step just now", line.target),
                format!("ask again when its leg has ended: `skein status {id}`"),
            ));
        }
        lines.push(line);
    }
    if lines.is_empty() {
        return Ok(vec![Body::RequestSettled { rollout: id }]);
    }
    on_top(fleet, state, &lines)?;
    let blocked: Vec<&Line> = lines.iter().filter(|line| !line.blocked_by.is_empty()).collect();
    if let Some(first) = blocked.first()
        && waivers.iter().all(|waiver| waiver.reason.trim().is_empty())
    {
        return Err(Refusal::new(
            Kind::Unfit,
            format!(
                "{} can be undone in part only: step {} on {} cannot be undone",
                count_of_targets(blocked.len()),
                first.blocked_by,
                first.target
            ),
            "see `skein rollback --dry-run`; to undo what can be undone, record a waiver: --waive \"why\"",
        ));
    }
    let mut bodies: Vec<Body> = waivers
        .iter()
        .map(|waiver| Body::StepWaived { rollout: id, waiver: waiver.clone() })
        .collect();
    bodies.push(Body::RollbackStarted {
        rollout: id,
        cause: match &selector.condition {
            None => "asked for".to_owned(),
            Some(condition) => format!("asked for where {}", condition.text),
        },
        targets: lines.iter().map(Line::unwind).collect(),
    });
    Ok(bodies)
}

/// The steps of this rollout are the last ones that its targets have seen.
fn on_top(fleet: &Fleet, state: &State, lines: &[Line]) -> Result<(), Refusal> {
    let asked: BTreeSet<TargetIx> =
        lines.iter().filter_map(|line| fleet.targets.find(&line.target)).collect();
    if let Some((later, target)) = above(fleet, state.id, &asked) {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("{later} stands on top of {} on target {}", state.id, target.id),
            format!("roll back {later} first"),
        ));
    }
    let moved = state.lanes.iter().find(|(_, lane)| {
        asked.contains(&lane.target) && lane.applied > 0 && !stands(fleet, state, lane)
    });
    match moved.and_then(|(_, lane)| fleet.targets.get(lane.target)) {
        None => Ok(()),
        Some(target) => Err(Refusal::new(
            Kind::Conflict,
            format!("target {} is no longer where {} left it", target.id, state.id),
            "leave it out, and look at it with `skein verify`",
        )),
    }
}

/// Targets on which later rollouts have done something.
fn worked_on_later(fleet: &Fleet, id: RolloutId) -> BTreeSet<TargetIx> {
    let later = fleet.rollouts.range(RolloutId(id.0 + 1)..).map(|(_, other)| other);
    let lanes = later.filter(|other| !other.trial()).flat_map(|other| other.lanes.iter());
    lanes.filter(|(_, lane)| has_worked(lane)).map(|(_, lane)| lane.target).collect()
}

fn has_worked(lane: &Lane) -> bool {
    lane.applied > 0 || lane.partly || lane.doubt
}

/// A later rollout that has done something on one of these targets.
pub(super) fn above<'a>(
    fleet: &'a Fleet,
    id: RolloutId,
    targets: &BTreeSet<TargetIx>,
) -> Option<(RolloutId, &'a target::State)> {
    let later = fleet.rollouts.range(RolloutId(id.0 + 1)..);
    later.filter(|(_, other)| !other.trial()).find_map(|(later, other)| {
        let mut lanes = other.lanes.iter().map(|(_, lane)| lane);
        let lane = lanes.find(|lane| has_worked(lane) && targets.contains(&lane.target))?;
        Some((*later, fleet.targets.get(lane.target)?))
    })
}

/// The ledger that the log keeps of a lane's target is what the rollout found and did.
pub(super) fn stands(fleet: &Fleet, state: &State, lane: &Lane) -> bool {
    let Some(target) = fleet.targets.get(lane.target).filter(|target| !target.retired) else {
        return false;
    };
    let Some(class) = state.class(lane) else { return false };
    let mut ledger: Vec<&Entry> = class.before.iter().collect();
    for step in class.steps.iter().take(usize::try_from(lane.applied).unwrap_or(usize::MAX)) {
        match step.direction {
            Direction::Up => ledger.push(&step.entry),
            Direction::Down => {
                let version = &step.entry.version;
                if let Some(place) = ledger.iter().rposition(|entry| entry.version == *version) {
                    ledger.remove(place);
                }
            }
            Direction::Validate => {}
        }
    }
    fleet.entries.spell(&target.ledger).eq(ledger)
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
    // When everything is undone, nothing but this tells what to mend.
    let first = state.lanes.iter().map(|(_, lane)| lane).find(|lane| failed(lane));
    let first = first.and_then(|lane| Some((fleet.targets.get(lane.target)?, lane.note.as_ref()?)));
    let first = first.map(|(target, note)| format!("; the first is {}: {note}", target.id));
    let first = first.unwrap_or_default();
    let whose = match state.budget().scope {
        Scope::Wave => "wave",
        Scope::Rollout => "rollout",
    };
    let gate = state.gate_failed.as_ref();
    let budget = format!(
        "{} failed, more than the budget of the {whose} allows{first}",
        count_of_targets(count)
    );
    let cause = gate.map_or(budget, |gate| gate.why.clone());
    let in_scope = |lane: &Lane| match scope {
        OnBreach::Halt => false,
        // Who was interrupted in the middle is no better than who failed.
        OnBreach::RollbackTarget => {
            let asked = gate.is_some_and(|gate| match gate.target {
                Some(target) => lane.target == target,
                // It speaks of the whole wave.
                None => Some(lane.wave) == wave,
            });
            asked
                || failed(lane)
                || (lane.phase == Phase::Ready && (lane.applied > 0 || lane.doubt))
        }
        OnBreach::RollbackWave => Some(lane.wave) == wave,
        OnBreach::RollbackRollout => lane.phase != Phase::Waiting,
    };
    // Who was left out stays as it is.
    let in_scope = |lane: &Lane| lane.phase != Phase::Waived && in_scope(lane);
    // A rollout that had halted may go on after others have worked on what it had done.
    let later = worked_on_later(fleet, id);
    let ours = |lane: &Lane| {
        lane.phase != Phase::Done || (!later.contains(&lane.target) && stands(fleet, state, lane))
    };
    let (ours, others): (Vec<_>, Vec<_>) = state
        .lanes
        .iter()
        .filter(|(_, lane)| in_scope(lane))
        .filter_map(|(_, lane)| Some((lane, fleet.targets.get(lane.target)?)))
        .partition(|(lane, _)| ours(lane));
    let targets: Vec<Unwind> =
        ours.into_iter().map(|(lane, target)| line(state, lane, &target.id, 0).unwind()).collect();
    let others: Vec<&str> = others.iter().map(|(_, target)| target.id.as_str()).collect();
    let cause = if others.is_empty() {
        cause
    } else {
        format!("{cause}; {} stay, others have worked on them since", plan::few(&others))
    };
    if scope == OnBreach::Halt || state.trial() {
        let what = if state.trial() {
            format!(
                "{} did not pass the trial, and nothing was changed{first}",
                count_of_targets(count)
            )
        } else {
            cause
        };
        return Ok(vec![Body::RolloutHalted { rollout: id, reason: what }]);
    }
    Ok(vec![Body::RollbackStarted { rollout: id, cause, targets }])
}
