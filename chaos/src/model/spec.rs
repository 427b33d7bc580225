//! Questions for the planner, sensible ones and others.

use std::sync::Arc;

use skein_core::bundle::Manifest;
use skein_core::ids::Version;
use skein_core::spec::{
    Backup, Batching, Bound, Budget, Ceiling, Comparison, Direction, Gate, Goal, Heavy, Knob,
    Latency, Limit, Measure, OnBreach, Order, Quantile, Question, Scope, Selector, Setting, Spec,
    Stage, Strategy, Throttle, Wave, When, Window,
};

use super::database::{Database, digest};
use super::dice::{Dice, Stream};

const BACKUPS: [Backup; 4] = [Backup::Database, Backup::Tables, Backup::Schema, Backup::Exempt];
const QUERY: &str = "queue";
const SIGNAL: &str = "busy";
const SCOPES: [OnBreach; 4] =
    [OnBreach::Halt, OnBreach::RollbackTarget, OnBreach::RollbackWave, OnBreach::RollbackRollout];

/// A question; `held`: some target is not what the log says.
pub(super) fn question(
    dice: &mut Dice,
    bundles: &[Arc<Manifest>],
    databases: &[Database],
    held: bool,
) -> Spec {
    let direction = match dice.below(10) {
        0 => Direction::Validate,
        1 | 2 => Direction::Down,
        _ => Direction::Up,
    };
    // The first two bundles are the ones that fit together.
    let bundle = if dice.chance(880) { dice.place(2) } else { dice.place(bundles.len()) };
    let waves = (0..dice.below(3)).map(|_| wave(dice, databases)).collect();
    let backup = match dice.below(10) {
        0 => BACKUPS[3],
        1 => BACKUPS[2],
        2 => BACKUPS[1],
        _ => BACKUPS[0],
    };
    // Of their own: whatever else a seed means, it meant before there were gates.
    let mut own = dice.clone();
    let mut spec = Spec {
        bundle: if dice.chance(10) { digest("nowhere") } else { bundles[bundle].digest },
        selector: selector(dice, databases),
        direction,
        goal: goal(dice, direction, &bundles[bundle]),
        strategy: Strategy {
            waves,
            parallelism: if dice.chance(10) { 0 } else { 1 + dice.below(5) },
            cover_classes: dice.chance(500),
            order: match dice.below(6) {
                0 => Order::Label("ring".to_owned()),
                1 => Order::Listed("ring".to_owned(), vec!["red".to_owned()]),
                _ => Order::Id,
            },
            limits: if dice.chance(100) {
                let label = if dice.chance(100) { "" } else { "ring" };
                vec![Limit { label: label.to_owned(), most: 1 + dice.below(2) }]
            } else {
                Vec::new()
            },
            per_group: if dice.chance(100) { 1 + dice.below(2) } else { 0 },
            soak_ms: if dice.chance(200) { u64::from(100 * dice.below(20)) } else { 0 },
            budget: Budget {
                failed: dice.below(3),
                percent: 30 * dice.below(2),
                scope: if dice.chance(250) { Scope::Rollout } else { Scope::Wave },
            },
            on_breach: SCOPES[dice.place(4)],
            retries: dice.below(3),
            backup,
            gates: gates(&mut own),
            windows: Vec::new(),
            blackouts: Vec::new(),
            throttles: throttles(&mut own),
            stages: stages(&mut own, &bundles[bundle]),
            batching: batching(&mut own),
            heavy: heavy(&mut own, &bundles[bundle]),
        },
        out_of_order: dice.chance(200),
        accept_drift: dice.chance(if held { 600 } else { 100 }),
    };
    // A window that never opens, instead: the model has no calendar.
    let limits = &mut spec.strategy.limits;
    if limits.iter().any(|limit| limit.label.is_empty() && limit.most == 2) {
        limits.clear();
        spec.strategy.windows = vec![Window::default()];
    }
    spec
}

/// What agents may ask besides targets.
pub(crate) const SOURCE: &str = "health";

/// Those of waves, and those around steps.
fn gates(dice: &mut Dice) -> Vec<Gate> {
    let mut beside = dice.beside(Stream::Around);
    let mut gates = of_waves(dice);
    gates.extend(around_steps(&mut beside));
    gates
}

fn gate(name: String, when: When, question: Question) -> Gate {
    Gate {
        name,
        when,
        waves: Vec::new(),
        question,
        comparison: Comparison::Is,
        expected: "0".to_owned(),
        samples: 1,
        need: 1,
        interval_ms: 100,
        timeout_ms: 100,
        breach: false,
    }
}

/// How quickly queries are answered, against what it was before.
fn latency() -> Question {
    let quantile = Quantile::P95;
    let ceilings = vec![Ceiling { quantile, bound: Bound::Thousandths(1_500) }];
    Question::Latency(Latency { queries: vec!["SELECT 1".to_owned()], runs: 100, ceilings })
}

fn around_steps(dice: &mut Dice) -> Vec<Gate> {
    if !dice.chance(200) {
        return Vec::new();
    }
    let kinds = (0..=dice.below(2)).map(|_| (dice.chance(500), dice.below(3), dice.chance(600)));
    let kinds: Vec<(bool, u32, bool)> = kinds.collect();
    let gate = |(number, (before, what, breach)): (usize, (bool, u32, bool))| {
        let when = if before { When::BeforeStep } else { When::AfterStep };
        let question = match what {
            0 if !before => latency(),
            1 => Question::Http(SOURCE.to_owned()),
            _ => Question::Sql("SELECT 0".to_owned()),
        };
        Gate { breach, ..gate(format!("step-gate-{number}"), when, question) }
    };
    kinds.into_iter().enumerate().map(gate).collect()
}

fn of_waves(dice: &mut Dice) -> Vec<Gate> {
    if !dice.chance(200) {
        return Vec::new();
    }
    let gate = |(number, (when, of_a_target))| {
        let question = if of_a_target && number == 1 {
            latency()
        } else if of_a_target {
            Question::Sql("SELECT 0".to_owned())
        } else {
            Question::Http(SOURCE.to_owned())
        };
        gate(format!("gate-{number}"), when, question)
    };
    let kinds = (0..=dice.below(2)).map(|_| {
        let when = if dice.chance(300) { When::Soak } else { When::AfterWave };
        (when, dice.chance(500))
    });
    kinds.enumerate().map(gate).collect()
}

/// Some that no rollout may have.
fn batching(dice: &mut Dice) -> Batching {
    let (size, pause_ms) = match dice.below(50) {
        0 => (500, u64::MAX),
        1..=10 => (u64::from(dice.below(6)), [0, 60, 500][dice.place(3)]),
        _ => (0, 0),
    };
    Batching { size, pause_ms }
}

/// What somebody sets of it.
pub(super) fn rebatch(dice: &mut Dice) -> Knob {
    if dice.chance(500) {
        Knob::Batch([0, 1, 5, 30][dice.place(4)])
    } else {
        Knob::BatchPauseMs([0, 60, 900][dice.place(3)])
    }
}

/// Of the bundle's versions, in their order but for a few.
fn stages(dice: &mut Dice, bundle: &Manifest) -> Vec<Stage> {
    if !dice.chance(150) {
        return Vec::new();
    }
    let versions: Vec<&Version> = bundle.migrations.iter().map(|it| &it.version).collect();
    let mut places: Vec<usize> =
        (0..=dice.below(2)).map(|_| dice.place(versions.len().max(1))).collect();
    if !dice.chance(50) {
        places.sort_unstable();
        places.dedup();
    }
    let name = |number: usize| {
        if number > 0 && places.len() > 2 {
            "stage-1".to_owned()
        } else {
            format!("stage-{number}")
        }
    };
    let stage = |(number, place): (usize, &usize)| {
        let unknown = Version::from("none");
        let to = versions.get(*place).copied().unwrap_or(&unknown).clone();
        Stage { name: name(number), to }
    };
    let mut stages: Vec<Stage> = places.iter().enumerate().map(stage).collect();
    if dice.chance(30) {
        stages.push(Stage { name: "last".to_owned(), to: Version::from("none") });
    }
    stages
}

/// Some of its steps, and sometimes one that it does not have.
fn heavy(dice: &mut Dice, bundle: &Manifest) -> Heavy {
    if !dice.chance(150) {
        return Heavy::default();
    }
    let versions = bundle.migrations.iter().map(|migration| &migration.version);
    let mut steps: Vec<Version> = versions.filter(|_| dice.chance(500)).cloned().collect();
    if dice.chance(30) {
        steps.push(Version::from("none"));
    }
    Heavy { steps, per_group: if dice.chance(900) { 1 + dice.below(2) } else { 0 } }
}

/// What is measured is [`super::gauge`]'s.
fn throttles(dice: &mut Dice) -> Vec<Throttle> {
    if !dice.chance(200) {
        return Vec::new();
    }
    let query = Throttle {
        name: QUERY.to_owned(),
        selector: Selector::default(),
        measure: Measure::Query("SELECT 0".to_owned()),
        limit: 1_000,
        interval_ms: 100,
        timeout_ms: 100,
    };
    let (name, measure) = (SIGNAL.to_owned(), Measure::Http(SOURCE.to_owned()));
    let signal = Throttle { name, measure, limit: 0, ..query.clone() };
    if dice.chance(500) { vec![query] } else { vec![query, signal] }
}

/// What somebody sets one of them to.
pub(super) fn setting(dice: &mut Dice) -> Knob {
    let name = if dice.chance(700) { QUERY } else { SIGNAL };
    let setting = match dice.below(6) {
        0 => Setting::Off,
        1 => Setting::On,
        2..=4 => Setting::Value([0, 400, 400, 2_000][dice.place(4)]),
        _ => Setting::Time(500),
    };
    Knob::Throttle(name.to_owned(), setting)
}

fn goal(dice: &mut Dice, direction: Direction, bundle: &Manifest) -> Goal {
    let some = dice.place(bundle.migrations.len() + 1);
    let version = bundle
        .migrations
        .get(some)
        .map_or_else(|| Version("999".to_owned()), |migration| migration.version.clone());
    match dice.below(20) {
        0..=2 => Goal::Version(version),
        3 => Goal::Timestamp(version.0),
        4..=8 => Goal::Steps(1 + dice.below(2)),
        9 => Goal::Nothing,
        10 => Goal::Latest,
        _ if direction == Direction::Down && dice.chance(500) => Goal::Nothing,
        _ if direction == Direction::Down => Goal::Steps(1 + dice.below(2)),
        _ => Goal::Latest,
    }
}

fn wave(dice: &mut Dice, databases: &[Database]) -> Wave {
    let mut wave = Wave {
        approval: dice.chance(60),
        soak_ms: dice.chance(100).then(|| u64::from(100 * dice.below(10))),
        parallelism: if dice.chance(100) { 1 + dice.below(3) } else { 0 },
        name: if dice.chance(500) { "some" } else { "" }.to_owned(),
        per: if dice.chance(120) { "ring" } else { "" }.to_owned(),
        ..Wave::default()
    };
    match dice.below(6) {
        4 => wave.count = 1 + dice.below(3),
        5 => {
            wave.one_per_class = true;
            wave.count = u32::from(dice.chance(50));
        }
        0 | 1 => wave.percent = 20 + dice.below(60),
        2 => wave.selector.labels = ring("red"),
        _ => wave.selector.targets = vec![databases[dice.place(databases.len())].id.0.clone()],
    }
    wave
}

fn selector(dice: &mut Dice, databases: &[Database]) -> Selector {
    match dice.below(20) {
        0 => Selector { labels: ring("red"), ..Selector::default() },
        1 => {
            let targets = vec!["t-*".to_owned()];
            Selector { targets, labels: ring("blue"), condition: None }
        }
        2 if dice.chance(300) => Selector { labels: ring("green"), ..Selector::default() },
        3..=7 => {
            let ids = databases.iter().filter(|_| dice.chance(500)).map(|one| one.id.0.clone());
            let targets = ids.chain(["t-1".to_owned()]).collect();
            Selector { targets, ..Selector::default() }
        }
        _ => Selector::default(),
    }
}

fn ring(color: &str) -> Vec<(String, Vec<String>)> {
    vec![("ring".to_owned(), vec![color.to_owned()])]
}
