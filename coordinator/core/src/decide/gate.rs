//! Gates of waves: opened, handed to agents, judged.

use super::rollout;
use super::rollout::{early, not_now};
use crate::command::Judgement;
use crate::event::{Body, Judged};
use crate::ids::{AgentId, Fence, Millis, RolloutId, TargetId, WaveIx};
use crate::refusal::{Kind, Refusal};
use crate::spec::When;
use crate::state::Fleet;
use crate::state::gate::{Ask, Check, Phase, Round};
use crate::state::rollout::{Soak, State, Status};

/// Of what was measured the log keeps so much, characters.
const MEASURED_MAX: usize = 400;

pub(super) fn open(fleet: &Fleet, id: RolloutId) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    if state.status != Status::Running {
        return Err(not_now(id, state.status, "continued"));
    }
    if state.under_way() > 0 || state.breached() {
        return Err(early(id, "the open wave is not done", "its gates are asked"));
    }
    match state.check() {
        Some(Check::Due(wave)) => Ok(vec![Body::GatesOpened { rollout: id, wave }]),
        Some(Check::Open(_)) | None => {
            Err(early(id, "no gate of the open wave is to be asked", "one is"))
        }
    }
}

pub(super) fn ask(
    fleet: &Fleet,
    id: RolloutId,
    (number, agent): (u32, &AgentId),
    now: Millis,
) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    let conflict = || {
        let what = format!("ask {number} of {id} does not wait for {agent}");
        Refusal::new(Kind::Conflict, what, "the scheduler asks again")
    };
    let round = state.round.as_ref().filter(|_| state.status == Status::Running);
    let round = round.ok_or_else(conflict)?;
    let ask = round.ask(number).filter(|ask| ask.phase == Phase::Waiting).ok_or_else(conflict)?;
    let gate = state.gate(ask.gate).ok_or_else(conflict)?;
    let served = match ask.target {
        None => true,
        Some(ix) => fleet.targets.get(ix).is_some_and(|target| target.agents.contains(agent)),
    };
    if !served || state.breached() {
        return Err(conflict());
    }
    Ok(vec![Body::GateAsked {
        rollout: id,
        wave: round.wave,
        gate: gate.name.clone(),
        ask: number,
        target: name(fleet, ask),
        agent: agent.clone(),
        for_ms: for_ms(state, round, now),
    }])
}

/// How long a gate is still asked: to the end of the soak.
fn for_ms(state: &State, round: &Round, now: Millis) -> u64 {
    match (round.when, state.soaks()) {
        (When::Soak, Some(Soak::Until(at))) => at.0.saturating_sub(now.0),
        _ => 0,
    }
}

fn name(fleet: &Fleet, ask: &Ask) -> Option<TargetId> {
    ask.target.and_then(|ix| fleet.targets.get(ix)).map(|target| target.id.clone())
}

/// What an agent asks under a lease, if it still does.
fn held<'a>(
    fleet: &'a Fleet,
    agent: &AgentId,
    fence: Fence,
) -> Option<(&'a State, &'a Round, u32)> {
    let (rollout, number) = *fleet.agents.get(agent)?.asks.get(&fence)?;
    let state = fleet.rollouts.get(&rollout)?;
    Some((state, state.round.as_ref()?, number))
}

pub(super) fn release(fleet: &Fleet, agent: &AgentId, (fence, why): (Fence, &str)) -> Vec<Body> {
    let Some((state, _, ask)) = held(fleet, agent, fence) else { return Vec::new() };
    let (agent, why) = (agent.clone(), why.to_owned());
    vec![Body::GateReleased { rollout: state.id, ask, agent, fence, why }]
}

pub(super) fn judge(
    fleet: &Fleet,
    agent: &AgentId,
    fence: Fence,
    judgement: &Judgement,
) -> Result<Vec<Body>, Refusal> {
    let held = held(fleet, agent, fence);
    let found = held.and_then(|(state, round, number)| {
        let ask = round.ask(number)?;
        Some((state, round, number, ask, state.gate(ask.gate)?))
    });
    let Some((state, round, number, ask, gate)) = found else {
        return Err(Refusal::new(
            Kind::LeaseLost,
            format!("fence {fence} is no lease on a gate any more"),
            "ask no more: another agent does, or nobody has to",
        ));
    };
    let judged = Box::new(Judged {
        rollout: state.id,
        wave: round.wave,
        gate: gate.name.clone(),
        target: name(fleet, ask),
        version: String::new(),
        ask: number,
        fence,
        measured: bounded(&judgement.measured),
        inconclusive: judgement.inconclusive && !judgement.passed,
    });
    Ok(vec![verdict(judgement.passed, judged)])
}

fn verdict(passed: bool, judged: Box<Judged>) -> Body {
    if passed { Body::GatePassed { judged } } else { Body::GateFailed { judged } }
}

/// A gate of the step that a leg is at.
pub(super) fn of_step(
    state: &State,
    (id, wave, fence): (&TargetId, WaveIx, Fence),
    (gate, version): (&str, String),
    judgement: &Judgement,
) -> Result<Vec<Body>, Refusal> {
    let known = state.plan.spec.strategy.gates.iter().find(|known| known.name == gate);
    if let Some(known) = known.filter(|known| !known.when.is_of_a_wave()) {
        let judged = Box::new(Judged {
            rollout: state.id,
            wave,
            gate: known.name.clone(),
            target: Some(id.clone()),
            version,
            ask: 0,
            fence,
            measured: bounded(&judgement.measured),
            inconclusive: judgement.inconclusive && !judgement.passed,
        });
        return Ok(vec![if known.breach && !judgement.passed {
            Body::GateBreached { judged }
        } else {
            verdict(judgement.passed, judged)
        }]);
    }
    Err(Refusal::new(
        Kind::Invalid,
        format!("{} has no gate `{gate}` around its steps", state.id),
        "send what belongs to the leg",
    ))
}

fn bounded(text: &str) -> String {
    match text.char_indices().nth(MEASURED_MAX) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}
