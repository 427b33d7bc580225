//! What is asked of waves, by whom, and what came of it.

use super::{Impossible, state_mut};
use crate::event::Judged;
use crate::ids::{AgentId, Fence, Millis, RolloutId, Seq, TargetIx, WaveIx};
use crate::spec::When;
use crate::state::Fleet;
use crate::state::gate::{Failed, Phase, Round};
use crate::state::rollout::State;

/// A wave's gates are asked from now on. Where none has anybody to ask, they have passed.
pub(super) fn opened(fleet: &mut Fleet, id: RolloutId, wave: WaveIx) -> Result<(), Impossible> {
    let state = state_mut(fleet, id)?;
    state.round = Round::new(state, wave, When::AfterWave);
    if state.round.is_none() {
        state.checked = wave.0 + 1;
    }
    Ok(())
}

/// A wave is watched from now on.
pub(super) fn watched(
    fleet: &mut Fleet,
    id: RolloutId,
    (wave, at): (WaveIx, Millis),
) -> Result<(), Impossible> {
    let state = state_mut(fleet, id)?;
    state.soaking_since = Some(at);
    state.round = Round::new(state, wave, When::Soak);
    Ok(())
}

pub(super) fn asked(
    fleet: &mut Fleet,
    (seq, at): (Seq, Millis),
    (id, ask): (RolloutId, u32),
    (agent, for_ms): (&AgentId, u64),
) -> Result<(), Impossible> {
    let fence = fleet.fence(seq);
    let round = round(fleet, id)?;
    round.put(ask, Phase::Asked(fence));
    if let Some(ask) = round.ask_mut(ask) {
        ask.agent = Some(agent.clone());
        ask.until = Millis(at.0.saturating_add(for_ms));
    }
    fleet.agents.entry(agent.clone()).or_default().asks.insert(fence, (id, ask));
    Ok(())
}

fn round(fleet: &mut Fleet, id: RolloutId) -> Result<&mut Round, Impossible> {
    let state = state_mut(fleet, id)?;
    state.round.as_mut().ok_or_else(|| Impossible(format!("nothing is asked of {id}")))
}

/// The ask is under that fence, and is no more.
fn taken(
    fleet: &mut Fleet,
    (id, number): (RolloutId, u32),
    fence: Fence,
    phase: Phase,
) -> Result<(), Impossible> {
    let round = round(fleet, id)?;
    if round.ask(number).map(|ask| ask.phase) != Some(Phase::Asked(fence)) {
        return Err(Impossible(format!("ask {number} of {id} is not under fence {fence}")));
    }
    let agent = round.ask(number).and_then(|ask| ask.agent.clone());
    round.put(number, phase);
    drop_fences(fleet, agent.map(|agent| (agent, fence)));
    Ok(())
}

pub(super) fn released(
    fleet: &mut Fleet,
    (id, number): (RolloutId, u32),
    fence: Fence,
) -> Result<(), Impossible> {
    taken(fleet, (id, number), fence, Phase::Waiting)
}

pub(super) fn passed(fleet: &mut Fleet, at: Millis, judged: &Judged) -> Result<(), Impossible> {
    if !judged.version.is_empty() {
        return passed_around_a_step(fleet, at, judged);
    }
    taken(fleet, (judged.rollout, judged.ask), judged.fence, Phase::Passed)?;
    over(state_mut(fleet, judged.rollout)?);
    Ok(())
}

/// Nothing that is asked of a wave is open any more.
fn over(state: &mut State) {
    if let Some(round) = state.round.take_if(|round| round.open == 0)
        && round.when == When::AfterWave
    {
        state.checked = round.wave.0 + 1;
    }
}

/// The rollout goes on without a target: nothing is asked in it any more.
pub(super) fn left_out(
    fleet: &mut Fleet,
    id: RolloutId,
    target: TargetIx,
) -> Result<(), Impossible> {
    let state = state_mut(fleet, id)?;
    let Some(round) = &mut state.round else { return Ok(()) };
    let mut held = Vec::new();
    for number in round.open_in(target).collect::<Vec<_>>() {
        if let Some(ask) = round.ask(number)
            && let (Phase::Asked(fence), Some(agent)) = (ask.phase, &ask.agent)
        {
            held.push((agent.clone(), fence));
        }
        round.put(number, Phase::Passed);
    }
    over(state);
    drop_fences(fleet, held);
    Ok(())
}

fn passed_around_a_step(fleet: &mut Fleet, at: Millis, judged: &Judged) -> Result<(), Impossible> {
    let target = judged.target.as_ref().and_then(|target| fleet.targets.find(target));
    let lane = target.and_then(|target| fleet.targets.get(target)?.lane);
    let state = state_mut(fleet, judged.rollout)?;
    if let Some((_, lane)) = lane.filter(|(rollout, _)| *rollout == judged.rollout) {
        state.change(lane, |lane, _| {
            lane.passed += 1;
            lane.since = at;
        });
    }
    Ok(())
}

/// The rollout is held back, and nothing more is asked of it.
pub(super) fn failed(fleet: &mut Fleet, judged: &Judged) -> Result<(), Impossible> {
    // Of a step: its failure says the rest.
    if !judged.version.is_empty() {
        return state_mut(fleet, judged.rollout).map(|_| ());
    }
    let target = judged.target.as_ref().and_then(|target| fleet.targets.find(target));
    taken(fleet, (judged.rollout, judged.ask), judged.fence, Phase::Waiting)?;
    forget(fleet, judged.rollout)?;
    let state = state_mut(fleet, judged.rollout)?;
    state.soaking_since = None;
    let wave = state.plan.wave(judged.wave).map_or("", |wave| wave.name.as_str());
    let place = judged.target.as_ref().map(|target| format!(" in {target}")).unwrap_or_default();
    let why = format!(
        "gate `{}` of wave {} ({wave}) {}{place}: {}",
        judged.gate,
        judged.wave.0 + 1,
        how(judged),
        judged.measured
    );
    state.gate_failed = Some(Failed { why, target });
    Ok(())
}

/// The rollout is held back by a gate around a step, until that target is tried again or left out.
pub(super) fn breached(fleet: &mut Fleet, judged: &Judged) -> Result<(), Impossible> {
    let target = judged.target.as_ref();
    let Some((id, ix)) = target.and_then(|id| Some((id, fleet.targets.find(id)?))) else {
        return Err(Impossible(format!("gate `{}` is of no known target", judged.gate)));
    };
    let (gate, version, measured) = (&judged.gate, &judged.version, &judged.measured);
    let why = format!("gate `{gate}` of step {version} {} in {id}: {measured}", how(judged));
    state_mut(fleet, judged.rollout)?.step_gates_failed.insert(ix, why);
    Ok(())
}

fn how(judged: &Judged) -> &'static str {
    if judged.inconclusive { "could not be told" } else { "did not pass" }
}

/// Nothing is asked of a rollout's wave any more: a late answer is none.
pub(super) fn forget(fleet: &mut Fleet, id: RolloutId) -> Result<(), Impossible> {
    let Some(round) = state_mut(fleet, id)?.round.take() else { return Ok(()) };
    let held = round.asks.into_iter().filter_map(|ask| match ask.phase {
        Phase::Asked(fence) => Some((ask.agent?, fence)),
        Phase::Waiting | Phase::Passed => None,
    });
    drop_fences(fleet, held);
    Ok(())
}

fn drop_fences(fleet: &mut Fleet, held: impl IntoIterator<Item = (AgentId, Fence)>) {
    for (agent, fence) in held {
        if let Some(agent) = fleet.agents.get_mut(&agent) {
            agent.asks.remove(&fence);
        }
    }
}

/// A soak is longer or shorter than it was: whoever asks to its end has to know the new one.
pub(super) fn retimed(fleet: &mut Fleet, id: RolloutId) -> Result<(), Impossible> {
    let state = state_mut(fleet, id)?;
    let Some(wave) = state.wave().filter(|_| state.soaking_since.is_some()) else { return Ok(()) };
    forget(fleet, id)?;
    let state = state_mut(fleet, id)?;
    state.round = Round::new(state, wave, When::Soak);
    Ok(())
}

/// An agent is gone for good: what it asked is asked by another.
pub(super) fn left(fleet: &mut Fleet, agent: &AgentId) -> Result<(), Impossible> {
    let asks = fleet.agents.get_mut(agent).map(|agent| std::mem::take(&mut agent.asks));
    for (id, number) in asks.unwrap_or_default().into_values() {
        round(fleet, id)?.put(number, Phase::Waiting);
    }
    Ok(())
}
