//! The words of the golden scripts that are about gates.

use std::collections::BTreeMap;

use skein_core::command::{Command, Judgement, Outcome};
use skein_core::ids::{AgentId, Fence, StepIx, TargetId};
use skein_core::outbox::{Ask, asks_after};
use skein_core::spec::{Bound, Ceiling, Comparison, Gate, Latency, Quantile, Question, When};

use super::world::World;

pub(crate) fn run(world: &mut World, bare: &[&str], keys: &BTreeMap<&str, &str>) {
    match bare {
        ["gate", "none"] => world.strategy.gates.clear(),
        ["gate", name, when] => world.strategy.gates.push(gate(name, when, keys)),
        ["judge", agent, name, rest @ ..] => judge(world, (agent, name), rest, keys),
        ["release-gate", agent] => {
            let agent = AgentId::from(*agent);
            let held = asks_after(&world.fleet, &agent, Fence(0));
            let fence = fence(keys).or(held.first().map(|ask| ask.fence)).unwrap_or_default();
            let why = "not heard of for 30 s".to_owned();
            world.ask("leader", Command::ReleaseGate { agent, fence, why });
        }
        ["asks", agent] => {
            let asks = asks_after(&world.fleet, &AgentId::from(*agent), Fence(0));
            if asks.is_empty() {
                world.say("no gate");
            }
            for Ask { fence, gate, target, for_ms, baseline, .. } in asks {
                let place = target.map(|target| format!(" in {target}")).unwrap_or_default();
                let was = baseline.iter().map(|it| format!(", was {}", it.p95));
                let was: String = was.collect();
                world.say(format!("asks {}{place} for {for_ms} under {fence}{was}", gate.name));
            }
        }
        other => panic!("no words {other:?}"),
    }
}

fn fence(keys: &BTreeMap<&str, &str>) -> Option<Fence> {
    keys.get("fence").map(|fence| Fence(fence.parse().expect("a number")))
}

fn gate(name: &str, when: &str, keys: &BTreeMap<&str, &str>) -> Gate {
    let number = |key: &str, otherwise: u32| {
        keys.get(key).map_or(otherwise, |text| text.parse().expect("a number"))
    };
    let latency = keys.get("latency").map(|times| {
        let ceiling = Ceiling {
            quantile: Quantile::P95,
            bound: Bound::Thousandths(times.parse().expect("thousandths")),
        };
        let queries = vec!["SELECT 1".to_owned()];
        Question::Latency(Latency { queries, runs: number("runs", 100), ceilings: vec![ceiling] })
    });
    let question = match (keys.get("http"), keys.get("command")) {
        (Some(source), _) => Question::Http((*source).to_owned()),
        (None, Some(source)) => Question::Command((*source).to_owned()),
        (None, None) if latency.is_some() => latency.expect("it is there"),
        (None, None) => Question::Sql("SELECT count(*) FROM broken".to_owned()),
    };
    let (comparison, expected) = match keys.get("below") {
        Some(most) => (Comparison::Below, *most),
        None => (Comparison::Is, "0"),
    };
    let samples = number("samples", 1);
    Gate {
        name: name.to_owned(),
        when: match when {
            "before-step" => When::BeforeStep,
            "after-step" => When::AfterStep,
            "after-wave" => When::AfterWave,
            "soak" => When::Soak,
            other => panic!("no time {other}"),
        },
        waves: keys.get("wave").map(|wave| (*wave).to_owned()).into_iter().collect(),
        question,
        comparison,
        expected: expected.to_owned(),
        samples,
        need: number("need", samples),
        interval_ms: 100,
        timeout_ms: 1_000,
        breach: keys.contains_key("breach"),
    }
}

fn judge(
    world: &mut World,
    (agent, name): (&str, &str),
    rest: &[&str],
    keys: &BTreeMap<&str, &str>,
) {
    let agent = AgentId::from(agent);
    let passed = rest.contains(&"good");
    let judgement = Judgement {
        passed,
        inconclusive: rest.contains(&"silent"),
        measured: if passed { "0" } else { "3" }.to_owned(),
    };
    let target = rest.iter().find(|word| word.starts_with("t-")).map(|id| TargetId::from(*id));
    if let (Some(step), Some(target)) = (keys.get("step"), &target) {
        let (step, gate) = (StepIx(step.parse().expect("a number")), name.to_owned());
        let held = world.lease(target).map(|(_, fence)| fence);
        let fence = fence(keys).or(held).unwrap_or_default();
        return world.report(&agent, target, fence, Outcome::Judged { step, gate, judgement });
    }
    let held = asks_after(&world.fleet, &agent, Fence(0));
    let held = held.into_iter().find(|ask| ask.gate.name == name && ask.target == target);
    let fence = fence(keys).or(held.map(|ask| ask.fence)).unwrap_or_default();
    world.ask(agent.as_str(), Command::JudgeGate { agent: agent.clone(), fence, judgement });
}
