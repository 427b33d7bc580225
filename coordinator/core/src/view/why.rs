//! Why a target is where it is in a rollout, and what it waits for, as sentences.

use crate::forecast::{self, Amount, Answer, Fits, Interval};
use crate::hours::{Hours, Left, Shut, stops};
use crate::ids::{AgentId, Millis, StepIx, count_of_targets};
use crate::room::Room;
use crate::schedule::{Moment, Throttled, waits_for};
use crate::state::Fleet;
use crate::state::rollout::{Exempt, Lane, Phase, State, Status};
use crate::state::target;

/// One target of a rollout.
pub fn why(
    fleet: &Fleet,
    state: &State,
    (lane, target): (&Lane, &target::State),
    moment: Moment<'_>,
) -> Vec<String> {
    let Moment { presence, hours, now } = moment;
    let mut said = vec![place(state, lane)];
    let comes_later = lane.phase == Phase::Waiting
        || (lane.phase == Phase::Done && state.has_stages_left(lane) && !state.turned);
    if let Some(reason) = lane.held.as_ref().filter(|_| comes_later) {
        said.push(format!("somebody holds it: {reason}"));
    }
    said.push(match lane.phase {
        Phase::Waiting => waiting(fleet, state, lane, moment),
        Phase::Ready | Phase::UndoReady => ready(fleet, state, (lane, target), moment),
        Phase::Leased | Phase::UndoLeased => {
            let stops = stops(fleet, target, (hours, now));
            let waits = presence.and_then(|it| it.throttled(lane, target)).map(waits);
            let so_far = presence.and_then(|it| it.batched(lane, target));
            let so_far = so_far.map(|so_far| format!("; it is at {so_far}"));
            let said = leased(state, lane, (target, stops));
            said + &so_far.unwrap_or_default() + &waits.unwrap_or_default()
        }
        Phase::Done if state.has_stages_left(lane) => {
            let stage = state.plan.stage(state.plan.stage_of(lane.wave));
            let name = stage.map_or("", |stage| stage.name.as_str());
            format!("every step of stage `{name}` is in force and verified; others are to come")
        }
        Phase::Done => "every step is in force and verified".to_owned(),
        Phase::Failed => {
            "a step failed for good: it counts against the budget until somebody resumes \
                          the rollout"
                .to_owned()
        }
        Phase::Stuck => "what of its last step is in force cannot be told from evidence".to_owned(),
        Phase::Undone if lane.breach && state.status.ended() => format!(
            "a breach took it back, and {} steps stay; `skein resume {}` takes it forward again",
            lane.keep, state.id
        ),
        Phase::Undone => format!("it was taken back, and {} steps stay", lane.keep),
        Phase::Residual => "it is neither where it was nor where it should be".to_owned(),
        Phase::Waived => {
            let spared = spared(state.exempt.get(&lane.target), (hours, now));
            format!("the rollout goes on without it{spared}, and it stays as it is")
        }
    });
    said.extend(forecast(fleet, state, (lane, target), (hours, now)));
    if let Some(step) = &lane.blocked_by {
        said.push(format!("step {step} cannot be undone"));
    }
    if lane.partly {
        said.push(
            "a part of a step may be in force: it is completed before anything is undone"
                .to_owned(),
        );
    }
    if lane.doubt {
        said.push(
            "its last executor vanished: somebody reads its ledger before anything else".to_owned(),
        );
    }
    if !target.problem.is_empty() {
        said.push(format!("the target is held: {}", target.problem));
    }
    if let Some(note) = &lane.note {
        said.push(format!("the last word on it: {note}"));
    }
    said
}

/// Until when a target is left out, in a sentence about that; nothing where it is for good.
pub fn spared(exempt: Option<&Exempt>, (hours, now): (&Hours, Millis)) -> String {
    let until = exempt.and_then(|exempt| exempt.until);
    until.map_or(String::new(), |until| format!(" until {}", (hours.spell)(until, now, "UTC")))
}

/// How long its leg takes, whether that fits its window, and whether it takes longer than that now.
fn forecast(
    fleet: &Fleet,
    state: &State,
    (lane, target): (&Lane, &target::State),
    (hours, now): (&Hours, Millis),
) -> Vec<String> {
    let mut said = Vec::new();
    let mut fits = Fits::new(fleet);
    if !state.status.ended()
        && !state.turned
        && let Some(leg) = forecast::leg(state, (lane, target), (&mut fits, now))
        && leg.interval.p95 > 0
    {
        let what = if lane.phase == Phase::Leased { "the rest of its leg" } else { "its leg" };
        said.push(format!("{what}: {}", told(&leg)));
        let shut = Shut::new(fleet, state, (hours, now));
        if let Some((answer, left)) = forecast::fits(&shut, target, &leg) {
            let left = Left(left);
            said.push(match answer {
                Answer::Fits => format!("its window is open for {left} more, and that fits"),
                Answer::TooLong => {
                    format!("its window is open for {left} more, and that may not fit")
                }
                Answer::Unknown => format!(
                    "its window is open for {left} more; whether that fits is not known, since not all \
                     of it was ever measured"
                ),
            });
        }
    }
    if lane.overran && matches!(lane.phase, Phase::Leased | Phase::UndoLeased) {
        let so_far = Left(now.0.saturating_sub(lane.since.0));
        said.push(format!(
            "the step under way has taken {so_far} so far: longer than was forecast for it"
        ));
    }
    said
}

/// A forecast, and how much of it was measured.
fn told(amount: &Amount) -> String {
    let Interval { p50, p95 } = amount.interval;
    let interval = || {
        let length = |ms| if ms < 1_000 { "under 1 s".to_owned() } else { Left(ms).to_string() };
        let (p50, p95) = (length(p50), length(p95));
        if p50 == p95 { p50 } else { format!("{p50} to {p95}") }
    };
    let Amount { parts, measured, steps, by_rows, .. } = amount;
    let rows = match by_rows {
        0 => String::new(),
        all if all == steps => ", by the rows of the tables that its steps touch".to_owned(),
        some => format!(", {some} of {steps} steps by the rows of the tables that they touch"),
    };
    if amount.is_whole() {
        return format!("{} forecast{rows}", interval());
    }
    format!(
        "{} forecast for {measured} of its {parts} steps and backups{rows}; the others were never measured",
        interval()
    )
}

fn place(state: &State, lane: &Lane) -> String {
    let steps = state.steps(lane);
    let next = state.step(lane, StepIx(lane.verified)).filter(|_| !state.turned);
    let next = next.map(|step| format!(", next is {}", step.entry.version)).unwrap_or_default();
    format!(
        "wave {} ({}): {} of {steps} steps applied, {} verified{next}",
        lane.wave.0 + 1,
        state.plan.wave(lane.wave).map_or("", |wave| wave.name.as_str()),
        lane.applied,
        lane.verified
    )
}

fn waiting(fleet: &Fleet, state: &State, lane: &Lane, moment: Moment<'_>) -> String {
    let number = lane.wave.0 + 1;
    match state.status {
        Status::Planned => "the rollout was not started".to_owned(),
        Status::Completed | Status::RolledBack | Status::Halted => {
            format!("the rollout ended before wave {number} opened")
        }
        Status::Running | Status::Paused | Status::Unwinding => match state.wave() {
            Some(_) if state.under_way() == 0 => {
                let why = waits_for(fleet, state, moment);
                format!("wave {number} is not open: {why}")
            }
            Some(open) => format!(
                "wave {number} is not open: wave {} has {} under way or ready",
                open.0 + 1,
                count_of_targets(state.under_way() as usize)
            ),
            None => "no wave is open yet".to_owned(),
        },
    }
}

fn ready(
    fleet: &Fleet,
    state: &State,
    (lane, target): (&Lane, &target::State),
    Moment { presence, hours, now }: Moment<'_>,
) -> String {
    if let Some(reason) = &lane.held {
        return format!("somebody holds it: {reason}");
    }
    match state.status {
        // Somebody tries it again by itself.
        Status::Running | Status::Paused if state.again(lane.target) => {}
        Status::Paused if state.aborted.is_some() => return "the rollout was given up".to_owned(),
        Status::Paused => return format!("the rollout is paused: {}", state.reason),
        Status::Completed | Status::RolledBack | Status::Halted => {
            return format!("the rollout has ended: {}", state.reason);
        }
        Status::Running if state.breached() => {
            return match state.failed_gate() {
                Some(why) => format!("{why}: nothing new is begun"),
                None => "the failure budget is broken: nothing new is begun".to_owned(),
            };
        }
        Status::Planned | Status::Running | Status::Unwinding => {}
    }
    if lane.not_before > now {
        let left = (lane.not_before.0 - now.0).div_ceil(1_000);
        return format!("attempt {} begins in {left} s", lane.attempt + 1);
    }
    if presence.is_some_and(|presence| !presence.has_one_of(&target.agents)) {
        if target.agents.is_empty() {
            return format!("no agent serves it now: {}", target.problem);
        }
        let agents: Vec<&str> = target.agents.iter().map(AgentId::as_str).collect();
        let heard = target.agents.iter().filter_map(|agent| presence?.heard.get(agent)).max();
        let since = heard.map(|at| now.0.saturating_sub(at.0).div_ceil(1_000));
        let since = since.map(|long| format!(" (last heard of {long} s ago)"));
        return format!(
            "none of its agents is connected: {}{}",
            agents.join(", "),
            since.unwrap_or_default()
        );
    }
    if presence.is_some_and(|it| !target.agents.iter().any(|agent| it.may_have(state, agent))) {
        return "its agents are of a release that waits for no throttles, and the rollout has some: \
                upgrade them"
            .to_owned();
    }
    let shut = Shut::new(fleet, state, (hours, now));
    if let Some(wait) = shut.wait(target) {
        return shut.say(&wait);
    }
    let (leased, most) = (state.leased(), state.parallelism());
    if leased >= most {
        return format!("{leased} targets are worked on, and parallelism is {most}");
    }
    let room = Room::new(fleet, std::iter::once(state));
    match room.full(state.id, target) {
        Some(full) => full.to_string(),
        None if presence.is_none() => {
            "it could go on; who was connected then is not in the log".to_owned()
        }
        None => "it may be worked on: its agent has no free slot, or is being asked".to_owned(),
    }
}

/// What a leg under way waits for.
fn waits(throttled: &Throttled) -> String {
    let seconds = throttled.waited_ms / 1_000;
    format!("; it has waited for {seconds} s, throttled by {}", throttled.why)
}

fn leased(state: &State, lane: &Lane, (target, stops): (&target::State, Option<String>)) -> String {
    let (agent, fence) = match &target.lease {
        Some(lease) => (lease.agent.as_str(), lease.fence.0),
        None => ("nobody", 0),
    };
    let what = if lane.phase == Phase::UndoLeased { "undoes its steps" } else { "works on it" };
    let stop = if lane.given_up {
        ", and is asked to stop after its step: the rollout goes on without it".to_owned()
    } else if let Some(reason) = lane.held.as_ref().filter(|_| lane.finishes) {
        format!("; then somebody holds it: {reason}")
    } else if (state.stopping && state.at_batch) || (lane.held.is_some() && lane.at_batch) {
        ", and is asked to stop after its step, or after its batch".to_owned()
    } else if state.stopping || lane.held.is_some() || (lane.unwind && lane.phase == Phase::Leased)
    {
        ", and is asked to stop after its step".to_owned()
    } else {
        let stop = |why| format!(", and is asked to stop after its step: {why}");
        stops.map(stop).unwrap_or_default()
    };
    format!("agent {agent} {what} under fence {fence}{stop}")
}
