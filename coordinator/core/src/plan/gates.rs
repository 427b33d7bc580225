//! Refuses gates that could never be asked, or never answer.

use crate::refusal::{Kind, Refusal};
use crate::spec::{Gate, Strategy, When};

/// So often a gate is asked at the most before it is decided.
const SAMPLES_MAX: u32 = 1_000;

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

fn is_a_wave(strategy: &Strategy, name: &str) -> bool {
    let unnamed = |at: usize| name == format!("wave {}", at + 1);
    let listed = |(at, wave): (usize, &crate::spec::Wave)| {
        wave.name == name || (wave.name.is_empty() && unnamed(at))
    };
    name == "rest" || name == "all" || strategy.waves.iter().enumerate().any(listed)
}

/// Some wave that the gate is for is watched when it is done.
fn is_watched(strategy: &Strategy, gate: &Gate) -> bool {
    let soak = |wave: &crate::spec::Wave| wave.soak_ms.unwrap_or(strategy.soak_ms);
    strategy.soak_ms > 0
        || strategy.waves.iter().any(|wave| gate.is_for(&wave.name) && soak(wave) > 0)
}
