//! Why a rollout is where it is, as a sentence.

use super::Presence;
use crate::ids::{Millis, WaveIx, count_of_targets};
use crate::room::{Full, Room};
use crate::state::Fleet;
use crate::state::rollout::{Phase, Soak, State, Status};

/// What a rollout waits for, or why it ended as it did. Empty: it ended well.
pub fn waits_for(fleet: &Fleet, state: &State, presence: &Presence, now: Millis) -> String {
    match state.status {
        Status::Planned => "waits to be started".to_owned(),
        Status::Paused if state.reason.is_empty() => "paused".to_owned(),
        Status::Paused => format!("paused: {}", state.reason),
        Status::Completed | Status::RolledBack | Status::Halted => state.reason.clone(),
        Status::Running | Status::Unwinding => under_way(fleet, state, presence, now),
    }
}

fn under_way(fleet: &Fleet, state: &State, presence: &Presence, now: Millis) -> String {
    let leased = state.leased() as usize;
    let cause = if state.status == Status::Unwinding {
        format!("rolling back ({}); ", state.reason)
    } else {
        String::new()
    };
    if leased > 0 {
        return format!("{cause}work on {} is under way", count_of_targets(leased));
    }
    match between_waves(state, now) {
        Some(why) => format!("{cause}{why}"),
        None => format!("{cause}{}", open_lanes(fleet, state, presence, now)),
    }
}

/// What the next wave, or the end, waits for.
fn between_waves(state: &State, now: Millis) -> Option<String> {
    let going = state.status == Status::Running && state.under_way() == 0 && !state.breached();
    let name = |wave: WaveIx| state.plan.wave(wave).map_or("", |wave| wave.name.as_str());
    let wave = state.wave().filter(|_| going);
    match (wave, state.soaks()) {
        (Some(wave), Some(Soak::Until(at))) if at > now => {
            let left = (at.0 - now.0).div_ceil(1_000);
            let name = name(wave);
            return Some(format!("wave {} ({name}) is watched for {left} s more", wave.0 + 1));
        }
        _ => {}
    }
    let next = state.unapproved().filter(|_| going || state.opened == 0)?;
    let name = name(next);
    Some(format!(
        "wave {number} ({name}) waits for somebody's word: `skein approve {id} --wave {number}`",
        number = next.0 + 1,
        id = state.id
    ))
}

/// What lanes that could be worked on wait for.
fn open_lanes(fleet: &Fleet, state: &State, presence: &Presence, now: Millis) -> String {
    let room = Room::new(fleet, std::iter::once(state));
    let (mut later, mut absent, mut held, mut full) = (0, Few::default(), Few::default(), None);
    for (_, lane) in state.lanes.iter() {
        let Some(target) = fleet.targets.get(lane.target) else { continue };
        if !matches!(lane.phase, Phase::Ready | Phase::UndoReady) {
            continue;
        }
        if lane.held.is_some() {
            held.add(target.id.as_str());
        } else if lane.not_before > now {
            later += 1;
        } else if !target.agents.iter().any(|agent| presence.slots.contains_key(agent)) {
            absent.add(target.id.as_str());
        } else if full.is_none() {
            full = room.full(state.id, target);
        }
    }
    if let Some(full) = full {
        return match full {
            Full::Label(label, most) => format!(
                "{} with {label} are worked on, and no more may be",
                count_of_targets(most as usize)
            ),
            Full::Group(group, most) => format!(
                "{} of resource group {group} are worked on, and no more may be",
                count_of_targets(most as usize)
            ),
        };
    }
    if absent.count > 0 {
        let few = count_of_targets(absent.count);
        return format!("no agent is connected for {few}, such as {}", absent.example);
    }
    if held.count > 0 {
        let few = count_of_targets(held.count);
        return format!("{few} held by somebody, such as {}", held.example);
    }
    if later > 0 {
        return format!("a pause for {} before another attempt", count_of_targets(later));
    }
    "the next step is being decided".to_owned()
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
