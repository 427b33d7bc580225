//! Gates in words: as a plan has them, and as the log tells what came of them.

use serde::Serialize;
use skein_proto::log::v1::{self as log, event::Body};
use skein_proto::v1;

use super::event::{Event, rollout_name};
use super::look::duration;

/// One gate of a strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gate {
    pub name: String,
    pub when: &'static str,
    /// None: of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<String>,
    /// `sql`, `http`, `command`, `prometheus` or `latency`.
    pub kind: &'static str,
    /// The query, or the name that agents know.
    pub asks: String,
    /// Such as `< 0.01`.
    pub expected: String,
    pub samples: u32,
    pub need: u32,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    /// `breach`, or `budget`: the target fails, and counts against the budget.
    pub on_failure: &'static str,
}

impl Gate {
    pub fn new(gate: &v1::Gate) -> Self {
        let (kind, asks) = match &gate.question {
            Some(v1::gate::Question::Sql(query)) => ("sql", query.clone()),
            Some(v1::gate::Question::Http(source)) => ("http", source.clone()),
            Some(v1::gate::Question::Command(source)) => ("command", source.clone()),
            Some(v1::gate::Question::Prometheus(it)) => {
                ("prometheus", format!("{} of {}", it.query, it.source))
            }
            Some(v1::gate::Question::Latency(it)) => {
                ("latency", format!("{}, {} runs each", it.queries.join("; "), it.runs))
            }
            None => ("unknown", String::new()),
        };
        let sign = match gate.comparison() {
            v1::Comparison::Equal | v1::Comparison::Unspecified => "=",
            v1::Comparison::NotEqual => "!=",
            v1::Comparison::Below => "<",
            v1::Comparison::AtMost => "<=",
            v1::Comparison::Above => ">",
            v1::Comparison::AtLeast => ">=",
        };
        let of_a_step = matches!(gate.when(), v1::GateWhen::BeforeStep | v1::GateWhen::AfterStep);
        Self {
            name: gate.name.clone(),
            when: match gate.when() {
                v1::GateWhen::BeforeStep => "before each step",
                v1::GateWhen::AfterStep => "after each step",
                v1::GateWhen::AfterWave => "after a wave",
                v1::GateWhen::InSoak => "while a wave is watched",
                v1::GateWhen::Unspecified => "at no known time",
            },
            waves: gate.waves.clone(),
            kind,
            asks,
            expected: match &gate.question {
                Some(v1::gate::Question::Latency(_)) => gate.expected.clone(),
                _ => format!("{sign} {}", gate.expected),
            },
            samples: gate.samples,
            need: gate.need,
            interval_ms: gate.interval_ms,
            timeout_ms: gate.timeout_ms,
            on_failure: if of_a_step && !gate.breach { "budget" } else { "breach" },
        }
    }

    /// When, what, what is expected, how often.
    pub fn row(&self) -> [String; 5] {
        let when = match self.waves.as_slice() {
            [] => self.when.to_owned(),
            waves => format!("{} ({})", self.when, waves.join(", ")),
        };
        let asks: String = self.asks.split_whitespace().collect::<Vec<_>>().join(" ");
        let often = if self.when == "while a wave is watched" {
            format!(
                "{} of the last {}, every {}",
                self.need,
                self.samples,
                duration(self.interval_ms)
            )
        } else if self.samples > 1 {
            format!("{} of {}, every {}", self.need, self.samples, duration(self.interval_ms))
        } else {
            "once".to_owned()
        };
        let often = match self.on_failure {
            "budget" => format!("{often}, counts against the budget"),
            _ => often,
        };
        [
            format!("gate {}", self.name),
            when,
            format!("{}: {asks}", self.kind),
            self.expected.clone(),
            often,
        ]
    }
}

/// What a gate speaks of.
fn subject(judged: &log::GateJudged) -> String {
    let wave = judged.wave.saturating_add(1);
    match (judged.target.as_str(), judged.version.as_str()) {
        ("", _) => format!("for wave {wave}"),
        (target, "") => format!("in {target}, for wave {wave}"),
        (target, version) => format!("in {target}, for step {version}"),
    }
}

/// Events of gates, as sentences.
pub(super) fn told(event: &mut Event, body: &Body, seq: u64) {
    if let Body::GatesOpened(e) = body {
        event.rollout = rollout_name(e.rollout);
        let said = format!("asks the gates after wave {}", e.wave.saturating_add(1));
        event.of("gates_opened", said);
    } else if let Body::GateAsked(e) = body {
        event.rollout = rollout_name(e.rollout);
        event.target.clone_from(&e.target);
        event.agent.clone_from(&e.agent);
        event.fence = Some(seq);
        let place = if e.target.is_empty() { String::new() } else { format!(" in {}", e.target) };
        let long = if e.for_ms == 0 {
            String::new()
        } else {
            format!(", again and again for {}", duration(e.for_ms))
        };
        let said = format!("lets agent {} ask gate {}{place}{long}", e.agent, e.gate);
        event.of("gate_asked", said);
    } else if let Body::GateReleased(e) = body {
        event.rollout = rollout_name(e.rollout);
        event.agent.clone_from(&e.agent);
        event.fence = Some(e.fence);
        let said = format!("agent {} asks a gate no more: {}", e.agent, e.why);
        event.of("gate_released", said);
    } else if let Body::BaselineTaken(e) = body {
        event.rollout = rollout_name(e.rollout);
        event.target.clone_from(&e.target);
        event.fence = Some(e.fence);
        let told = |it: &v1::Quantiles| format!("{}/{}/{} µs", it.p50_us, it.p95_us, it.p99_us);
        let queries = e.queries.iter().map(told).collect::<Vec<_>>().join(", ");
        let said =
            format!("gate {} measured {} before its first step: {queries}", e.gate, e.target);
        event.of("baseline_taken", said);
    } else if let Body::GatePassed(e) = body {
        judged(event, e);
        event.of("gate_passed", format!("gate {} passed {}: {}", e.gate, subject(e), e.measured));
    } else if let Body::GateBreached(e) = body {
        judged(event, e);
        let how = if e.inconclusive { "had too few answers" } else { "did not pass" };
        let said = format!("gate {} {how} {}, a breach: {}", e.gate, subject(e), e.measured);
        event.of("gate_breached", said);
    } else if let Body::GateFailed(e) = body {
        judged(event, e);
        let how = if e.inconclusive { "had too few answers" } else { "did not pass" };
        event.of("gate_failed", format!("gate {} {how} {}: {}", e.gate, subject(e), e.measured));
    }
}

fn judged(event: &mut Event, judged: &log::GateJudged) {
    event.rollout = rollout_name(judged.rollout);
    event.target.clone_from(&judged.target);
    event.version.clone_from(&judged.version);
    event.fence = Some(judged.fence);
}
