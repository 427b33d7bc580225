//! What should be done next, from the state alone. A level, not an edge: asking twice gives the same
//! answer, and a new leader needs nothing but to ask.
//!
//! Looks at rollouts that may still have something to do, at connected agents with free slots, and
//! at the heads of their queues; never at the fleet.

mod assign;
mod explain;
mod restore;

pub use explain::waits_for;
pub use restore::after_restore;

use std::collections::BTreeMap;

use crate::command::Command;
use crate::ids::{AgentId, Millis};
use crate::state::Fleet;
use crate::state::rollout::{Phase, State, Status};

/// Who is connected now, and how many legs each can run at one time. The leader's memory: presence
/// is no event.
#[derive(Debug, Clone, Default)]
pub struct Presence {
    /// By id.
    pub slots: BTreeMap<AgentId, u32>,
}

/// What to do now, and when to ask again at the latest.
#[derive(Debug, Clone, Default)]
pub struct Next {
    /// To be decided in this order.
    pub commands: Vec<Command>,
    /// `None`: not before something happens.
    pub wake_at: Option<Millis>,
}

/// Asks what is to be done.
pub fn schedule(fleet: &Fleet, presence: &Presence, now: Millis) -> Next {
    let mut next = Next::default();
    let mut free = assign::Free::new(fleet, presence);
    for id in &fleet.active {
        let Some(state) = fleet.rollouts.get(id) else { continue };
        match state.status {
            Status::Running => running(fleet, state, (now, &mut free), &mut next),
            Status::Unwinding => unwinding(fleet, state, (now, &mut free), &mut next),
            Status::Planned
            | Status::Paused
            | Status::Completed
            | Status::RolledBack
            | Status::Halted => {}
        }
    }
    next
}

fn running(
    fleet: &Fleet,
    state: &State,
    (now, free): (Millis, &mut assign::Free<'_>),
    next: &mut Next,
) {
    if state.breached() {
        if state.may_turn() {
            next.commands.push(Command::UnwindRollout { rollout: state.id });
        }
        return;
    }
    // A resumed rollout may have lanes to try again in waves that were passed long ago.
    if state.under_way() > 0 {
        assign::legs(fleet, state, (now, free), next);
    } else if usize::try_from(state.opened).is_ok_and(|opened| opened < state.plan.waves.len()) {
        next.commands.push(Command::StartWave { rollout: state.id });
    } else {
        next.commands.push(Command::FinishRollout { rollout: state.id });
    }
}

fn unwinding(
    fleet: &Fleet,
    state: &State,
    (now, free): (Millis, &mut assign::Free<'_>),
    next: &mut Next,
) {
    let left = state.leased() + state.total.of(Phase::UndoReady);
    if left == 0 {
        next.commands.push(Command::FinishRollout { rollout: state.id });
    } else {
        assign::legs(fleet, state, (now, free), next);
    }
}
