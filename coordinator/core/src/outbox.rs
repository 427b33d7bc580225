//! What an agent has to do, from the state alone. Handing a leg out twice is harmless.

use std::ops::Bound;

use crate::event::LegKind;
use crate::ids::{AgentId, Digest, Fence, LaneIx, RepairId, RolloutId, StepIx, TargetId};
use crate::spec::{Backup, Batching, Direction, Gate, Quantiles, Question, Throttle, When};
use crate::state::Fleet;
use crate::state::ledger::Entry;
use crate::state::repair::Change;
use crate::state::rollout::{Lane, Phase, State};
use crate::state::target;

/// Consecutive steps on one target, under one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// The lease.
    pub fence: Fence,
    /// Where.
    pub target: TargetId,
    /// For which rollout.
    pub rollout: RolloutId,
    /// What for.
    pub kind: LegKind,
    /// With what.
    pub bundle: Digest,
    /// In the order in which they run.
    pub steps: Vec<Step>,
    /// What to back up before the first one.
    pub backup: Backup,
    /// It is recorded already.
    pub backed_up: bool,
    /// What the log takes to be in force.
    pub expected: Vec<Entry>,
    /// What the log takes the server to be; empty: not known.
    pub identity: String,
    /// The statement that runs is killed, on somebody's word.
    pub kill: bool,
    /// The rollout has turned or stands still, or somebody holds the target: report what the ledger has beyond the log, finish a step that was
    /// begun, begin no other, and give the leg back.
    pub cancelled: bool,
    /// Asked around each step; of a leg forward only.
    pub gates: Vec<Gate>,
    /// Asked before each step and between its statements; of a leg forward only.
    pub throttles: Vec<Throttle>,
    /// How statements in batches are gone over.
    pub batching: Batching,
    /// Such a statement is left behind the batch under way.
    pub after_batch: bool,
    /// How quickly the target answered before its first step, for those of them that compare, by name.
    pub baselines: Vec<(String, Vec<Quantiles>)>,
    /// Gates that compare, and for which that is to be measured before the first step.
    pub measure: Vec<Gate>,
}

/// One script to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its place in the class.
    pub ix: StepIx,
    /// Its place in the bundle.
    pub migration: u32,
    /// Its ledger row.
    pub entry: Entry,
    /// Which script runs.
    pub script: Direction,
}

/// The legs that an agent holds.
pub fn outbox(fleet: &Fleet, agent: &AgentId) -> Vec<Leg> {
    let Some(agent) = fleet.agents.get(agent) else { return Vec::new() };
    agent
        .legs
        .keys()
        .filter_map(|fence| leg(fleet, agent.legs.get(fence).copied()?, *fence))
        .collect()
}

fn leg(fleet: &Fleet, target: crate::ids::TargetIx, fence: Fence) -> Option<Leg> {
    let (state, lane) = fleet.lane(target)?;
    let target = fleet.targets.get(target)?;
    let (_, lane_ix) = target.lane?;
    let kind = state.leg_kind(lane);
    let class = state.class(lane)?;
    let range = match kind {
        LegKind::Forward | LegKind::Trial => lane.verified..state.until(lane),
        LegKind::Undo => lane.keep..lane.applied,
    };
    let one = |step: u32| {
        let planned = class.steps.get(usize::try_from(step).ok()?)?;
        let script = match (kind, planned.direction) {
            (LegKind::Undo, Direction::Up) => Direction::Down,
            (LegKind::Undo, Direction::Down) => Direction::Up,
            (_, Direction::Up | Direction::Validate) => Direction::Up,
            (_, Direction::Down) => Direction::Down,
        };
        Some(Step {
            ix: StepIx(step),
            migration: planned.migration,
            entry: planned.entry.clone(),
            script,
        })
    };
    let steps = match kind {
        LegKind::Forward | LegKind::Trial => range.filter_map(one).collect(),
        LegKind::Undo => range.rev().filter_map(one).collect(),
    };
    Some(Leg {
        fence,
        target: target.id.clone(),
        rollout: state.id,
        kind,
        bundle: state.plan.spec.bundle,
        steps,
        backup: state.plan.spec.strategy.backup,
        backed_up: lane.archive.is_some(),
        expected: fleet.entries.spell(&target.ledger).cloned().collect(),
        identity: target.identity.clone(),
        kill: lane.kill,
        cancelled: lane.kill
            || (lane.unwind && lane.phase == Phase::Leased)
            || state.stopping
            || lane.given_up
            || (lane.held.is_some() && !lane.finishes),
        gates: around_steps(state, lane, kind),
        throttles: match kind {
            LegKind::Forward => state.throttles_of(lane, target),
            LegKind::Trial | LegKind::Undo => Vec::new(),
        },
        batching: state.batching(),
        after_batch: (state.stopping && state.at_batch && fence <= state.batches_left)
            || (lane.held.is_some() && lane.at_batch),
        baselines: known(state, (lane_ix, lane), kind),
        measure: unmeasured(state, (lane_ix, lane), kind),
    })
}

/// A gate to be asked, under one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The lease.
    pub fence: Fence,
    /// For which rollout.
    pub rollout: RolloutId,
    /// What, and how often.
    pub gate: Gate,
    /// In which target; `None`: it is not of a target.
    pub target: Option<TargetId>,
    /// Again and again for so long, milliseconds; of a soak only.
    pub for_ms: u64,
    /// How quickly the target answered before its first step, where the gate compares.
    pub baseline: Vec<Quantiles>,
}

/// The gates that an agent has been given to ask since a fence, in order.
pub fn asks_after(fleet: &Fleet, agent: &AgentId, after: Fence) -> Vec<Ask> {
    let Some(agent) = fleet.agents.get(agent) else { return Vec::new() };
    let new = agent.asks.range((Bound::Excluded(after), Bound::Unbounded));
    new.filter_map(|(fence, (rollout, number))| {
        let state = fleet.rollouts.get(rollout)?;
        let ask = state.round.as_ref()?.ask(*number)?;
        let target = ask.target.and_then(|ix| fleet.targets.get(ix));
        Some(Ask {
            fence: *fence,
            rollout: *rollout,
            gate: state.gate(ask.gate)?.clone(),
            target: target.map(|target| target.id.clone()),
            for_ms: ask.until.0.saturating_sub(fleet.time.0),
            baseline: lane_of(state, target)
                .and_then(|lane| state.baseline(lane, ask.gate))
                .map(<[_]>::to_vec)
                .unwrap_or_default(),
        })
    })
    .collect()
}

/// Its lane, as long as the rollout has it.
fn lane_of(state: &State, target: Option<&target::State>) -> Option<LaneIx> {
    let (rollout, lane) = target?.lane?;
    (rollout == state.id).then_some(lane)
}

/// What was measured for gates around steps.
fn known(
    state: &State,
    (ix, lane): (LaneIx, &Lane),
    kind: LegKind,
) -> Vec<(String, Vec<Quantiles>)> {
    let whens = [When::BeforeStep, When::AfterStep];
    let gates = whens.into_iter().flat_map(|when| state.gates_of(lane.wave, when));
    let known = gates.filter(|_| kind == LegKind::Forward).filter_map(|gate| {
        let queries = state.baseline(ix, gate)?.to_vec();
        Some((state.gate(gate)?.name.clone(), queries))
    });
    known.collect()
}

/// Gates of whatever time for which nothing was measured, as long as no step of the stage has run.
fn unmeasured(state: &State, (ix, lane): (LaneIx, &Lane), kind: LegKind) -> Vec<Gate> {
    if kind != LegKind::Forward || lane.applied > state.floor(lane) {
        return Vec::new();
    }
    let whens = [When::BeforeStep, When::AfterStep, When::AfterWave, When::Soak];
    let gates = whens.into_iter().flat_map(|when| state.gates_of(lane.wave, when));
    let gates = gates.filter(|gate| state.baseline(ix, *gate).is_none());
    let gates = gates.filter_map(|gate| state.gate(gate));
    let compares = |gate: &&Gate| matches!(&gate.question, Question::Latency(it) if it.compares());
    gates.filter(compares).cloned().collect()
}

fn around_steps(state: &State, lane: &Lane, kind: LegKind) -> Vec<Gate> {
    let whens = [When::BeforeStep, When::AfterStep];
    let gates = whens.into_iter().flat_map(|when| state.gates_of(lane.wave, when));
    let gates = gates.filter(|_| kind == LegKind::Forward);
    gates.filter_map(|gate| state.gate(gate).cloned()).collect()
}

/// The repair of a target's ledger, under one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mend {
    /// The lease.
    pub fence: Fence,
    /// Where.
    pub target: TargetId,
    /// For which repair.
    pub repair: RepairId,
    /// Whose migrations they are.
    pub bundle: Digest,
    /// In the order in which they are made.
    pub changes: Vec<Change>,
    /// Schemas of targets that got by migrations to what will be in force.
    pub schemas: Vec<Digest>,
    /// Somebody has taken responsibility for what nothing proves.
    pub waived: bool,
    /// What the ledger has before, as far as anybody has seen.
    pub expected: Vec<Entry>,
    /// What the server is, as far as anybody has seen; empty: not known.
    pub identity: String,
}

/// The repairs that an agent holds.
pub fn mends(fleet: &Fleet, agent: &AgentId) -> Vec<Mend> {
    let Some(agent) = fleet.agents.get(agent) else { return Vec::new() };
    agent.legs.iter().filter_map(|(fence, target)| mend(fleet, *target, *fence)).collect()
}

fn mend(fleet: &Fleet, target: crate::ids::TargetIx, fence: Fence) -> Option<Mend> {
    let target = fleet.targets.get(target)?;
    let (repair, line) = target.mend?;
    let state = fleet.repairs.get(&repair)?;
    let class = state.class(state.lines.get(usize::try_from(line).ok()?)?)?;
    let seen = target.seen.as_ref().map(|seen| &seen.identity);
    Some(Mend {
        fence,
        target: target.id.clone(),
        repair,
        bundle: state.order.bundle,
        changes: class.changes.clone(),
        schemas: class.schemas.clone(),
        waived: !state.order.waiver.is_empty(),
        expected: class.before.clone(),
        identity: seen.unwrap_or(&target.identity).clone(),
    })
}
