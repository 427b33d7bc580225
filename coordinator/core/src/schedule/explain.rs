//! Why a rollout is where it is, as a sentence.

use std::collections::BTreeSet;

use super::{Moment, Presence, gates};
use crate::hours::{Shut, Wait};
use crate::ids::{Millis, TargetId, WaveIx, count_of_targets};
use crate::plan;
use crate::room::Room;
use crate::spec::When;
use crate::state::rollout::{Barrier, Phase, Soak, State, Status};
use crate::state::{Fleet, gate};

/// What a rollout waits for, or why it ended as it did. Empty: it ended well.
pub fn waits_for(fleet: &Fleet, state: &State, moment: Moment<'_>) -> String {
    match state.status {
        Status::Planned => "waits to be started".to_owned(),
        Status::Paused if state.reason.is_empty() => "paused".to_owned(),
        Status::Paused => format!("paused: {}", state.reason),
        Status::Completed | Status::RolledBack | Status::Halted => state.reason.clone(),
        Status::Running | Status::Unwinding => under_way(fleet, state, moment),
    }
}

fn under_way(fleet: &Fleet, state: &State, moment: Moment<'_>) -> String {
    let Moment { presence, now, .. } = moment;
    let leased = state.leased() as usize;
    let cause = if state.status == Status::Unwinding {
        format!("rolling back ({}); ", state.reason)
    } else {
        String::new()
    };
    if leased > 0 {
        let so_far = presence.map(|presence| batched(fleet, state, presence)).unwrap_or_default();
        let waits = presence.map(|presence| throttled(fleet, state, presence)).unwrap_or_default();
        return format!("{cause}work on {} is under way{so_far}{waits}", count_of_targets(leased));
    }
    if let Some(why) = asking(fleet, state, presence) {
        return format!("{cause}{why}");
    }
    match between_waves(fleet, state, now) {
        Some(why) => format!("{cause}{why}"),
        None => format!("{cause}{}", open_lanes(fleet, state, moment)),
    }
}

/// Which of the legs under way wait for a throttle, and what was measured.
fn throttled(fleet: &Fleet, state: &State, presence: &Presence) -> String {
    let waits = presence.throttled.iter().filter(|(id, throttled)| {
        let lane = fleet.target(id).and_then(|(ix, _)| fleet.lane(ix));
        lane.is_some_and(|(of, lane)| of.id == state.id && lane.fence == Some(throttled.fence))
    });
    let mut waits = waits.peekable();
    let Some((id, first)) = waits.peek().copied() else { return String::new() };
    let count = waits.count();
    if count == 1 {
        format!("; {id} throttled by {}", first.why)
    } else {
        format!("; {count} throttled, such as {id} by {}", first.why)
    }
}

/// Which of the legs under way are at a statement in batches, and how far one of them is.
fn batched(fleet: &Fleet, state: &State, presence: &Presence) -> String {
    let at = presence.batched.iter().filter(|(id, batched)| {
        let lane = fleet.target(id).and_then(|(ix, _)| fleet.lane(ix));
        lane.is_some_and(|(of, lane)| of.id == state.id && lane.fence == Some(batched.fence))
    });
    let mut at = at.peekable();
    let Some((id, first)) = at.peek().copied() else { return String::new() };
    match at.count() {
        1 => format!("; {id} is at {first}"),
        count => format!("; {count} in batches, such as {id} at {first}"),
    }
}

/// Which gates have not passed, and whether somebody can ask them.
fn asking(fleet: &Fleet, state: &State, presence: Option<&Presence>) -> Option<String> {
    let round = state.round.as_ref().filter(|_| is_between_waves(state))?;
    let wave = state.plan.wave(round.wave).map_or("", |wave| wave.name.as_str());
    let wave = format!("wave {} ({wave})", round.wave.0 + 1);
    let first = round.waiting.iter().take(1).find_map(|number| round.ask(*number));
    if let (Some(ask), Some(presence)) = (first, presence)
        && gates::candidates(fleet, presence, state, (round, ask)).is_empty()
    {
        let gate = state.gate(ask.gate)?;
        let target = ask.target.and_then(|ix| fleet.targets.get(ix));
        return Some(match (gate.question.source(), target) {
            (_, Some(target)) => format!(
                "gate `{}` of {wave} cannot be asked: no agent that asks gates is connected for {target}; \
                 `skein repair skip {} --on {target} --waive WHY` goes on without it",
                gate.name,
                state.id,
                target = target.id
            ),
            (source, None) => format!(
                "gate `{}` of {wave} cannot be asked: no connected agent that serves a target of the wave \
                 has [agent.gate.{}] in its skein.toml",
                gate.name,
                source.unwrap_or_default()
            ),
        });
    }
    if round.when == When::Soak {
        return None;
    }
    let open = round.asks.iter().filter(|ask| ask.phase != gate::Phase::Passed);
    let names: BTreeSet<u32> = open.map(|ask| ask.gate).collect();
    let names: Vec<String> = names
        .into_iter()
        .filter_map(|gate| Some(format!("`{}`", state.gate(gate)?.name)))
        .collect();
    Some(format!(
        "{wave} is done, and its gates are asked: {}, {} of {} answers are still to come",
        names.join(", "),
        round.open,
        round.asks.len()
    ))
}

/// What the next wave, or the end, waits for.
fn between_waves(fleet: &Fleet, state: &State, now: Millis) -> Option<String> {
    let name = |wave: WaveIx| state.plan.wave(wave).map_or("", |wave| wave.name.as_str());
    if let Some(wave) = waits_for_a_word(state, now) {
        return Some(format!(
            "wave {number} ({name}) waits for somebody's word: `skein approve {id} --wave {number}`",
            number = wave.0 + 1,
            name = name(wave),
            id = state.id
        ));
    }
    let Some((wave, at)) = watched(state, now) else {
        return barrier(fleet, state).or_else(|| absent(fleet, state));
    };
    let left = at.0.saturating_sub(now.0).div_ceil(1_000);
    let asked = if state.is_asked_in_soak() { ", and its gates are asked" } else { "" };
    Some(format!("wave {} ({}) is watched for {left} s more{asked}", wave.0 + 1, name(wave)))
}

/// Another stage would begin, and this one is not in force everywhere.
pub(super) fn barrier(fleet: &Fleet, state: &State) -> Option<String> {
    let barrier = state.barrier().filter(|_| is_between_waves(state))?;
    let lanes = state.lanes.iter().map(|(_, lane)| lane);
    let failed = lanes.filter(|lane| matches!(lane.phase, Phase::Failed | Phase::Stuck));
    let (targets, next): (Vec<_>, _) = match barrier {
        Barrier::Failed => (failed.map(|lane| lane.target).collect(), "mend them and resume"),
        Barrier::Absent => (state.awaited.keys().copied().collect(), "it waits for them"),
    };
    let names = targets.into_iter().filter_map(|ix| fleet.targets.get(ix));
    let names: Vec<&str> = names.map(|target| target.id.as_str()).collect();
    let name = |stage: u32| state.plan.stage(stage).map_or("", |stage| stage.name.as_str());
    Some(format!(
        "stage `{}` is not in force on {} ({}), and `{}` begins when it is everywhere: {next}, or leave them \
         out: `skein repair skip {}`",
        name(state.stage()),
        count_of_targets(names.len()),
        plan::few(&names),
        name(state.next_stage()?),
        state.id
    ))
}

/// Everything is done but on targets that are not there, or cannot be worked on.
fn absent(fleet: &Fleet, state: &State) -> Option<String> {
    if !state.waits_for_absent() {
        return None;
    }
    let ((id, why), few) = (awaited(fleet, state).next()?, count_of_targets(state.awaited.len()));
    Some(format!("everything else is done; it waits for {few}, such as {id}: {why}"))
}

/// Targets that are meant and have no lane yet, and why, as of now.
pub fn awaited<'a>(
    fleet: &'a Fleet,
    state: &'a State,
) -> impl Iterator<Item = (&'a TargetId, String)> {
    state.awaited.iter().filter_map(|(ix, why)| {
        let target = fleet.targets.get(*ix)?;
        Some((&target.id, plan::absent(target).unwrap_or_else(|| why.to_string())))
    })
}

/// Everything that is open is done.
fn is_between_waves(state: &State) -> bool {
    state.status == Status::Running && state.under_way() == 0 && !state.breached()
}

/// The wave that is watched now, and until when.
pub fn watched(state: &State, now: Millis) -> Option<(WaveIx, Millis)> {
    match (state.wave().filter(|_| is_between_waves(state))?, state.soaks()?) {
        (wave, Soak::Until(at)) if at > now || state.is_asked_in_soak() => Some((wave, at)),
        (_, Soak::Until(_) | Soak::Due(_)) => None,
    }
}

/// The wave that opens as soon as somebody says so: nothing else is waited for.
pub fn waits_for_a_word(state: &State, now: Millis) -> Option<WaveIx> {
    let due = state.check().is_some()
        || state.soaks() == Some(Soak::Due(state.wave().unwrap_or_default()));
    let waits = is_between_waves(state) && state.barrier().is_none();
    state.unapproved().filter(|_| waits && !due && watched(state, now).is_none())
}

/// What lanes that could be worked on wait for.
fn open_lanes(fleet: &Fleet, state: &State, Moment { presence, hours, now }: Moment<'_>) -> String {
    let room = Room::new(fleet, std::iter::once(state));
    let shut = Shut::new(fleet, state, (hours, now));
    let (mut later, mut absent, mut held, mut full) = (0, Few::default(), Few::default(), None);
    let mut older = Few::default();
    // Of those that are closed: how many, and the one that opens first.
    let (mut closed, mut first) = (0, None::<Wait<'_>>);
    for (_, lane) in state.lanes.iter() {
        let Some(target) = fleet.targets.get(lane.target) else { continue };
        if !matches!(lane.phase, Phase::Ready | Phase::UndoReady) {
            continue;
        }
        if lane.held.is_some() {
            held.add(target.id.as_str());
        } else if lane.not_before > now {
            later += 1;
        } else if presence.is_some_and(|presence| !presence.has_one_of(&target.agents)) {
            absent.add(target.id.as_str());
        } else if presence.is_some_and(|it| !target.agents.iter().any(|id| it.may_have(state, id)))
        {
            older.add(target.id.as_str());
        } else if let Some(wait) = shut.wait(target) {
            closed += 1;
            let sooner = |first: &Wait<'_>| {
                first.until.is_none_or(|at| wait.until.is_some_and(|until| until < at))
            };
            if first.as_ref().is_none_or(sooner) {
                first = Some(wait);
            }
        } else if full.is_none() {
            full = room.full(state.id, target);
        }
    }
    if let Some(full) = full {
        return full.to_string();
    }
    if let Some(wait) = &first {
        return format!("{} {}", count_of_targets(closed), shut.say(wait));
    }
    if absent.count > 0 {
        let few = count_of_targets(absent.count);
        return format!("no agent is connected for {few}, such as {}", absent.example);
    }
    if older.count > 0 {
        return format!(
            "the agents of {} are of a release that waits for no throttles, such as those of {}; \
             upgrade them",
            count_of_targets(older.count),
            older.example
        );
    }
    if held.count > 0 {
        let few = count_of_targets(held.count);
        return format!("{few} held by somebody, such as {}", held.example);
    }
    if later > 0 {
        return format!("a pause for {} before another attempt", count_of_targets(later));
    }
    match presence {
        Some(_) => "the next step is being decided".to_owned(),
        None => "it could go on; who was connected then is not in the log".to_owned(),
    }
}

/// How many, and the first of them.
#[derive(Default)]
struct Few<'a> {
    count: usize,
    example: &'a str,
}

impl<'a> Few<'a> {
    fn add(&mut self, id: &'a str) {
        self.count += 1;
        if self.count == 1 {
            self.example = id;
        }
    }
}
