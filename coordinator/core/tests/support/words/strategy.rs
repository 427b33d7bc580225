//! What a strategy says, and what is set of it later.

use skein_core::hours::Span;
use skein_core::ids::{Millis, Version};
use skein_core::spec::{
    AtClose, Backup, Blackout, Budget, Heavy, Knob, Limit, OnBreach, Order, Scope, Selector, Stage,
    Wave, Window,
};

use super::read::{Words, number};
use crate::support::throttle;
use crate::support::world::World;

/// `100-200,400-500`.
pub(super) fn spans(text: &str) -> Vec<Span> {
    let span = |text: &str| {
        let (from, until) = text.split_once('-').expect("a span has two ends");
        Span { from: Millis(u64::from(number(from))), until: Millis(u64::from(number(until))) }
    };
    text.split(',').filter(|text| !text.is_empty()).map(span).collect()
}

/// `all`, `ring:red` those with a label, else targets.
fn meant(text: &str) -> Selector {
    let mut selector = Selector::default();
    match text.split_once(':') {
        Some((label, value)) => {
            selector.labels = vec![(label.to_owned(), vec![value.to_owned()])];
        }
        None if text == "all" => {}
        None => selector.targets = text.split('+').map(str::to_owned).collect(),
    }
    selector
}

pub(super) fn strategy(world: &mut World, words: &Words<'_>) {
    let strategy = &mut world.strategy;
    if let Some(waves) = words.key("waves") {
        strategy.waves = waves.split(',').filter(|one| !one.is_empty()).map(wave).collect();
    }
    if let Some(stages) = words.key("stages") {
        let stage = |text: &str| {
            let (name, to) = text.split_once(':').expect("a stage and its last version");
            Stage { name: name.to_owned(), to: Version::from(to) }
        };
        strategy.stages = stages.split('/').filter(|it| !it.is_empty()).map(stage).collect();
    }
    strategy.parallelism = words.number("parallel", strategy.parallelism);
    strategy.retries = words.number("retries", strategy.retries);
    let Budget { failed, percent, scope } = strategy.budget;
    strategy.budget = Budget {
        failed: words.number("budget", failed),
        percent: words.number("percent", percent),
        scope: if words.has("over-all") { Scope::Rollout } else { scope },
    };
    strategy.soak_ms = u64::from(words.number("soak", 0));
    strategy.per_group = words.number("group", strategy.per_group);
    if let Some((steps, most)) = words.key("heavy").and_then(|heavy| heavy.split_once(':')) {
        let steps = steps.split('/').filter(|step| !step.is_empty()).map(Version::from).collect();
        strategy.heavy = Heavy { steps, per_group: number(most) };
    }
    strategy.cover_classes |= words.has("cover");
    if let Some(windows) = words.key("window") {
        let at_close = if words.has("finish") { AtClose::Finish } else { AtClose::Stop };
        let window = |text: &str| Window {
            name: text.to_owned(),
            selector: meant(text),
            to: if words.has("never") { 0 } else { 60 },
            zone: "UTC".to_owned(),
            at_close,
            ..Window::default()
        };
        strategy.windows = windows.split(',').filter(|text| !text.is_empty()).map(window).collect();
    }
    if let Some(text) = words.key("blackout") {
        let blackout = |span: &Span| Blackout {
            name: "the fair".to_owned(),
            from: span.from,
            until: span.until,
            zone: "UTC".to_owned(),
            ..Blackout::default()
        };
        strategy.blackouts = spans(text).iter().map(blackout).collect();
    }
    if let Some((label, most)) = words.key("limit").and_then(|limit| limit.split_once(':')) {
        strategy.limits = vec![Limit { label: label.to_owned(), most: number(most) }];
    }
    if let Some(order) = words.key("order") {
        let (label, values) = order.split_once(':').unwrap_or((order, ""));
        let values: Vec<String> =
            values.split('/').filter(|it| !it.is_empty()).map(str::to_owned).collect();
        strategy.order = match (label, values.is_empty()) {
            ("id", _) => Order::Id,
            (label, true) => Order::Label(label.to_owned()),
            (label, false) => Order::Listed(label.to_owned(), values),
        };
    }
    strategy.on_breach = match words.key("breach") {
        None => strategy.on_breach,
        Some("halt") => OnBreach::Halt,
        Some("target") => OnBreach::RollbackTarget,
        Some("wave") => OnBreach::RollbackWave,
        Some("rollout") => OnBreach::RollbackRollout,
        Some(other) => panic!("no scope {other}"),
    };
    strategy.backup = words.key("backup").map_or(strategy.backup, backup);
}

pub(super) fn backup(text: &str) -> Backup {
    match text {
        "exempt" => Backup::Exempt,
        "schema" => Backup::Schema,
        "tables" => Backup::Tables,
        "database" => Backup::Database,
        other => panic!("no backup {other}"),
    }
}

/// `t-1` one target, `50%` a share, `n:3` so many, `each` one a class, `l:red` those with a label; behind
/// it `!`: somebody has to let it open, `@500`: how long it is watched, `x2`: so many at one time, `~region`: for each
/// value of that label.
fn wave(text: &str) -> Wave {
    let mut wave = Wave { name: text.to_owned(), ..Wave::default() };
    let (text, per) = text.split_once('~').unwrap_or((text, ""));
    per.clone_into(&mut wave.per);
    let (text, most) = text.split_once('x').unwrap_or((text, "0"));
    wave.parallelism = number(most);
    let (text, soak) = text.split_once('@').unwrap_or((text, ""));
    wave.soak_ms = (!soak.is_empty()).then(|| u64::from(number(soak)));
    let (text, approval) = text.strip_suffix('!').map_or((text, false), |text| (text, true));
    wave.approval = approval;
    if let Some(percent) = text.strip_suffix('%') {
        wave.percent = number(percent);
    } else if let Some(count) = text.strip_prefix("n:") {
        wave.count = number(count);
    } else if text == "each" {
        wave.one_per_class = true;
    } else if let Some(ring) = text.strip_prefix("l:") {
        wave.selector.labels = vec![("ring".to_owned(), vec![ring.to_owned()])];
    } else {
        wave.selector.targets = text.split('+').map(str::to_owned).collect();
    }
    wave
}

pub(super) fn knobs(words: &Words<'_>) -> Vec<Knob> {
    let knob = |(name, value): (&&str, &&str)| match *name {
        "parallel" => Knob::Parallelism(number(value)),
        "soak" => Knob::SoakMs(u64::from(number(value))),
        "budget" => Knob::BudgetFailed(number(value)),
        "percent" => Knob::BudgetPercent(number(value)),
        "group" => Knob::PerGroup(number(value)),
        "heavy" => Knob::HeavyPerGroup(number(value)),
        "retries" => Knob::Retries(number(value)),
        "windows" => Knob::Windows(*value == "on"),
        "batch" => Knob::Batch(u64::from(number(value))),
        "batch_pause" => Knob::BatchPauseMs(u64::from(number(value))),
        name if name.starts_with("throttle.") => {
            Knob::Throttle(name.replacen("throttle.", "", 1), throttle::setting(value))
        }
        label => Knob::Limit(Limit { label: label.to_owned(), most: number(value) }),
    };
    words.keys.iter().filter(|(name, _)| !["id", "body"].contains(name)).map(knob).collect()
}
