//! Refuses gates that could never be asked, or never answer.

use crate::refusal::{Kind, Refusal};
use crate::spec::{Gate, Latency, Question, Strategy, When};

/// So often a gate is asked at the most before it is decided.
const SAMPLES_MAX: u32 = 1_000;
/// Of one latency.
const QUERIES_MAX: usize = 16;
/// Of each query.
const RUNS_MAX: u32 = 10_000;

pub(super) fn check(strategy: &Strategy) -> Result<(), Refusal> {
    for (gate, at) in strategy.gates.iter().zip(0..) {
        let wrong = |what: String, next: &str| {
            Err(Refusal::new(Kind::Invalid, format!("gate `{}` {what}", gate.name), next))
        };
        if gate.name.is_empty() {
            return wrong(format!("(number {}) has no name", at + 1), "give it one: `name = …`");
        }
        if strategy.gates.iter().take(at).any(|other| other.name == gate.name) {
            return wrong("stands there twice".to_owned(), "give each gate a name of its own");
        }
        if gate.need == 0 || gate.need > gate.samples || gate.samples > SAMPLES_MAX {
            return wrong(
                format!("needs {} good answers of {}", gate.need, gate.samples),
                "`need` is 1 or more, and no more than `samples`, which is 1000 at most",
            );
        }
        if gate.timeout_ms == 0 || (gate.interval_ms == 0 && gate.samples > 1) {
            return wrong(
                "has no time to be answered, or no pause between two askings".to_owned(),
                "set `timeout` and `interval`",
            );
        }
        if let Question::Latency(latency) = &gate.question
            && let Some((what, next)) = immeasurable(latency)
        {
            return wrong(what, next);
        }
        let number = gate.expected.parse::<f64>().is_ok_and(f64::is_finite);
        if gate.comparison.is_of_numbers() && !number {
            return wrong(
                format!("compares with {:?}, which is no number", gate.expected),
                "write a number behind the comparison",
            );
        }
        if let Some(name) = gate.waves.iter().find(|name| !is_a_wave(strategy, name)) {
            return wrong(
                format!("is for wave `{name}`, and no wave is called so"),
                "name waves of the strategy; the last one, which takes what is left, is `rest`, and `all` \
                 where there is no other",
            );
        }
        if gate.when == When::Soak && !is_watched(strategy, gate) {
            return wrong(
                "is asked while a wave is watched, and none of its waves is".to_owned(),
                "set `soak`, or ask it `after_wave`",
            );
        }
    }
    Ok(())
}

/// What of a latency could never be told, and what to do.
fn immeasurable(latency: &Latency) -> Option<(String, &'static str)> {
    if latency.queries.is_empty() || latency.queries.len() > QUERIES_MAX {
        let what = format!("runs {} queries", latency.queries.len());
        return Some((what, "name one query or a few, 16 at the most"));
    }
    if latency.runs == 0 || latency.runs > RUNS_MAX {
        let what = format!("runs each query {} times", latency.runs);
        return Some((what, "set `runs` to something between 2 and 10000"));
    }
    if latency.ceilings.is_empty() {
        return Some(("expects nothing".to_owned(), "write `expect = \"p95 <= 1.5x\"`"));
    }
    let few = latency.ceilings.iter().find(|it| latency.runs < it.quantile.runs_min());
    few.map(|it| {
        let (name, least) = (it.quantile.as_str(), it.quantile.runs_min());
        let what = format!("tells {name} from {} runs of each query", latency.runs);
        (what + &format!(", which takes {least} at least"), "set `runs` higher")
    })
}

fn is_a_wave(strategy: &Strategy, name: &str) -> bool {
    let unnamed = |at: usize| name == format!("wave {}", at + 1);
    let listed = |(at, wave): (usize, &crate::spec::Wave)| {
        wave.name == name || (wave.name.is_empty() && unnamed(at))
    };
    let of_a_part = |wave: &crate::spec::Wave| wave.may_be_called(name);
    name == strategy.last_wave()
        || strategy.waves.iter().enumerate().any(listed)
        || strategy.waves.iter().any(of_a_part)
}

/// Some wave that the gate is for is watched when it is done.
fn is_watched(strategy: &Strategy, gate: &Gate) -> bool {
    let soak = |wave: &crate::spec::Wave| wave.soak_ms.unwrap_or(strategy.soak_ms);
    let last = strategy.soak_ms > 0 && gate.is_for(strategy.last_wave());
    last || strategy.waves.iter().any(|wave| is_for(gate, wave) && soak(wave) > 0)
}

/// Some wave that a plan may make of this one is meant.
fn is_for(gate: &Gate, wave: &crate::spec::Wave) -> bool {
    gate.is_for(&wave.name) || gate.waves.iter().any(|name| wave.may_be_called(name))
}
