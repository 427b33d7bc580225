//! A plan: classes, waves, steps, what undoes them and what does not.

mod hours;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;
use skein_proto::v1;

use super::blocks::Block;
use super::forecast::{Forecast, WindowFit};
use super::gate::Gate;
use super::look::duration;
use super::{throttle, words};

#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// SHA-256 of the canonical plan, hexadecimal.
    pub id: String,
    /// Empty: nothing was recorded.
    pub rollout: String,
    pub direction: &'static str,
    pub goal: String,
    pub targets: u32,
    pub steps: u64,
    pub up_to_date: u32,
    pub destructive: bool,
    pub engines: Vec<EngineCount>,
    pub waves: Vec<Wave>,
    pub classes: Vec<Class>,
    pub irreversible: Vec<Irreversible>,
    pub strategy: Strategy,
    pub notes: Vec<String>,
    /// Selected, and nobody could look at them: the rollout waits for them.
    pub absent: Vec<Absent>,
    /// One wave after the other, as of now. No part of what the id stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowFit>,
    /// Selected and standing apart, and taken as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<Block>,
    #[serde(skip)]
    way: v1::Direction,
}

#[derive(Debug, Clone, Serialize)]
pub struct Absent {
    pub id: String,
    pub why: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct EngineCount {
    pub engine: &'static str,
    pub targets: u32,
}

#[derive(Debug, Clone, Serialize)]
pub struct Wave {
    pub number: usize,
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stage: String,
    pub targets: Vec<WaveTarget>,
    /// What holds for it beyond the strategy.
    pub how: Vec<String>,
    /// With its parallelism and its watch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
}

#[derive(Debug, Clone, Serialize)]
pub struct WaveTarget {
    pub id: String,
    /// Index into `classes`.
    pub class: u32,
}

#[derive(Debug, Clone, Serialize)]
pub struct Class {
    pub index: usize,
    pub engine: &'static str,
    pub targets: u32,
    /// Versions in force before, in the order applied.
    pub before: Vec<String>,
    pub steps: Vec<Step>,
    /// Of the backup before the first step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_forecast: Option<Forecast>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Step {
    pub version: String,
    pub name: String,
    pub direction: &'static str,
    pub mode: &'static str,
    pub mode_why: String,
    pub locks: Vec<Lock>,
    pub destructive: bool,
    pub undo: &'static str,
    pub undoable: bool,
    pub verify: bool,
    pub file: String,
    /// The median on a target of the class's mean size, the 95th percentile on its largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Lock {
    pub name: String,
    pub table: String,
    pub meaning: String,
}

/// A step that no script takes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Irreversible {
    pub version: String,
    pub name: String,
    pub file: String,
    pub engines: Vec<&'static str>,
    pub targets: u32,
}

#[derive(Debug, Clone, Serialize)]
pub struct Strategy {
    pub parallelism: u32,
    /// Beyond that.
    pub limits: Vec<String>,
    pub budget: String,
    /// Of what the budget is a part.
    pub scope: &'static str,
    pub on_breach: &'static str,
    pub retries: u32,
    pub backup: &'static str,
    /// What has to hold before it goes on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// Windows and blackouts, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<String>,
    /// What steps wait for, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub throttles: Vec<String>,
    /// How statements in batches are gone over, where it is not as their files say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batching: Option<String>,
}

impl Plan {
    pub fn new(reply: &v1::PlanReply) -> Self {
        let empty = v1::Plan::default();
        let plan = reply.plan.as_ref().unwrap_or(&empty);
        let spec = plan.spec.clone().unwrap_or_default();
        let mut classes: Vec<Class> = plan.classes.iter().enumerate().map(class).collect();
        let waves = plan.waves.iter().enumerate();
        let mut waves = waves.map(|wave| self::wave(plan, wave)).collect::<Vec<_>>();
        let beside = reply.forecast.as_ref();
        if let Some(beside) = beside {
            forecast(beside, &mut classes, &mut waves);
        }
        let steps = plan
            .classes
            .iter()
            .map(|class| u64::from(class.targets) * (class.steps.len() as u64))
            .sum();
        Self {
            id: words::hex(&reply.id),
            rollout: reply.rollout.clone(),
            direction: words::direction(spec.direction()),
            goal: words::goal(spec.goal.as_ref()),
            targets: plan.classes.iter().map(|class| class.targets).sum(),
            steps,
            up_to_date: plan.up_to_date,
            destructive: plan.classes.iter().any(|c| c.steps.iter().any(|step| step.destructive)),
            engines: engines(plan),
            waves,
            irreversible: irreversible(plan),
            classes,
            strategy: strategy(spec.strategy.as_ref()),
            notes: plan.notes.clone(),
            absent: plan
                .absent
                .iter()
                .map(|absent| Absent { id: absent.id.clone(), why: absent.why.clone() })
                .collect(),
            forecast: beside.and_then(|it| it.whole.as_ref()).map(Forecast::new),
            windows: beside.and_then(|it| it.fit.as_ref()).map(WindowFit::new),
            accepted: plan.accepted.iter().map(Block::new).collect(),
            way: spec.direction(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.steps == 0
    }

    /// Only tries the steps: nothing stays.
    pub fn is_trial(&self) -> bool {
        self.way == v1::Direction::Validate
    }

    /// `skein apply --plan …`.
    pub fn apply_command(&self) -> String {
        format!("skein apply --plan {}", words::id(&self.id, false))
    }
}

fn forecast(beside: &v1::PlanForecast, classes: &mut [Class], waves: &mut [Wave]) {
    for (class, told) in classes.iter_mut().zip(&beside.classes) {
        class.backup_forecast = told.backup.as_ref().map(Forecast::new);
        for (step, told) in class.steps.iter_mut().zip(&told.steps) {
            step.forecast = Some(Forecast::new(told));
        }
    }
    for (wave, told) in waves.iter_mut().zip(&beside.waves) {
        wave.forecast = Some(Forecast::new(told));
    }
}

fn class((index, class): (usize, &v1::PlanClass)) -> Class {
    Class {
        index,
        engine: words::engine(class.engine()),
        targets: class.targets,
        before: class.before.iter().map(|entry| entry.version.clone()).collect(),
        steps: class.steps.iter().map(step).collect(),
        backup_forecast: None,
    }
}

fn step(step: &v1::PlannedStep) -> Step {
    Step {
        version: step.version.clone(),
        name: step.name.clone(),
        direction: words::direction(step.direction()),
        mode: words::mode(step.mode()),
        mode_why: step.mode_why.clone(),
        locks: step
            .locks
            .iter()
            .map(|lock| Lock {
                name: lock.name.clone(),
                table: lock.table.clone(),
                meaning: lock.meaning.clone(),
            })
            .collect(),
        destructive: step.destructive,
        undo: words::undo(step.undo(), step.direction()),
        undoable: step.undo() != v1::Undo::None,
        verify: step.verify,
        file: step.file.clone(),
        forecast: None,
    }
}

fn wave(plan: &v1::Plan, (index, wave): (usize, &v1::PlanWave)) -> Wave {
    let mut targets: Vec<WaveTarget> = wave
        .targets
        .iter()
        .map(|target| WaveTarget { id: target.id.clone(), class: target.class })
        .collect();
    targets.sort_by(|a, b| a.id.cmp(&b.id));
    let mut how = Vec::new();
    if wave.approval {
        how.push("opens when somebody says so".to_owned());
    }
    if wave.parallelism > 0 {
        how.push(format!("{} at one time", wave.parallelism));
    }
    if wave.soak_ms > 0 {
        how.push(format!("watched for {}", duration(wave.soak_ms)));
    }
    let stage = usize::try_from(wave.stage).ok().and_then(|stage| plan.stages.get(stage));
    let stage = stage.map(|stage| stage.name.clone()).unwrap_or_default();
    Wave { number: index + 1, name: wave.name.clone(), stage, targets, how, forecast: None }
}

impl Wave {
    /// Its name behind that of its stage.
    pub fn title(&self) -> String {
        words::in_stage(&self.stage, &self.name)
    }
}

fn engines(plan: &v1::Plan) -> Vec<EngineCount> {
    let mut counts: BTreeMap<i32, u32> = BTreeMap::new();
    for class in &plan.classes {
        *counts.entry(class.engine).or_default() += class.targets;
    }
    let name = |engine| v1::Engine::try_from(engine).unwrap_or_default();
    counts
        .into_iter()
        .map(|(engine, targets)| EngineCount { engine: words::engine(name(engine)), targets })
        .collect()
}

fn irreversible(plan: &v1::Plan) -> Vec<Irreversible> {
    let mut found: BTreeMap<u32, Irreversible> = BTreeMap::new();
    for class in &plan.classes {
        for step in class.steps.iter().filter(|step| step.undo() == v1::Undo::None) {
            let entry = found.entry(step.migration).or_insert_with(|| Irreversible {
                version: step.version.clone(),
                name: step.name.clone(),
                file: step.file.clone(),
                engines: Vec::new(),
                targets: 0,
            });
            entry.targets += class.targets;
            let engine = words::engine(class.engine());
            if !entry.engines.contains(&engine) {
                entry.engines.push(engine);
            }
        }
    }
    found.into_values().collect()
}

fn strategy(strategy: Option<&v1::Strategy>) -> Strategy {
    let strategy = strategy.cloned().unwrap_or_default();
    let budget = strategy.budget.unwrap_or_default();
    let budget = match (budget.failed, budget.percent) {
        (failed, 0) => words::count(failed, "target"),
        (0, percent) => format!("{percent} %"),
        (failed, percent) => {
            format!("{} or {percent} %, whichever is less", words::count(failed, "target"))
        }
    };
    let scope = match strategy.budget.unwrap_or_default().scope() {
        v1::BudgetScope::ScopeWave => "a wave",
        v1::BudgetScope::ScopeRollout => "all of it",
    };
    let mut limits: Vec<String> = strategy
        .limits
        .iter()
        .filter(|limit| limit.most > 0)
        .map(|limit| format!("{} for each {}", limit.most, limit.label))
        .collect();
    if strategy.per_group > 0 {
        limits.push(format!("{} for each resource group, over all rollouts", strategy.per_group));
    }
    if let Some(heavy) = &strategy.heavy {
        let (most, steps) = (heavy.per_group, heavy.steps.join(", "));
        limits.push(format!(
            "{most} with heavy steps ({steps}) for each resource group, over all rollouts"
        ));
    }
    Strategy {
        parallelism: strategy.parallelism,
        limits,
        budget,
        scope,
        on_breach: words::on_breach(strategy.on_breach()),
        retries: strategy.retries,
        backup: words::backup(strategy.backup()),
        gates: strategy.gates.iter().map(Gate::new).collect(),
        hours: hours::told(&strategy),
        throttles: strategy.throttles.iter().map(throttle::told).collect(),
        batching: strategy.batching.as_ref().map(super::batches::planned),
    }
}
