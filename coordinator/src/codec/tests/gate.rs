//! Gates of each kind, what came of one, and throttles of each kind.

use skein_core::event::Judged;
use skein_core::ids::{Fence, RolloutId, TargetId, WaveIx};
use skein_core::spec::{self, Bound, Ceiling, Comparison, Gate, Latency, Quantile, Question, When};

use super::plan::by_label;

pub(super) fn throttles() -> Vec<spec::Throttle> {
    let measures = [
        spec::Measure::ReplicaLag { replicas: 2 },
        spec::Measure::Load,
        spec::Measure::Query("SELECT 1".to_owned()),
        spec::Measure::Http("busy".to_owned()),
    ];
    let throttle = |measure: spec::Measure| spec::Throttle {
        name: format!("{measure:?}"),
        selector: by_label("region", "eu"),
        limit: if measure.has_limit() { 2_000 } else { 0 },
        measure,
        interval_ms: 1_000,
        timeout_ms: 5_000,
    };
    measures.map(throttle).into()
}

/// One of each kind, each comparison once.
pub(super) fn gates() -> Vec<Gate> {
    let questions = [
        Question::Sql("SELECT count(*) FROM broken".to_owned()),
        Question::Http("health".to_owned()),
        Question::Command("smoke".to_owned()),
        Question::Prometheus { source: "prom".to_owned(), query: "rate(errors[1m])".to_owned() },
        Question::Sql("SELECT 1".to_owned()),
        Question::Latency(Latency {
            queries: vec!["SELECT 2".to_owned(), "SELECT 3".to_owned()],
            runs: 200,
            ceilings: vec![
                Ceiling { quantile: Quantile::P50, bound: Bound::Thousandths(1_500) },
                Ceiling { quantile: Quantile::P95, bound: Bound::Micros(50_000) },
                Ceiling { quantile: Quantile::P99, bound: Bound::Thousandths(3_000) },
            ],
        }),
    ];
    let whens = [When::AfterWave, When::Soak, When::BeforeStep, When::AfterStep];
    let comparisons = [
        Comparison::Is,
        Comparison::IsNot,
        Comparison::Below,
        Comparison::AtMost,
        Comparison::Above,
        Comparison::AtLeast,
    ];
    let gates = questions.into_iter().zip(comparisons).zip(whens.into_iter().cycle());
    let gate = |(at, ((question, comparison), when))| Gate {
        name: format!("gate-{at}"),
        when,
        waves: vec!["canary".to_owned()],
        question,
        comparison,
        expected: "3".to_owned(),
        samples: 5,
        need: 3,
        interval_ms: 2_000,
        timeout_ms: 1_000,
        breach: at % 2 == 0,
    };
    gates.enumerate().map(gate).collect()
}

pub(super) fn judged(target: Option<&str>, version: &str) -> Judged {
    Judged {
        rollout: RolloutId(7),
        wave: WaveIx(1),
        gate: "orders".to_owned(),
        target: target.map(TargetId::from),
        version: version.to_owned(),
        ask: 7,
        fence: Fence(49),
        measured: "3, 3, 4".to_owned(),
        inconclusive: target.is_none(),
    }
}
