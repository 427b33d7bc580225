//! Questions and plans.

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use skein_core::ids::{ClassIx, Digest, TargetId, Version};
use skein_core::plan::{Absent, Class, Plan, Stage, Step, Undo, Wave};
use skein_core::spec::{
    self, Backup, Budget, Direction, Goal, Heavy, Knob, Limit, OnBreach, Order, Scope, Spec,
    Strategy,
};
use skein_proto::v1;

use super::block::{block, block_out};
use super::fleet::{engine, engine_out, entry, entry_out, selector, selector_out};
use super::gate::{breaks_around_steps, gate, gate_out};
use super::manifest::{lock, lock_out, mode, mode_out};
use super::{Malformed, batching, digest, digest_out, pace, required, throttle};

/// SHA-256 over the plan's canonical bytes: its protobuf form, whose fields are written in order and
/// which has no map, clock or chance in it.
pub(crate) fn plan_id(plan: &Plan) -> Digest {
    Digest(Sha256::digest(plan_out(plan).encode_to_vec()).into())
}

pub(super) fn direction(wire: v1::Direction) -> Result<Direction, Malformed> {
    match wire {
        v1::Direction::Up => Ok(Direction::Up),
        v1::Direction::Down => Ok(Direction::Down),
        v1::Direction::Validate => Ok(Direction::Validate),
        v1::Direction::Unspecified => Err(Malformed::new("the direction", "is missing")),
    }
}

pub(super) fn direction_out(direction: Direction) -> v1::Direction {
    match direction {
        Direction::Up => v1::Direction::Up,
        Direction::Down => v1::Direction::Down,
        Direction::Validate => v1::Direction::Validate,
    }
}

pub(super) fn backup(wire: v1::BackupScope) -> Backup {
    match wire {
        // Whoever does not say gets the safest.
        v1::BackupScope::BackupDatabase | v1::BackupScope::Unspecified => Backup::Database,
        v1::BackupScope::BackupTables => Backup::Tables,
        v1::BackupScope::BackupSchema => Backup::Schema,
        v1::BackupScope::BackupNone => Backup::Exempt,
    }
}

pub(super) fn backup_out(backup: Backup) -> v1::BackupScope {
    match backup {
        Backup::Database => v1::BackupScope::BackupDatabase,
        Backup::Tables => v1::BackupScope::BackupTables,
        Backup::Schema => v1::BackupScope::BackupSchema,
        Backup::Exempt => v1::BackupScope::BackupNone,
    }
}

fn goal(wire: Option<v1::Goal>) -> Result<Goal, Malformed> {
    Ok(match required(wire.and_then(|goal| goal.goal), "the goal")? {
        v1::goal::Goal::Latest(_) => Goal::Latest,
        v1::goal::Goal::Version(version) => Goal::Version(Version(version)),
        v1::goal::Goal::Steps(steps) => Goal::Steps(steps),
        v1::goal::Goal::Timestamp(time) => Goal::Timestamp(time),
        v1::goal::Goal::None(_) => Goal::Nothing,
    })
}

fn goal_out(goal: &Goal) -> v1::Goal {
    let goal = match goal {
        Goal::Latest => v1::goal::Goal::Latest(true),
        Goal::Version(version) => v1::goal::Goal::Version(version.to_string()),
        Goal::Steps(steps) => v1::goal::Goal::Steps(*steps),
        Goal::Timestamp(time) => v1::goal::Goal::Timestamp(time.clone()),
        Goal::Nothing => v1::goal::Goal::None(true),
    };
    v1::Goal { goal: Some(goal) }
}

fn on_breach(wire: v1::OnBreach) -> OnBreach {
    match wire {
        v1::OnBreach::Halt => OnBreach::Halt,
        v1::OnBreach::RollbackTarget => OnBreach::RollbackTarget,
        v1::OnBreach::RollbackWave => OnBreach::RollbackWave,
        v1::OnBreach::RollbackRollout | v1::OnBreach::Unspecified => OnBreach::RollbackRollout,
    }
}

fn on_breach_out(on_breach: OnBreach) -> v1::OnBreach {
    match on_breach {
        OnBreach::Halt => v1::OnBreach::Halt,
        OnBreach::RollbackTarget => v1::OnBreach::RollbackTarget,
        OnBreach::RollbackWave => v1::OnBreach::RollbackWave,
        OnBreach::RollbackRollout => v1::OnBreach::RollbackRollout,
    }
}

/// What stands before the share of a wave that is there for each value of a label (`WaveSpec.per`).
const PER_BAR: u32 = 1_000;

fn strategy(wire: Option<v1::Strategy>) -> Result<Strategy, Malformed> {
    let wire = required(wire, "the strategy")?;
    let (on_breach, backup) = (on_breach(wire.on_breach()), backup(wire.backup()));
    let budget = wire.budget.unwrap_or_default();
    let (windows, blackouts) = pace::read(wire.windows, wire.blackouts)?;
    // Beside windows, throttles, stages, heavy steps and breaches around steps it is there for coordinators that know of none.
    let hours = !windows.is_empty() || !blackouts.is_empty();
    let bars = hours
        || !wire.throttles.is_empty()
        || !wire.stages.is_empty()
        || wire.heavy.is_some()
        || wire.gates.iter().any(breaks_around_steps);
    let limits = wire.limits.into_iter().filter(|limit| !(bars && *limit == v1::Limit::default()));
    let waves = wire
        .waves
        .into_iter()
        .map(|wave| {
            let bar = if wave.per.is_empty() { 0 } else { PER_BAR };
            let percent = wave.percent.checked_sub(bar).filter(|percent| *percent <= 100);
            let Some(percent) = percent else {
                return Err(Malformed::new(
                    "a wave's percentage",
                    format!("is {} and should be at most 100", wave.percent),
                ));
            };
            Ok(spec::Wave {
                name: wave.name,
                selector: selector(wave.selector),
                percent,
                count: wave.count,
                one_per_class: wave.one_per_class,
                per: wave.per,
                parallelism: wave.parallelism,
                soak_ms: wave.soak_ms,
                approval: wave.approval,
            })
        })
        .collect::<Result<_, _>>()?;
    let stages = wire.stages.into_iter();
    let stages = stages.map(|it| spec::Stage { name: it.name, to: Version(it.to) }).collect();
    Ok(Strategy {
        stages,
        waves,
        parallelism: wire.parallelism,
        cover_classes: wire.cover_classes,
        order: order(wire.order),
        limits: limits.map(limit).collect(),
        per_group: wire.per_group,
        heavy: heavy(wire.heavy),
        soak_ms: wire.soak_ms,
        budget: Budget {
            failed: budget.failed,
            percent: budget.percent,
            scope: match budget.scope() {
                v1::BudgetScope::ScopeWave => Scope::Wave,
                v1::BudgetScope::ScopeRollout => Scope::Rollout,
            },
        },
        on_breach,
        retries: wire.retries,
        backup,
        gates: wire.gates.into_iter().map(gate).collect::<Result<_, _>>()?,
        windows,
        blackouts,
        throttles: wire.throttles.into_iter().map(throttle::throttle).collect::<Result<_, _>>()?,
        batching: batching::batching(wire.batching),
    })
}

fn heavy(wire: Option<v1::Heavy>) -> Heavy {
    let wire = wire.unwrap_or_default();
    Heavy { steps: wire.steps.into_iter().map(Version).collect(), per_group: wire.per_group }
}

fn heavy_out(heavy: &Heavy) -> Option<v1::Heavy> {
    let steps = heavy.steps.iter().map(ToString::to_string).collect();
    let wire = v1::Heavy { steps, per_group: heavy.per_group };
    (*heavy != Heavy::default()).then_some(wire)
}

fn order(wire: Option<v1::Order>) -> Order {
    match wire {
        Some(order) if order.label.is_empty() => Order::Id,
        Some(order) if order.values.is_empty() => Order::Label(order.label),
        Some(order) => Order::Listed(order.label, order.values),
        None => Order::Id,
    }
}

fn order_out(order: &Order) -> Option<v1::Order> {
    match order {
        Order::Id => None,
        Order::Label(label) => Some(v1::Order { label: label.clone(), values: Vec::new() }),
        Order::Listed(label, values) => {
            Some(v1::Order { label: label.clone(), values: values.clone() })
        }
    }
}

fn limit(wire: v1::Limit) -> Limit {
    Limit { label: wire.label, most: wire.most }
}

fn limit_out(limit: &Limit) -> v1::Limit {
    v1::Limit { label: limit.label.clone(), most: limit.most }
}

pub(crate) fn knob(wire: Option<v1::Knob>) -> Result<Knob, Malformed> {
    use v1::knob::Knob as Wire;
    Ok(match required(wire.and_then(|knob| knob.knob), "what is to be set")? {
        Wire::Parallelism(most) => Knob::Parallelism(most),
        Wire::Limit(wire) => Knob::Limit(limit(wire)),
        Wire::PerGroup(most) => Knob::PerGroup(most),
        Wire::HeavyPerGroup(most) => Knob::HeavyPerGroup(most),
        Wire::SoakMs(soak) => Knob::SoakMs(soak),
        Wire::BudgetFailed(failed) => Knob::BudgetFailed(failed),
        Wire::BudgetPercent(percent) => Knob::BudgetPercent(percent),
        Wire::Retries(retries) => Knob::Retries(retries),
        Wire::Windows(hold) => Knob::Windows(hold),
        Wire::Throttle(wire) => throttle::knob(wire)?,
        Wire::Batch(size) => Knob::Batch(size),
        Wire::BatchPauseMs(pause) => Knob::BatchPauseMs(pause),
    })
}

pub(crate) fn knob_out(knob: &Knob) -> v1::Knob {
    use v1::knob::Knob as Wire;
    let knob = match knob {
        Knob::Parallelism(most) => Wire::Parallelism(*most),
        Knob::Limit(limit) => Wire::Limit(limit_out(limit)),
        Knob::PerGroup(most) => Wire::PerGroup(*most),
        Knob::HeavyPerGroup(most) => Wire::HeavyPerGroup(*most),
        Knob::SoakMs(soak) => Wire::SoakMs(*soak),
        Knob::BudgetFailed(failed) => Wire::BudgetFailed(*failed),
        Knob::BudgetPercent(percent) => Wire::BudgetPercent(*percent),
        Knob::Retries(retries) => Wire::Retries(*retries),
        Knob::Windows(hold) => Wire::Windows(*hold),
        Knob::Throttle(name, setting) => Wire::Throttle(throttle::knob_out(name, *setting)),
        Knob::Batch(size) => Wire::Batch(*size),
        Knob::BatchPauseMs(pause) => Wire::BatchPauseMs(*pause),
    };
    v1::Knob { knob: Some(knob) }
}

fn strategy_out(strategy: &Strategy) -> v1::Strategy {
    let hours = !strategy.windows.is_empty() || !strategy.blackouts.is_empty();
    let heavy = heavy_out(&strategy.heavy);
    let gates: Vec<v1::Gate> = strategy.gates.iter().map(gate_out).collect();
    let bars = hours
        || !strategy.throttles.is_empty()
        || !strategy.stages.is_empty()
        || heavy.is_some()
        || gates.iter().any(breaks_around_steps);
    let bar = bars.then(v1::Limit::default);
    let stage = |it: &spec::Stage| v1::StageSpec { name: it.name.clone(), to: it.to.to_string() };
    v1::Strategy {
        stages: strategy.stages.iter().map(stage).collect(),
        waves: strategy
            .waves
            .iter()
            .map(|wave| v1::WaveSpec {
                name: wave.name.clone(),
                selector: Some(selector_out(&wave.selector)),
                percent: wave.percent + if wave.per.is_empty() { 0 } else { PER_BAR },
                count: wave.count,
                one_per_class: wave.one_per_class,
                per: wave.per.clone(),
                parallelism: wave.parallelism,
                soak_ms: wave.soak_ms,
                approval: wave.approval,
            })
            .collect(),
        parallelism: strategy.parallelism,
        budget: Some(v1::Budget {
            failed: strategy.budget.failed,
            percent: strategy.budget.percent,
            scope: match strategy.budget.scope {
                Scope::Wave => v1::BudgetScope::ScopeWave,
                Scope::Rollout => v1::BudgetScope::ScopeRollout,
            }
            .into(),
        }),
        on_breach: on_breach_out(strategy.on_breach).into(),
        retries: strategy.retries,
        backup: backup_out(strategy.backup).into(),
        limits: strategy.limits.iter().map(limit_out).chain(bar).collect(),
        per_group: strategy.per_group,
        heavy,
        soak_ms: strategy.soak_ms,
        order: order_out(&strategy.order),
        cover_classes: strategy.cover_classes,
        gates,
        windows: strategy.windows.iter().map(pace::window_out).collect(),
        blackouts: strategy.blackouts.iter().map(pace::blackout_out).collect(),
        throttles: strategy.throttles.iter().map(throttle::throttle_out).collect(),
        batching: batching::batching_out(strategy.batching),
    }
}

pub(crate) fn spec(wire: Option<v1::PlanSpec>) -> Result<Spec, Malformed> {
    let wire = required(wire, "the plan's question")?;
    let direction = direction(wire.direction())?;
    Ok(Spec {
        bundle: digest(&wire.bundle, "the bundle's digest")?,
        selector: selector(wire.selector),
        direction,
        goal: goal(wire.goal)?,
        strategy: strategy(wire.strategy)?,
        out_of_order: wire.out_of_order,
        accept_drift: wire.accept_drift,
    })
}

fn spec_out(spec: &Spec) -> v1::PlanSpec {
    v1::PlanSpec {
        bundle: digest_out(Some(spec.bundle)),
        selector: Some(selector_out(&spec.selector)),
        direction: direction_out(spec.direction).into(),
        goal: Some(goal_out(&spec.goal)),
        strategy: Some(strategy_out(&spec.strategy)),
        out_of_order: spec.out_of_order,
        accept_drift: spec.accept_drift,
    }
}

fn undo(wire: v1::Undo) -> Result<Undo, Malformed> {
    match wire {
        v1::Undo::Script => Ok(Undo::Script),
        v1::Undo::None => Ok(Undo::Impossible),
        v1::Undo::NotNeeded => Ok(Undo::NotNeeded),
        v1::Undo::Unspecified => Err(Malformed::new("how a step is undone", "is missing")),
    }
}

fn undo_out(undo: Undo) -> v1::Undo {
    match undo {
        Undo::Script => v1::Undo::Script,
        Undo::Impossible => v1::Undo::None,
        Undo::NotNeeded => v1::Undo::NotNeeded,
    }
}

fn step(wire: v1::PlannedStep, before: v1::LedgerEntry) -> Result<Step, Malformed> {
    let (direction, mode, undo) =
        (direction(wire.direction())?, mode(wire.mode()), undo(wire.undo())?);
    Ok(Step {
        migration: wire.migration,
        entry: entry(before)?,
        name: wire.name,
        direction,
        mode,
        mode_why: wire.mode_why,
        locks: wire.locks.into_iter().map(lock).collect(),
        destructive: wire.destructive,
        undo,
        verify: wire.verify,
        file: wire.file,
    })
}

fn step_out(step: &Step) -> v1::PlannedStep {
    v1::PlannedStep {
        migration: step.migration,
        version: step.entry.version.to_string(),
        digest: digest_out(Some(step.entry.digest)),
        name: step.name.clone(),
        direction: direction_out(step.direction).into(),
        mode: mode_out(step.mode).into(),
        mode_why: step.mode_why.clone(),
        locks: step.locks.iter().map(lock_out).collect(),
        destructive: step.destructive,
        undo: undo_out(step.undo).into(),
        verify: step.verify,
        file: step.file.clone(),
    }
}

pub(super) fn class(wire: v1::PlanClass) -> Result<Class, Malformed> {
    Ok(Class {
        engine: engine(wire.engine())?,
        before: wire.before.into_iter().map(entry).collect::<Result<_, _>>()?,
        steps: wire
            .steps
            .into_iter()
            .map(|wire| {
                let (version, digest) = (wire.version.clone(), wire.digest.clone());
                step(wire, v1::LedgerEntry { version, digest })
            })
            .collect::<Result<_, _>>()?,
        targets: wire.targets,
    })
}

pub(super) fn class_out(class: &Class) -> v1::PlanClass {
    v1::PlanClass {
        engine: engine_out(class.engine).into(),
        before: class.before.iter().map(entry_out).collect(),
        steps: class.steps.iter().map(step_out).collect(),
        targets: class.targets,
    }
}

pub(super) fn plan(wire: v1::Plan) -> Result<Plan, Malformed> {
    let classes = wire.classes.into_iter().map(class).collect::<Result<_, Malformed>>()?;
    let waves = wire
        .waves
        .into_iter()
        .map(|wave| Wave {
            name: wave.name,
            stage: wave.stage,
            targets: wave
                .targets
                .into_iter()
                .map(|target| (TargetId(target.id), ClassIx(target.class)))
                .collect(),
            parallelism: wave.parallelism,
            soak_ms: wave.soak_ms,
            approval: wave.approval,
            part: wave.part,
        })
        .collect();
    let stages = wire.stages.into_iter();
    Ok(Plan {
        spec: spec(wire.spec)?,
        classes,
        stages: stages.map(|it| Stage { name: it.name, through: it.through }).collect(),
        waves,
        up_to_date: wire.up_to_date,
        notes: wire.notes,
        absent: wire
            .absent
            .into_iter()
            .map(|absent| Absent { target: TargetId(absent.id), why: absent.why })
            .collect(),
        accepted: wire.accepted.into_iter().map(block).collect::<Result<_, _>>()?,
    })
}

fn stage_out(stage: &Stage) -> v1::PlanStage {
    v1::PlanStage { name: stage.name.clone(), through: stage.through }
}

pub(crate) fn plan_out(plan: &Plan) -> v1::Plan {
    v1::Plan {
        spec: Some(spec_out(&plan.spec)),
        classes: plan.classes.iter().map(class_out).collect(),
        waves: plan
            .waves
            .iter()
            .map(|wave| v1::PlanWave {
                name: wave.name.clone(),
                targets: wave
                    .targets
                    .iter()
                    .map(|(id, class)| v1::PlanTarget { id: id.to_string(), class: class.0 })
                    .collect(),
                parallelism: wave.parallelism,
                soak_ms: wave.soak_ms,
                approval: wave.approval,
                part: wave.part.clone(),
                stage: wave.stage,
            })
            .collect(),
        stages: plan.stages.iter().map(stage_out).collect(),
        up_to_date: plan.up_to_date,
        notes: plan.notes.clone(),
        absent: plan
            .absent
            .iter()
            .map(|absent| v1::AbsentTarget {
                id: absent.target.to_string(),
                why: absent.why.clone(),
            })
            .collect(),
        accepted: plan.accepted.iter().map(block_out).collect(),
    }
}
