//! The state as messages.

use bytes::Bytes;
use skein_core::Fleet;
use skein_core::forecast;
use skein_core::hours::Shut;
use skein_core::ids::{AgentId, Digest, Millis, RolloutId, StepIx, WaveIx};
use skein_core::outbox::{Ask, Leg, Mend};
use skein_core::schedule::{
    Batched, Moment, Presence, awaited, waits_for, waits_for_a_word, watched,
};
use skein_core::spec::{Backup, Direction, Knob, Setting};
use skein_core::state::rollout::{self, Lane, Phase, Status};
use skein_core::state::{agent, target};
use skein_core::view;
use skein_proto::agent::v1 as session;
use skein_proto::v1;

use crate::{class, codec};

pub(crate) fn leg_out(leg: Leg, charter: Digest) -> session::Leg {
    session::Leg {
        fence: leg.fence.0,
        target: leg.target.to_string(),
        rollout: leg.rollout.to_string(),
        kind: codec::leg_kind_out(leg.kind).into(),
        bundle: Bytes::copy_from_slice(&leg.bundle.0),
        steps: leg
            .steps
            .into_iter()
            .map(|step| session::LegStep {
                step: step.ix.0,
                migration: step.migration,
                version: step.entry.version.to_string(),
                script: direction(step.script).into(),
                digest: Bytes::copy_from_slice(&step.entry.digest.0),
                probe: false,
            })
            .collect(),
        backup: match leg.backup {
            Backup::Database => v1::BackupScope::BackupDatabase,
            Backup::Tables => v1::BackupScope::BackupTables,
            Backup::Schema => v1::BackupScope::BackupSchema,
            Backup::Exempt => v1::BackupScope::BackupNone,
        }
        .into(),
        backup_recorded: leg.backed_up,
        expected: leg.expected.iter().map(codec::entry_out).collect(),
        expected_identity: leg.identity,
        charter: Bytes::copy_from_slice(&charter.0),
        gates: leg.gates.iter().map(codec::gate_out).collect(),
        measure: leg.measure.iter().map(codec::gate_out).collect(),
        baselines: leg
            .baselines
            .into_iter()
            .map(|(gate, queries)| session::Baseline {
                gate,
                queries: codec::quantiles_out(&queries),
            })
            .collect(),
        throttles: leg.throttles.iter().map(codec::throttle_out).collect(),
        batching: codec::batching_out(leg.batching),
        ..session::Leg::default()
    }
}

pub(crate) fn ask_out(ask: Ask) -> session::Ask {
    session::Ask {
        fence: ask.fence.0,
        rollout: ask.rollout.to_string(),
        gate: Some(codec::gate_out(&ask.gate)),
        target: ask.target.map(|target| target.to_string()).unwrap_or_default(),
        for_ms: ask.for_ms,
        baseline: codec::quantiles_out(&ask.baseline),
    }
}

pub(crate) fn mend_out(mend: Mend, charter: Digest) -> session::Leg {
    session::Leg {
        fence: mend.fence.0,
        target: mend.target.to_string(),
        rollout: mend.repair.to_string(),
        kind: session::LegKind::Mend.into(),
        bundle: Bytes::copy_from_slice(&mend.bundle.0),
        steps: mend
            .changes
            .into_iter()
            .zip(0..)
            .map(|(change, step)| session::LegStep {
                step,
                migration: change.migration,
                version: change.entry.version.to_string(),
                script: direction(change.direction).into(),
                digest: Bytes::copy_from_slice(&change.entry.digest.0),
                probe: change.probe,
            })
            .collect(),
        expected: mend.expected.iter().map(codec::entry_out).collect(),
        expected_identity: mend.identity,
        charter: Bytes::copy_from_slice(&charter.0),
        schemas: codec::digests_out(&mend.schemas),
        waived: mend.waived,
        ..session::Leg::default()
    }
}

fn direction(direction: Direction) -> v1::Direction {
    match direction {
        Direction::Up => v1::Direction::Up,
        Direction::Down => v1::Direction::Down,
        Direction::Validate => v1::Direction::Validate,
    }
}

pub(super) fn target(
    fleet: &Fleet,
    target: &target::State,
    (presence, debt): (&Presence, Option<view::Debt>),
) -> v1::Target {
    let observation = target.observed_at.map(|_| v1::Observation {
        engine_version: target.engine_version.clone(),
        identity: target.identity.clone(),
        fingerprint: target
            .fingerprint
            .map(|digest| Bytes::copy_from_slice(&digest.0))
            .unwrap_or_default(),
        ledger: fleet.entries.spell(&target.ledger).map(codec::entry_out).collect(),
        fence: 0,
        open_intent: String::new(),
        bytes: target.told.bytes,
        // Numbers that stand for names tell nobody anything.
        tables: None,
    });
    v1::Target {
        description: Some(codec::description_out(&target.id, &target.description)),
        agents: target.agents.iter().map(ToString::to_string).collect(),
        observation,
        observed_at_ms: target.observed_at.map_or(0, |at| at.0),
        problem: target.problem.clone(),
        rollout: match (target.lane, target.mend) {
            (Some((rollout, _)), _) => rollout.to_string(),
            (None, Some((repair, _))) => repair.to_string(),
            (None, None) => String::new(),
        },
        connected: target.agents.iter().any(|agent| presence.slots.contains_key(agent)),
        retired: target.retired,
        class: class::of(fleet, target)
            .map(|class| Bytes::copy_from_slice(&class.0))
            .unwrap_or_default(),
        owes: debt.map(|debt| v1::Debt {
            rollout: debt.rollout.to_string(),
            versions: debt.versions.iter().map(ToString::to_string).collect(),
            left_out: debt.left_out,
            not_before_ms: debt.not_before.map_or(0, |at| at.0),
        }),
    }
}

pub(super) fn agent(
    (id, agent): (&AgentId, &agent::State),
    presence: &Presence,
    sources: Vec<v1::Source>,
) -> v1::Agent {
    v1::Agent {
        id: id.to_string(),
        connected: presence.slots.contains_key(id),
        targets: agent.targets,
        legs: u32::try_from(agent.legs.len()).unwrap_or(u32::MAX),
        version: agent.version.clone(),
        sources,
        heard_ms: presence.heard.get(id).map_or(0, |at| at.0),
    }
}

/// Targets that are waited for and named, where lanes are not asked for.
const AWAITED: usize = 100;

fn phase(phase: Phase) -> v1::LaneState {
    match phase {
        Phase::Waiting => v1::LaneState::Waiting,
        Phase::Ready => v1::LaneState::Ready,
        Phase::Leased => v1::LaneState::Leased,
        Phase::Done => v1::LaneState::Done,
        Phase::Failed => v1::LaneState::Failed,
        Phase::Stuck => v1::LaneState::Stuck,
        Phase::UndoReady => v1::LaneState::UndoReady,
        Phase::UndoLeased => v1::LaneState::UndoLeased,
        Phase::Undone => v1::LaneState::Undone,
        Phase::Residual => v1::LaneState::Residual,
        Phase::Waived => v1::LaneState::Waived,
    }
}

/// Those in force.
pub(super) fn freezes(fleet: &Fleet, now: Millis) -> Vec<v1::Freeze> {
    let in_force = fleet.freezes.iter().filter(|(_, freeze)| freeze.holds(now));
    in_force.map(|(id, freeze)| codec::freeze_out(*id, freeze)).collect()
}

/// A rollout, what closes its targets, and who is connected.
type Seen<'a, 'b> = (&'a rollout::State, &'a Shut<'b>, &'a Presence);

/// Why the time holds a lane back that could go on.
fn closed(shut: &Shut<'_>, lane: &Lane, target: Option<&target::State>) -> String {
    let waits = match lane.phase {
        Phase::Ready | Phase::UndoReady => true,
        Phase::Waiting
        | Phase::Leased
        | Phase::Done
        | Phase::Failed
        | Phase::Stuck
        | Phase::UndoLeased
        | Phase::Undone
        | Phase::Residual
        | Phase::Waived => false,
    };
    let wait = target.filter(|_| waits).and_then(|target| shut.wait(target));
    wait.map(|wait| shut.say(&wait)).unwrap_or_default()
}

fn lane(fleet: &Fleet, (state, shut, presence): Seen<'_, '_>, lane: &Lane) -> v1::Lane {
    let target = fleet.targets.get(lane.target);
    let lease = target.and_then(|target| target.lease.as_ref());
    v1::Lane {
        target: target.map(|target| target.id.to_string()).unwrap_or_default(),
        wave: lane.wave.0,
        state: phase(lane.phase).into(),
        steps: state.steps(lane),
        applied: lane.applied,
        verified: lane.verified,
        backed_up: lane.archive.as_ref().is_some_and(|archive| !archive.name.is_empty()),
        attempt: lane.attempt,
        note: lane.note.as_deref().unwrap_or_default().to_owned(),
        agent: lease
            .filter(|lease| Some(lease.fence) == lane.fence)
            .map(|lease| lease.agent.to_string())
            .unwrap_or_default(),
        fence: lane.fence.map_or(0, |fence| fence.0),
        held: lane.held.as_deref().unwrap_or_default().to_owned(),
        closed: closed(shut, lane, target),
        throttled: target
            .and_then(|target| presence.throttled(lane, target))
            .map(|throttled| throttled.why.clone())
            .unwrap_or_default(),
        batches: target.and_then(|target| presence.batched(lane, target)).map(progress),
        until_ms: 0,
    }
}

fn progress(batched: &Batched) -> v1::BatchProgress {
    v1::BatchProgress {
        statement: batched.statement,
        over: batched.over.clone(),
        batches: batched.batches,
        rows: batched.rows,
        percent: batched.percent,
        size: batched.size,
    }
}

/// What the rollout was told to go on without; some of it had no lane.
fn waived(fleet: &Fleet, seen: Seen<'_, '_>) -> Vec<v1::Lane> {
    let (state, _, _) = seen;
    let mut waived: Vec<v1::Lane> = view::waived(state)
        .map(|(_, at)| {
            let exempt = state.exempt.get(&at.target);
            v1::Lane { until_ms: until(exempt), ..lane(fleet, seen, at) }
        })
        .collect();
    for (ix, exempt) in &state.exempt {
        let Some(target) = fleet.targets.get(*ix) else { continue };
        if waived.iter().any(|lane| lane.target == target.id.as_str()) {
            continue;
        }
        waived.push(v1::Lane {
            target: target.id.to_string(),
            state: v1::LaneState::Waived.into(),
            note: format!("left out by {}: {}", exempt.by, exempt.reason),
            until_ms: until(Some(exempt)),
            ..v1::Lane::default()
        });
    }
    waived
}

fn until(exempt: Option<&rollout::Exempt>) -> u64 {
    exempt.and_then(|exempt| exempt.until).map_or(0, |until| until.0)
}

pub(super) fn rollout_state(status: Status) -> v1::RolloutState {
    match status {
        Status::Planned => v1::RolloutState::Planned,
        Status::Running => v1::RolloutState::Running,
        Status::Paused => v1::RolloutState::Paused,
        Status::Unwinding => v1::RolloutState::Unwinding,
        Status::Completed => v1::RolloutState::Completed,
        Status::RolledBack => v1::RolloutState::RolledBack,
        Status::Halted => v1::RolloutState::Halted,
    }
}

/// As they stand now, set or planned.
fn knobs(state: &rollout::State) -> Vec<v1::Knob> {
    let budget = state.budget();
    let mut knobs = vec![Knob::Parallelism(state.parallelism())];
    knobs.extend(state.limits().into_iter().map(Knob::Limit));
    knobs.extend([
        Knob::PerGroup(state.per_group()),
        Knob::SoakMs(state.soak_ms(state.wave().unwrap_or_default())),
        Knob::BudgetFailed(budget.failed),
        Knob::BudgetPercent(budget.percent),
        Knob::Retries(state.retries()),
    ]);
    let strategy = &state.plan.spec.strategy;
    if !strategy.heavy.steps.is_empty() || state.heavy_per_group() > 0 {
        knobs.push(Knob::HeavyPerGroup(state.heavy_per_group()));
    }
    if !strategy.windows.is_empty() || !strategy.blackouts.is_empty() {
        knobs.push(Knob::Windows(state.windows()));
    }
    knobs.extend(strategy.throttles.iter().map(|throttle| {
        let setting = match state.throttle(&throttle.name) {
            Setting::On if !throttle.measure.has_limit() => Setting::On,
            Setting::On if throttle.measure.is_of_time() => Setting::Time(throttle.limit),
            Setting::On => Setting::Value(throttle.limit),
            set @ (Setting::Off | Setting::Time(_) | Setting::Value(_)) => set,
        };
        Knob::Throttle(throttle.name.clone(), setting)
    }));
    let batching = state.batching();
    knobs.extend([Knob::Batch(batching.size), Knob::BatchPauseMs(batching.pause_ms)]);
    knobs.iter().map(codec::knob_out).collect()
}

pub(super) fn rollout(
    fleet: &Fleet,
    state: &rollout::State,
    presence: &Presence,
    (now, with_lanes): (Millis, bool),
) -> v1::RolloutStatus {
    let watched = watched(state, now);
    let overran = overran(fleet, state, now);
    let shut = Shut::new(fleet, state, (&presence.hours, now));
    let seen = (state, &shut, presence);
    let waves = state
        .plan
        .waves
        .iter()
        .zip(&state.counts)
        .zip((0..).map(WaveIx))
        .map(|((wave, counts), ix)| {
            // The first place is for the unspecified state.
            let mut lanes = vec![0];
            lanes.extend_from_slice(counts.all());
            // Those that came late, too.
            let mut targets = counts.all().iter().sum();
            let planned = u32::try_from(wave.targets.len()).unwrap_or(u32::MAX);
            let elsewhere = planned.saturating_sub(targets);
            // Of a stage that was gone through, or of one to come.
            let (gone, to_come) = (wave.stage < state.stage(), ix.0 >= state.opened);
            if elsewhere > 0 && !state.turned && (gone || to_come) {
                let phase = if gone { Phase::Done } else { Phase::Waiting };
                if let Some(count) = lanes.get_mut(phase.index() + 1) {
                    *count += elsewhere;
                }
                targets = planned;
            }
            v1::WaveStatus {
                name: wave.name.clone(),
                stage: state.plan.stage(wave.stage).map(|it| it.name.clone()).unwrap_or_default(),
                targets,
                lanes,
                waits_for_approval: wave.approval
                    && ix.0 >= state.opened
                    && !state.approved.contains(&ix),
                soak_ms: state.soak_ms(ix),
                soak_until_ms: watched.filter(|(wave, _)| *wave == ix).map_or(0, |(_, at)| at.0),
            }
        })
        .collect();
    let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let residual = if state.status == Status::Halted {
        view::residual(state).map(|(_, at)| lane(fleet, seen, at)).collect()
    } else {
        Vec::new()
    };
    let lanes = if with_lanes {
        state.lanes.iter().map(|(_, at)| lane(fleet, seen, at)).collect()
    } else {
        Vec::new()
    };
    v1::RolloutStatus {
        id: state.id.to_string(),
        plan: Bytes::copy_from_slice(&state.plan_id.0),
        state: rollout_state(state.status).into(),
        direction: direction(state.plan.spec.direction).into(),
        waves,
        wave: state.opened.saturating_sub(1),
        targets: state.total.all().iter().sum(),
        steps: small(state.progress.planned),
        steps_applied: small(state.progress.applied),
        steps_verified: small(state.progress.verified),
        steps_undone: small(state.progress.undone),
        started_at_ms: state.started_at.0,
        ended_at_ms: state.ended_at.0,
        reason: waits_for(fleet, state, Moment::of(presence, now)),
        residual,
        lanes,
        started_by: state.started_by.clone(),
        knobs: knobs(state),
        waits_for_word: waits_for_a_word(state, now).map_or(0, |wave| wave.0 + 1),
        waived: waived(fleet, seen),
        awaited: awaited(fleet, state)
            .take(if with_lanes { usize::MAX } else { AWAITED })
            .map(|(target, reason)| v1::HeldTarget { target: target.to_string(), reason })
            .collect(),
        awaited_count: u32::try_from(state.awaited.len()).unwrap_or(u32::MAX),
        waits_for_absent: state.waits_for_absent() && watched.is_none(),
        rest: forecast::rest(fleet, state, now).map(|rest| codec::amount_out(&rest)),
        overran_count: u32::try_from(overran.len()).unwrap_or(u32::MAX),
        overran: overran.into_iter().take(AWAITED).collect(),
        silent: view::silences(fleet, state, presence).iter().map(silence).collect(),
        forward_again: view::forward_again(state),
        taken_over: view::taken_over(fleet, state).map(|id| id.to_string()).unwrap_or_default(),
    }
}

fn silence(silence: &view::Silence<'_>) -> v1::Silence {
    v1::Silence {
        region: silence.region.to_owned(),
        agents: silence.agents.iter().map(ToString::to_string).collect(),
        since_ms: silence.since.map_or(0, |at| at.0),
        targets: u32::try_from(silence.targets).unwrap_or(u32::MAX),
        example: silence.example.to_string(),
    }
}

/// Steps under way of which the log says that they take longer than was forecast. Looks at legs alone.
fn overran(fleet: &Fleet, state: &rollout::State, now: Millis) -> Vec<v1::Overrun> {
    let legs = fleet.agents.values().flat_map(|agent| agent.legs.values());
    let lanes = legs.filter_map(|ix| {
        let target = fleet.targets.get(*ix)?;
        let (id, lane) = target.lane?;
        let lane = state.lanes.get(lane).filter(|lane| id == state.id && lane.overran)?;
        let undo = lane.phase == Phase::UndoLeased;
        let step = if undo { lane.applied.checked_sub(1)? } else { lane.applied };
        Some(v1::Overrun {
            target: target.id.to_string(),
            version: state.step(lane, StepIx(step))?.entry.version.to_string(),
            undo,
            ms: now.0.saturating_sub(lane.since.0),
        })
    });
    lanes.collect()
}

pub(super) fn summary(
    fleet: &Fleet,
    presence: &Presence,
    (now, leader): (Millis, u64),
) -> v1::StatusReply {
    let sums = fleet.targets.sums();
    let here = |agent: &AgentId| presence.slots.contains_key(agent);
    let served = sums.served.iter().filter(|(agents, _)| agents.iter().any(here));
    let connected = served.map(|(_, targets)| targets).sum();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let held = |target: &target::State| v1::HeldTarget {
        target: target.id.to_string(),
        reason: target.problem.clone(),
    };
    let mut held: Vec<_> = fleet.targets.held().map(held).collect();
    held.sort_unstable_by(|one, other| one.target.cmp(&other.target));
    let cluster = fleet.cluster.as_ref();
    v1::StatusReply {
        rollouts: Vec::new(),
        targets: sums.live,
        targets_connected: connected,
        agents: count(fleet.agents.len()),
        agents_connected: count(presence.slots.len()),
        compliance: Some(v1::Compliance {
            events: fleet.seq.0,
            under_charter: fleet.under_charter,
        }),
        charter: Bytes::copy_from_slice(&fleet.charter().0),
        charter_bound: cluster.map(|cluster| cluster.bound.clone()).unwrap_or_default(),
        seq: fleet.seq.0,
        leader,
        now_ms: now.0,
        versions: view::versions(fleet)
            .into_iter()
            .map(|(version, targets)| v1::VersionCount {
                version: version.map(|version| version.to_string()).unwrap_or_default(),
                targets,
            })
            .collect(),
        held,
        freezes: freezes(fleet, now),
        concerns: Vec::new(),
    }
}

/// Rollouts that a person who asks about the fleet wants to see: live ones, and the newest.
pub(super) fn newest(fleet: &Fleet) -> Vec<RolloutId> {
    const SHOWN: usize = 10;
    let mut ids: Vec<RolloutId> = fleet.rollouts.keys().rev().take(SHOWN).copied().collect();
    ids.extend(fleet.active.iter().filter(|id| !ids.contains(id)).copied().collect::<Vec<_>>());
    ids.sort_unstable();
    ids
}
