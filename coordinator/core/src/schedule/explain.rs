//! Why a rollout is where it is, as a sentence.

use super::Presence;
use crate::ids::{Millis, count_of_targets};
use crate::state::Fleet;
use crate::state::rollout::{Phase, State, Status};

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
    let (mut later, mut absent, mut example) = (0, 0, "");
    for (_, lane) in state.lanes.iter() {
        let Some(target) = fleet.targets.get(lane.target) else { continue };
        if !matches!(lane.phase, Phase::Ready | Phase::UndoReady) {
            continue;
        }
        if lane.not_before > now {
            later += 1;
        } else if !target.agents.iter().any(|agent| presence.slots.contains_key(agent)) {
            absent += 1;
            example = target.id.as_str();
        }
    }
    if absent > 0 {
        return format!(
            "{cause}no agent is connected for {}, such as {example}",
            count_of_targets(absent)
        );
    }
    if later > 0 {
        return format!("{cause}a pause for {} before another attempt", count_of_targets(later));
    }
    format!("{cause}the next step is being decided")
}
