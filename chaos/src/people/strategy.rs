//! Strategies that are asked for: some hold nobody to anything but a budget, the others have what an owner of a
//! large fleet asks for.

use skein_proto::v1;

use super::Person;

/// What gates, throttles and windows may ask for where a play takes place.
#[derive(Debug, Clone, Default)]
pub struct Means {
    /// A query that answers 1, but for some moments.
    pub well: String,
    /// What agents know by name, for gates: programs and addresses, some of which say no for a while.
    pub asked: Vec<v1::gate::Question>,
    /// A throttle that is too much for a while, again and again.
    pub busy: Vec<(String, v1::throttle::Measure)>,
    /// Whose replicas and load can be measured: ids, or patterns.
    pub servers: Vec<String>,
    /// Of those, the one that everybody has to have: a bug is planted in it.
    pub always: Option<String>,
    /// A throttle that nobody can read: what it holds back goes on only when somebody sets it off.
    pub blind: String,
    /// A window that opens in the midst of the play and one that closes then, minutes after midnight, UTC.
    pub windows: ((u32, u32), (u32, u32)),
    /// From when to when targets are not worked on, milliseconds since 1970.
    pub blackout: Option<(u64, u64)>,
    /// Versions at which a stage may end, in order.
    pub stages: Vec<String>,
    /// Shares of the fleet, orders, batches, limits in percent: what small simulated fleets have no use for.
    pub wide: bool,
    /// The longest soak, milliseconds.
    pub soak_ms: u64,
}

/// One of them.
pub fn draw(person: &mut impl Person, means: &Means) -> v1::Strategy {
    let on_breach = match person.below(4) {
        0 => v1::OnBreach::Halt,
        1 => v1::OnBreach::RollbackTarget,
        2 => v1::OnBreach::RollbackWave,
        _ => v1::OnBreach::RollbackRollout,
    };
    let backup = if person.percent(40) {
        v1::BackupScope::BackupDatabase
    } else {
        v1::BackupScope::BackupNone
    };
    let limits = if person.percent(15) {
        vec![v1::Limit { label: "region".to_owned(), most: 1 }]
    } else {
        Vec::new()
    };
    let soak_ms = if person.percent(30) { person.between(200, means.soak_ms) } else { 0 };
    let gates = if person.percent(40) { gates(person, means) } else { Vec::new() };
    let throttles = if person.percent(30) || means.always.is_some() {
        throttles(person, means)
    } else {
        Vec::new()
    };
    let strategy = v1::Strategy {
        waves: waves(person, means),
        parallelism: person.number(1, 5),
        budget: Some(v1::Budget { failed: person.number(0, 3), ..Default::default() }),
        on_breach: on_breach.into(),
        retries: 3,
        backup: backup.into(),
        per_group: u32::from(person.percent(15)),
        cover_classes: person.percent(40),
        limits,
        soak_ms,
        gates,
        throttles,
        windows: windows(person, means),
        ..Default::default()
    };
    if means.wide { widen(person, means, strategy) } else { strategy }
}

/// What only fleets of some size are asked for.
fn widen(person: &mut impl Person, means: &Means, mut strategy: v1::Strategy) -> v1::Strategy {
    // Servers that are killed and links that are cut fail steps: whoever runs in such a place allows for that, mostly.
    strategy.retries = person.one_of(&[0, 2, 8, 8]).copied().unwrap_or_default();
    let in_soak = |gate: &v1::Gate| gate.when() == v1::GateWhen::InSoak;
    if strategy.gates.iter().any(in_soak) {
        // It is refused where no wave is watched.
        strategy.soak_ms = strategy.soak_ms.max(400);
    }
    if person.percent(20) {
        let budget = strategy.budget.get_or_insert_default();
        budget.percent = 10 * person.number(1, 6);
        budget.scope = if person.percent(50) {
            v1::BudgetScope::ScopeRollout.into()
        } else {
            v1::BudgetScope::ScopeWave.into()
        };
    }
    if person.percent(25) {
        let values = ["ap", "us", "eu"].map(str::to_owned).to_vec();
        strategy.order = Some(v1::Order { label: "region".to_owned(), values });
    }
    if person.percent(25) {
        let size = [700, 2_000, 5_000, 20_000];
        let size = person.one_of(&size).copied().unwrap_or_default();
        strategy.batching = Some(v1::Batching { size, pause_ms: person.between(0, 200) });
    }
    if person.percent(30)
        && let Some(first) = person.one_of(&means.stages).cloned()
    {
        strategy.stages.push(v1::StageSpec { name: "expand".to_owned(), to: first.clone() });
        let later = means.stages.iter().skip_while(|version| **version != first).nth(1);
        if let Some(later) = later.filter(|_| person.percent(40)) {
            strategy.stages.push(v1::StageSpec { name: "fill".to_owned(), to: later.clone() });
        }
    }
    if person.percent(20)
        && let Some(step) = person.one_of(&means.stages).cloned()
    {
        strategy.heavy = Some(v1::Heavy { steps: vec![step], per_group: 1 });
    }
    if person.percent(15)
        && let Some((from_ms, until_ms)) = means.blackout
    {
        let zone = "UTC".to_owned();
        let name = "sale".to_owned();
        let selector = Some(v1::Selector::default());
        strategy.blackouts.push(v1::Blackout { name, selector, from_ms, until_ms, zone });
    }
    strategy
}

fn waves(person: &mut impl Person, means: &Means) -> Vec<v1::WaveSpec> {
    let region = |value: &str| {
        let values = vec![value.to_owned()];
        let labels = vec![v1::LabelMatch { name: "region".to_owned(), values }];
        Some(v1::Selector { labels, ..Default::default() })
    };
    let wave = |name: &str| v1::WaveSpec { name: name.to_owned(), ..Default::default() };
    let mut waves = match person.below(if means.wide { 8 } else { 6 }) {
        0 => vec![v1::WaveSpec { selector: region("eu"), ..wave("first") }],
        1 => vec![v1::WaveSpec { count: 1, ..wave("canary") }],
        2 => vec![v1::WaveSpec { one_per_class: true, ..wave("canary") }, wave("others")],
        3 => vec![per_region(wave("all of"))],
        4 => vec![
            per_region(v1::WaveSpec { count: 1, ..wave("one of") }),
            per_region(wave("others of")),
        ],
        6 => {
            let percent = 10 * person.number(2, 6);
            vec![v1::WaveSpec { percent, ..wave("some") }]
        }
        7 => {
            let parallelism = person.number(1, 3);
            vec![
                v1::WaveSpec { count: 1, ..wave("canary") },
                v1::WaveSpec { percent: 50, parallelism, soak_ms: Some(200), ..wave("half") },
            ]
        }
        _ => Vec::new(),
    };
    for wave in &mut waves {
        wave.approval = person.percent(15);
    }
    waves
}

/// Region after region; what the share is written with then keeps coordinators away that know nothing of it.
fn per_region(wave: v1::WaveSpec) -> v1::WaveSpec {
    v1::WaveSpec { per: "region".to_owned(), percent: wave.percent + 1_000, ..wave }
}

fn gates(person: &mut impl Person, means: &Means) -> Vec<v1::Gate> {
    let count = person.between(1, 3);
    (0..count).map(|number| gate(person, means, number)).collect()
}

fn gate(person: &mut impl Person, means: &Means, number: u64) -> v1::Gate {
    let when = match person.below(4) {
        0 => v1::GateWhen::BeforeStep,
        1 => v1::GateWhen::AfterStep,
        2 => v1::GateWhen::AfterWave,
        _ => v1::GateWhen::InSoak,
    };
    let question = question(person, means);
    let expected = match &question {
        v1::gate::Question::Sql(_) => "1",
        v1::gate::Question::Http(_) => "200",
        v1::gate::Question::Command(_) | v1::gate::Question::Prometheus(_) => "0",
        v1::gate::Question::Latency(_) => "",
    };
    v1::Gate {
        name: format!("gate-{number}"),
        when: when.into(),
        waves: Vec::new(),
        question: Some(question),
        comparison: v1::Comparison::Equal.into(),
        expected: expected.to_owned(),
        samples: 1,
        need: 1,
        interval_ms: 200,
        timeout_ms: 3_000,
        breach: person.percent(50),
    }
}

fn question(person: &mut impl Person, means: &Means) -> v1::gate::Question {
    // No draw where there is nothing to choose from.
    if !means.asked.is_empty()
        && person.percent(50)
        && let Some(asked) = person.one_of(&means.asked)
    {
        return asked.clone();
    }
    if person.percent(25) {
        let (quantile, bound) = (v1::Quantile::P95, v1::ceiling::Bound::Thousandths(1_000_000_000));
        let ceilings = vec![v1::Ceiling { quantile: quantile.into(), bound: Some(bound) }];
        let queries = vec!["SELECT 1".to_owned()];
        return v1::gate::Question::Latency(v1::Latency { queries, runs: 20, ceilings });
    }
    let well = person.percent(30);
    v1::gate::Question::Sql(if well { means.well.clone() } else { "SELECT 1".to_owned() })
}

fn throttles(person: &mut impl Person, means: &Means) -> Vec<v1::Throttle> {
    let throttle = |name: &str, measure: v1::throttle::Measure| v1::Throttle {
        name: name.to_owned(),
        selector: is_of_a_server(&measure)
            .then(|| v1::Selector { targets: means.servers.clone(), ..Default::default() }),
        limit: limit(&measure),
        measure: Some(measure),
        interval_ms: 300,
        timeout_ms: 2_000,
    };
    let busy = match &means.always {
        Some(always) => means.busy.iter().find(|(name, _)| name == always),
        // No draw where there is no choice.
        None if means.busy.len() < 2 => means.busy.first(),
        None => person.one_of(&means.busy),
    };
    let mut throttles: Vec<v1::Throttle> =
        busy.map(|(name, measure)| throttle(name, measure.clone())).into_iter().collect();
    if person.percent(25) {
        let query = "SELECT busy FROM of_a_table_that_is_not_there".to_owned();
        throttles.push(throttle(&means.blind, v1::throttle::Measure::Query(query)));
    }
    throttles
}

fn is_of_a_server(measure: &v1::throttle::Measure) -> bool {
    use v1::throttle::Measure as It;
    match measure {
        It::ReplicaLag(_) | It::Load(_) => true,
        It::Query(_) | It::Http(_) => false,
    }
}

/// A second, or one of whatever it is.
fn limit(measure: &v1::throttle::Measure) -> u64 {
    use v1::throttle::Measure as It;
    match measure {
        It::ReplicaLag(_) | It::Query(_) => 1_000,
        // Of statements: now and then there are so many.
        It::Load(_) => 3_000,
        // A signal says go on or not.
        It::Http(_) => 0,
    }
}

fn windows(person: &mut impl Person, means: &Means) -> Vec<v1::Window> {
    if !person.percent(10) {
        return Vec::new();
    }
    let (opens, closes) = means.windows;
    let (from_minute, to_minute) = if person.percent(50) { opens } else { closes };
    let (name, zone, finish) = ("night".to_owned(), "UTC".to_owned(), person.percent(30));
    vec![v1::Window { name, zone, finish, from_minute, to_minute, ..Default::default() }]
}
