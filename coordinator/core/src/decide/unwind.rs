//! Turning back: which targets, how far, and what cannot be undone.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::{rollout, rollout::free};
use crate::command::{Depth, Extent, Waiver};
use crate::event::{Body, Unwind};
use crate::ids::{RolloutId, StepIx, TargetId, TargetIx, Version, WaveIx, count_of_targets};
use crate::plan::{self, Step, Undo};
use crate::refusal::{Kind, Refusal};
use crate::spec::{Direction, OnBreach, Scope};
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
    /// In which wave it was done: the last one is undone first.
    pub wave: WaveIx,
    /// Versions whose undoing destroys data or schema.
    pub destroys: Vec<String>,
}

impl Line {
    fn unwind(&self) -> Unwind {
        Unwind { target: self.target.clone(), keep: self.keep, blocked_by: self.blocked_by.clone() }
    }
}

/// What rolling back a rollout would undo, target by target, in the order in which waves are undone.
///
/// # Errors
/// The rollout does not exist, none of its targets is meant, or one of them cannot be where it should.
pub fn lines(fleet: &Fleet, id: RolloutId, extent: &Extent) -> Result<Vec<Line>, Refusal> {
    let state = rollout(fleet, id)?;
    let mut lines: Vec<Line> =
        wanted(fleet, state, extent)?.into_iter().map(|(_, line)| line).collect();
    lines.sort_by_key(|line| Reverse(line.wave));
    Ok(lines)
}

fn wanted<'a>(
    fleet: &Fleet,
    state: &'a State,
    extent: &Extent,
) -> Result<Vec<(&'a Lane, Line)>, Refusal> {
    if let Some(wave) = extent.wave.filter(|wave| state.plan.wave(*wave).is_none()) {
        let count = state.plan.waves.len();
        return Err(Refusal::new(
            Kind::Missing,
            format!("{} has no wave {}: it has {count}", state.id, wave.0 + 1),
            format!("see `skein status {}`", state.id),
        ));
    }
    let mut lines = Vec::new();
    for (_, lane) in state.lanes.iter() {
        let untouched = lane.phase == Phase::Waiting && !lane.is_begun();
        if untouched
            || lane.phase == Phase::Waived
            || lane.given_up
            || extent.wave.is_some_and(|wave| wave != lane.wave)
        {
            continue;
        }
        let target = fleet.targets.get(lane.target).filter(|target| !target.retired);
        let meant =
            |target: &&target::State| extent.selector.matches(&target.id, &target.description);
        if let Some(target) = target.filter(meant) {
            let floor = floor(state, lane, (&target.id, extent))?;
            lines.push((lane, line(fleet, state, (lane, &target.id), floor)));
        }
    }
    if lines.is_empty() {
        return Err(Refusal::new(
            Kind::Missing,
            format!("{} did nothing on the selected targets", state.id),
            format!("see `skein status {}`", state.id),
        ));
    }
    Ok(lines)
}

/// Steps of a lane that should stay.
fn floor(
    state: &State,
    lane: &Lane,
    (target, extent): (&TargetId, &Extent),
) -> Result<u32, Refusal> {
    match &extent.depth {
        // Stages before that of the wave are no part of it.
        Depth::Whole => Ok(extent.wave.map_or(0, |_| state.floor(lane))),
        Depth::Steps(steps) => Ok(lane.applied.saturating_sub(*steps)),
        Depth::Time(_, then) => Ok(then.get(target).copied().unwrap_or_default().min(lane.applied)),
        Depth::Version(version) => {
            // One that is below it already stays where it is.
            let newest = |kept: &u32| newest(state, lane, *kept) == Some(version);
            let place = (0..=state.steps(lane)).rev().find(newest);
            place.map(|kept| kept.min(lane.applied)).ok_or_else(|| {
                Refusal::new(
                    Kind::Missing,
                    format!(
                        "{version} was not the newest version in force on target {target} before or \
                         within {}",
                        state.id
                    ),
                    format!(
                        "`skein rollback {} --dry-run` says what it did; what lies before is undone by \
                         rolling back earlier rollouts, the newest first",
                        state.id
                    ),
                )
            })
        }
    }
}

/// The newest version in force on a lane's target with so many steps of it.
fn newest<'a>(state: &'a State, lane: &Lane, kept: u32) -> Option<&'a Version> {
    let class = state.class(lane)?;
    let kept = usize::try_from(kept).ok()?;
    let step = kept.checked_sub(1).and_then(|last| class.steps.get(last));
    match step.map(|step| step.direction) {
        Some(Direction::Up) => step.map(|step| &step.entry.version),
        None | Some(Direction::Validate) => class.before.last().map(|entry| &entry.version),
        Some(Direction::Down) => {
            let left = class.before.len().checked_sub(kept + 1)?;
            class.before.get(left).map(|entry| &entry.version)
        }
    }
}

fn line(fleet: &Fleet, state: &State, (lane, target): (&Lane, &TargetId), floor: u32) -> Line {
    let mut line = Line {
        target: target.clone(),
        versions: Vec::new(),
        keep: lane.applied,
        blocked_by: String::new(),
        wave: lane.wave,
        destroys: Vec::new(),
    };
    for step in (floor..lane.applied).rev() {
        let Some(step) = state.step(lane, StepIx(step)) else { break };
        if step.undo == Undo::Impossible {
            line.blocked_by = step.entry.version.to_string();
            break;
        }
        line.versions.push(step.entry.version.to_string());
        if destroys(fleet, state, (lane, step)) {
            line.destroys.push(step.entry.version.to_string());
        }
        line.keep -= 1;
    }
    line
}

/// Whether the script that undoes a step loses data or schema: as its reader found when the bundle was stored.
fn destroys(fleet: &Fleet, state: &State, (lane, step): (&Lane, &Step)) -> bool {
    let manifest = fleet.bundles.get(&state.plan.spec.bundle);
    let place = usize::try_from(step.migration).unwrap_or(usize::MAX);
    let migration = manifest.and_then(|manifest| manifest.migrations.get(place));
    let script = migration.and_then(|migration| match step.direction {
        Direction::Up => migration.down.as_ref(),
        Direction::Down => Some(&migration.up),
        Direction::Validate => None,
    });
    let engine = state.class(lane).map(|class| class.engine);
    let facts = script.zip(engine).and_then(|(script, engine)| script.facts(engine));
    facts.is_some_and(|facts| facts.destructive)
}

pub(super) fn on_request(
    fleet: &Fleet,
    id: RolloutId,
    extent: &Extent,
    waivers: &[Waiver],
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
    left(fleet, state, extent)?;
    let mut lines = Vec::new();
    for (lane, line) in wanted(fleet, state, extent)? {
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
            Kind::Unwaived,
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
        cause: cause(extent),
        targets: lines.iter().map(Line::unwind).collect(),
        breach: false,
    });
    Ok(bodies)
}

/// Nobody who is meant is on the last step of what it was given up for: it may get to its end, and is to be undone then.
fn left(fleet: &Fleet, state: &State, extent: &Extent) -> Result<(), Refusal> {
    let leaves = |lane: &&Lane| {
        let wave = extent.wave.is_none_or(|wave| wave == lane.wave);
        wave && lane.given_up && lane.fence.is_some()
    };
    let lanes = state.lanes.iter().map(|(_, lane)| lane).filter(leaves);
    let mut targets = lanes.filter_map(|lane| fleet.targets.get(lane.target));
    let meant = |target: &&target::State| extent.selector.matches(&target.id, &target.description);
    match targets.find(meant) {
        None => Ok(()),
        Some(target) => Err(Refusal::new(
            Kind::Conflict,
            format!(
                "target {} was given up, and an agent is at its last step for {}",
                target.id, state.id
            ),
            format!("ask again when its leg has ended: `skein status {}`", state.id),
        )),
    }
}

fn cause(extent: &Extent) -> String {
    let wave = extent.wave.map(|wave| format!(" in wave {}", wave.0 + 1)).unwrap_or_default();
    let condition = extent.selector.condition.as_ref();
    let condition = condition.map(|it| format!(" where {}", it.text)).unwrap_or_default();
    let depth = match &extent.depth {
        Depth::Whole | Depth::Steps(_) => String::new(),
        Depth::Version(version) => format!(", to version {version}"),
        Depth::Time(seq, _) => format!(", to where they were before event {seq}"),
    };
    format!("asked for{wave}{condition}{depth}")
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

/// What later rollouts have done on targets that they have had since: who comes late may come from one of them.
fn later(fleet: &Fleet, id: RolloutId) -> impl Iterator<Item = (RolloutId, &Lane)> {
    let later = fleet.rollouts.range(RolloutId(id.0 + 1)..);
    let later = later.filter(|(_, other)| !other.trial());
    let lanes = later.flat_map(|(later, other)| other.lanes.iter().map(|(_, lane)| (*later, lane)));
    lanes.filter(move |(_, lane)| {
        let last = fleet.targets.get(lane.target).and_then(|target| target.last);
        lane.is_begun() && last.is_none_or(|(last, _)| last != id)
    })
}

/// A later rollout that has done something on one of these targets.
pub(super) fn above<'a>(
    fleet: &'a Fleet,
    id: RolloutId,
    targets: &BTreeSet<TargetIx>,
) -> Option<(RolloutId, &'a target::State)> {
    let (later, lane) = later(fleet, id).find(|(_, lane)| targets.contains(&lane.target))?;
    Some((later, fleet.targets.get(lane.target)?))
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
    let cause = state.failed_gate().map_or(budget, ToOwned::to_owned);
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
                || (lane.phase == Phase::Ready && (lane.applied > state.floor(lane) || lane.doubt))
        }
        OnBreach::RollbackWave => Some(lane.wave) == wave,
        OnBreach::RollbackRollout => lane.phase != Phase::Waiting || lane.is_begun(),
    };
    // Who was left out stays as it is.
    let in_scope = |lane: &Lane| lane.phase != Phase::Waived && !lane.given_up && in_scope(lane);
    // A rollout that had halted may go on after others have worked on what it had done.
    let later: BTreeSet<_> = later(fleet, id).map(|(_, lane)| lane.target).collect();
    let ours = |lane: &Lane| {
        lane.phase != Phase::Done || (!later.contains(&lane.target) && stands(fleet, state, lane))
    };
    let (ours, others): (Vec<_>, Vec<_>) = state
        .lanes
        .iter()
        .filter(|(_, lane)| in_scope(lane))
        .filter_map(|(_, lane)| Some((lane, fleet.targets.get(lane.target)?)))
        .partition(|(lane, _)| ours(lane));
    let targets: Vec<Unwind> = ours
        .into_iter()
        .map(|(lane, target)| {
            // Stages before this one are whole, and stay where the rollout as a whole does.
            let floor = match scope {
                OnBreach::RollbackRollout => 0,
                OnBreach::Halt | OnBreach::RollbackTarget | OnBreach::RollbackWave => {
                    state.floor(lane)
                }
            };
            line(fleet, state, (lane, &target.id), floor).unwind()
        })
        .collect();
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
    Ok(vec![Body::RollbackStarted { rollout: id, cause, targets, breach: true }])
}
