//! Strategies that the operator asks for: waves, soaks, words, gates, throttles, windows.
//!
//! What gates and throttles measure is a function of the simulated wall clock, as the target's own SQLite tells it:
//! nobody has to write anything for it to change.

use skein_chaos_interpose::Chance;
use skein_proto::v1;

/// A throttle that is too much for a while in every [`PERIOD`].
pub(crate) const BUSY: &str = "busy";
/// A throttle that nobody can read: what it holds back goes on only when somebody sets it off.
pub(crate) const BLIND: &str = "blind";
/// Seconds of the wall clock.
const PERIOD: u64 = 24;
/// So many of them are too much, from the beginning of each.
const TOO_MUCH: u64 = 9;

/// Whether [`BUSY`] is too much at a time, seconds of the wall clock.
pub(crate) fn is_busy(at: u64) -> bool {
    at % PERIOD < TOO_MUCH
}

/// One that holds nobody to anything but a budget, mostly; the others have what an owner of a large fleet asks for.
pub(crate) fn draw(chance: &mut Chance, unthrottled: bool) -> v1::Strategy {
    let on_breach = match chance.below(4) {
        0 => v1::OnBreach::Halt,
        1 => v1::OnBreach::RollbackTarget,
        2 => v1::OnBreach::RollbackWave,
        _ => v1::OnBreach::RollbackRollout,
    };
    let backup = if chance.percent(40) {
        v1::BackupScope::BackupDatabase
    } else {
        v1::BackupScope::BackupNone
    };
    let limits = if chance.percent(15) {
        vec![v1::Limit { label: "region".to_owned(), most: 1 }]
    } else {
        Vec::new()
    };
    let soak_ms = if chance.percent(30) { chance.between(200, 3_000) } else { 0 };
    let gates = if chance.percent(40) { gates(chance) } else { Vec::new() };
    let mut throttles = if chance.percent(30) { throttles(chance) } else { Vec::new() };
    if unthrottled {
        // A planted bug: whoever asks for it means one that holds steps back.
        for throttle in &mut throttles {
            throttle.measure = Some(v1::throttle::Measure::Query("SELECT 0".to_owned()));
        }
    }
    v1::Strategy {
        waves: waves(chance),
        parallelism: number(chance, 1, 5),
        budget: Some(v1::Budget { failed: number(chance, 0, 3), ..Default::default() }),
        on_breach: on_breach.into(),
        retries: 3,
        backup: backup.into(),
        per_group: u32::from(chance.percent(15)),
        heavy: heavy(chance),
        cover_classes: chance.percent(40),
        limits,
        soak_ms,
        gates,
        throttles,
        windows: windows(chance),
        ..Default::default()
    }
}

/// One that every bundle has.
fn heavy(chance: &mut Chance) -> Option<v1::Heavy> {
    let heavy = v1::Heavy { steps: vec!["0002".to_owned()], per_group: 1 };
    chance.percent(15).then_some(heavy)
}

fn number(chance: &mut Chance, least: u64, most: u64) -> u32 {
    u32::try_from(chance.between(least, most)).unwrap_or(1)
}

fn waves(chance: &mut Chance) -> Vec<v1::WaveSpec> {
    let region = |value: &str| {
        let values = vec![value.to_owned()];
        let labels = vec![v1::LabelMatch { name: "region".to_owned(), values }];
        Some(v1::Selector { labels, ..Default::default() })
    };
    let wave = |name: &str| v1::WaveSpec { name: name.to_owned(), ..Default::default() };
    let mut waves = match chance.below(6) {
        0 => vec![v1::WaveSpec { selector: region("eu"), ..wave("first") }],
        1 => vec![v1::WaveSpec { count: 1, ..wave("canary") }],
        2 => vec![v1::WaveSpec { one_per_class: true, ..wave("canary") }, wave("others")],
        // Region after region.
        3 => vec![v1::WaveSpec { per: "region".to_owned(), ..wave("all of") }],
        4 => vec![
            v1::WaveSpec { per: "region".to_owned(), count: 1, ..wave("one of") },
            v1::WaveSpec { per: "region".to_owned(), ..wave("others of") },
        ],
        _ => Vec::new(),
    };
    for wave in &mut waves {
        wave.approval = chance.percent(15);
    }
    waves
}

/// One in six moments is a bad one for a gate that may fail.
fn gates(chance: &mut Chance) -> Vec<v1::Gate> {
    let well = "SELECT CAST(strftime('%s', 'now') AS INTEGER) % 6 > 0";
    let gate = |chance: &mut Chance, number: u64| {
        let when = match chance.below(4) {
            0 => v1::GateWhen::BeforeStep,
            1 => v1::GateWhen::AfterStep,
            2 => v1::GateWhen::AfterWave,
            _ => v1::GateWhen::InSoak,
        };
        let question = if chance.percent(25) {
            let (quantile, bound) =
                (v1::Quantile::P95, v1::ceiling::Bound::Thousandths(1_000_000_000));
            let ceilings = vec![v1::Ceiling { quantile: quantile.into(), bound: Some(bound) }];
            let queries = vec!["SELECT 1".to_owned()];
            v1::gate::Question::Latency(v1::Latency { queries, runs: 20, ceilings })
        } else if chance.percent(30) {
            v1::gate::Question::Sql(well.to_owned())
        } else {
            v1::gate::Question::Sql("SELECT 1".to_owned())
        };
        let compares = matches!(question, v1::gate::Question::Sql(_));
        v1::Gate {
            name: format!("gate-{number}"),
            when: when.into(),
            waves: Vec::new(),
            question: Some(question),
            comparison: v1::Comparison::Equal.into(),
            expected: if compares { "1".to_owned() } else { String::new() },
            samples: 1,
            need: 1,
            interval_ms: 200,
            timeout_ms: 3_000,
            breach: chance.percent(50),
        }
    };
    let count = chance.between(1, 3);
    (0..count).map(|number| gate(chance, number)).collect()
}

fn throttles(chance: &mut Chance) -> Vec<v1::Throttle> {
    let throttle = |name: &str, query: String| v1::Throttle {
        name: name.to_owned(),
        measure: Some(v1::throttle::Measure::Query(query)),
        limit: 1_000,
        interval_ms: 300,
        timeout_ms: 2_000,
        ..Default::default()
    };
    let query = format!("SELECT CAST(strftime('%s', 'now') AS INTEGER) % {PERIOD} < {TOO_MUCH}");
    let mut throttles = vec![throttle(BUSY, query)];
    if chance.percent(25) {
        throttles.push(throttle(BLIND, "SELECT busy FROM of_a_table_that_is_not_there".to_owned()));
    }
    throttles
}

/// Runs begin at 22:13:20: one opens in the middle of them, one closes.
fn windows(chance: &mut Chance) -> Vec<v1::Window> {
    if !chance.percent(10) {
        return Vec::new();
    }
    let (from_minute, to_minute) =
        if chance.percent(50) { (22 * 60 + 14, 24 * 60) } else { (21 * 60, 22 * 60 + 14) };
    let (name, zone, finish) = ("night".to_owned(), "UTC".to_owned(), chance.percent(30));
    vec![v1::Window { name, zone, finish, from_minute, to_minute, ..Default::default() }]
}
