//! Gates, and what came of them.

use skein_core::command::Judgement;
use skein_core::event::{Body, Judged};
use skein_core::ids::{AgentId, Fence, RolloutId, TargetId, WaveIx};
use skein_core::spec::{Comparison, Gate, Question, When};
use skein_proto::agent::v1 as session;
use skein_proto::log::v1::{self as log, event::Body as Wire};
use skein_proto::v1;

use super::latency::{latency, latency_out, quantiles};
use super::{Malformed, required};

pub(super) fn gate(wire: v1::Gate) -> Result<Gate, Malformed> {
    let (when, comparison) = (when(wire.when())?, comparison(wire.comparison())?);
    Ok(Gate {
        name: wire.name,
        when,
        waves: wire.waves,
        question: match required(wire.question, "what a gate asks")? {
            v1::gate::Question::Sql(query) => Question::Sql(query),
            v1::gate::Question::Http(source) => Question::Http(source),
            v1::gate::Question::Command(source) => Question::Command(source),
            v1::gate::Question::Prometheus(wire) => {
                Question::Prometheus { source: wire.source, query: wire.query }
            }
            v1::gate::Question::Latency(wire) => Question::Latency(latency(wire)?),
        },
        comparison,
        expected: wire.expected,
        samples: wire.samples,
        need: wire.need,
        interval_ms: wire.interval_ms,
        timeout_ms: wire.timeout_ms,
        breach: wire.breach,
    })
}

pub(crate) fn gate_out(gate: &Gate) -> v1::Gate {
    v1::Gate {
        name: gate.name.clone(),
        when: when_out(gate.when).into(),
        waves: gate.waves.clone(),
        question: Some(match &gate.question {
            Question::Sql(query) => v1::gate::Question::Sql(query.clone()),
            Question::Http(source) => v1::gate::Question::Http(source.clone()),
            Question::Command(source) => v1::gate::Question::Command(source.clone()),
            Question::Prometheus { source, query } => {
                v1::gate::Question::Prometheus(v1::Prometheus {
                    source: source.clone(),
                    query: query.clone(),
                })
            }
            Question::Latency(latency) => v1::gate::Question::Latency(latency_out(latency)),
        }),
        comparison: comparison_out(gate.comparison).into(),
        expected: gate.expected.clone(),
        samples: gate.samples,
        need: gate.need,
        interval_ms: gate.interval_ms,
        timeout_ms: gate.timeout_ms,
        breach: gate.breach,
    }
}

/// Not to pass is a breach, which coordinators of an earlier release do not know of gates around steps.
pub(super) fn breaks_around_steps(gate: &v1::Gate) -> bool {
    gate.breach && matches!(gate.when(), v1::GateWhen::BeforeStep | v1::GateWhen::AfterStep)
}

fn when(wire: v1::GateWhen) -> Result<When, Malformed> {
    match wire {
        v1::GateWhen::BeforeStep => Ok(When::BeforeStep),
        v1::GateWhen::AfterStep => Ok(When::AfterStep),
        v1::GateWhen::AfterWave => Ok(When::AfterWave),
        v1::GateWhen::InSoak => Ok(When::Soak),
        v1::GateWhen::Unspecified => Err(Malformed::new("when a gate is asked", "is missing")),
    }
}

fn when_out(when: When) -> v1::GateWhen {
    match when {
        When::BeforeStep => v1::GateWhen::BeforeStep,
        When::AfterStep => v1::GateWhen::AfterStep,
        When::AfterWave => v1::GateWhen::AfterWave,
        When::Soak => v1::GateWhen::InSoak,
    }
}

fn comparison(wire: v1::Comparison) -> Result<Comparison, Malformed> {
    match wire {
        v1::Comparison::Equal => Ok(Comparison::Is),
        v1::Comparison::NotEqual => Ok(Comparison::IsNot),
        v1::Comparison::Below => Ok(Comparison::Below),
        v1::Comparison::AtMost => Ok(Comparison::AtMost),
        v1::Comparison::Above => Ok(Comparison::Above),
        v1::Comparison::AtLeast => Ok(Comparison::AtLeast),
        v1::Comparison::Unspecified => Err(Malformed::new("how a gate compares", "is missing")),
    }
}

fn comparison_out(comparison: Comparison) -> v1::Comparison {
    match comparison {
        Comparison::Is => v1::Comparison::Equal,
        Comparison::IsNot => v1::Comparison::NotEqual,
        Comparison::Below => v1::Comparison::Below,
        Comparison::AtMost => v1::Comparison::AtMost,
        Comparison::Above => v1::Comparison::Above,
        Comparison::AtLeast => v1::Comparison::AtLeast,
    }
}

pub(crate) fn judgement(wire: session::Judged) -> Judgement {
    Judgement { passed: wire.passed, inconclusive: wire.inconclusive, measured: wire.measured }
}

fn some_target(target: String) -> Option<TargetId> {
    (!target.is_empty()).then_some(TargetId(target))
}

pub(super) fn target_out(target: Option<&TargetId>) -> String {
    target.map(ToString::to_string).unwrap_or_default()
}

fn judged(wire: log::GateJudged) -> Judged {
    Judged {
        rollout: RolloutId(wire.rollout),
        wave: WaveIx(wire.wave),
        gate: wire.gate,
        target: some_target(wire.target),
        version: wire.version,
        ask: wire.ask,
        fence: Fence(wire.fence),
        measured: wire.measured,
        inconclusive: wire.inconclusive,
    }
}

pub(super) fn judged_out(judged: &Judged) -> log::GateJudged {
    log::GateJudged {
        rollout: judged.rollout.0,
        wave: judged.wave.0,
        gate: judged.gate.clone(),
        ask: judged.ask,
        target: target_out(judged.target.as_ref()),
        version: judged.version.clone(),
        fence: judged.fence.0,
        measured: judged.measured.clone(),
        inconclusive: judged.inconclusive,
    }
}

/// Events of gates, from disk.
pub(super) fn body(wire: Wire) -> Result<Body, Malformed> {
    Ok(match wire {
        Wire::GatesOpened(wire) => {
            Body::GatesOpened { rollout: RolloutId(wire.rollout), wave: WaveIx(wire.wave) }
        }
        Wire::GateAsked(wire) => Body::GateAsked {
            rollout: RolloutId(wire.rollout),
            wave: WaveIx(wire.wave),
            gate: wire.gate,
            ask: wire.ask,
            target: some_target(wire.target),
            agent: AgentId(wire.agent),
            for_ms: wire.for_ms,
        },
        Wire::GateReleased(wire) => Body::GateReleased {
            rollout: RolloutId(wire.rollout),
            ask: wire.ask,
            agent: AgentId(wire.agent),
            fence: Fence(wire.fence),
            why: wire.why,
        },
        Wire::BaselineTaken(wire) => Body::BaselineTaken {
            rollout: RolloutId(wire.rollout),
            target: TargetId(wire.target),
            fence: Fence(wire.fence),
            gate: wire.gate,
            queries: quantiles(wire.queries),
        },
        Wire::GatePassed(wire) => Body::GatePassed { judged: Box::new(judged(wire)) },
        Wire::GateFailed(wire) => Body::GateFailed { judged: Box::new(judged(wire)) },
        Wire::GateBreached(wire) => Body::GateBreached { judged: Box::new(judged(wire)) },
        _ => return Err(Malformed::new("an event about a gate", "is of no kind known here")),
    })
}
