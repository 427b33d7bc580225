//! What should be done next, from the state alone. A level, not an edge: asking twice gives the same
//! answer, and a new leader needs nothing but to ask.
//!
//! Looks at rollouts that may still have something to do, at connected agents with free slots, and
//! at the heads of their queues; never at the fleet.

mod assign;
mod explain;
mod gates;
mod mend;
mod restore;

pub use explain::{awaited, waits_for, waits_for_a_word, watched};
pub use restore::after_restore;

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Command, Meant};
use crate::hours::{self, Hours, Shut};
use crate::ids::{AgentId, Fence, Millis, TargetId};
use crate::room::Room;
use crate::state::gate::Check;
use crate::state::rollout::{Barrier, Lane, Phase, Soak, State, Status};
use crate::state::{Fleet, target};

/// Who is connected now, how many legs each can run at one time, and what the calendar says. The leader's
/// memory: presence is no event.
#[derive(Debug, Clone, Default)]
pub struct Presence {
    /// By id.
    pub slots: BTreeMap<AgentId, u32>,
    /// Those of them that ask gates, with what their own configuration lets them ask besides targets.
    pub gates: BTreeMap<AgentId, BTreeSet<String>>,
    /// When agents that are away were heard of last, as far as this leader has heard of them.
    pub heard: BTreeMap<AgentId, Millis>,
    /// Those of them that wait for throttles.
    pub throttles: BTreeSet<AgentId>,
    /// Targets whose legs wait for one now, as their agents said last.
    pub throttled: BTreeMap<TargetId, Throttled>,
    /// Targets whose legs are at a statement in batches, as their agents said last.
    pub batched: BTreeMap<TargetId, Batched>,
    /// What the calendar says.
    pub hours: Hours,
}

/// The moment that something is said of.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// Who is connected; `None`: of the past nobody knows that any more.
    pub presence: Option<&'a Presence>,
    /// What the calendar says of it.
    pub hours: &'a Hours,
    /// When.
    pub now: Millis,
}

impl<'a> Moment<'a> {
    /// Of now.
    pub fn of(presence: &'a Presence, now: Millis) -> Self {
        Self { presence: Some(presence), hours: &presence.hours, now }
    }
}

/// A leg that waits for a throttle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttled {
    /// Under which lease.
    pub fence: Fence,
    /// Which throttle, and what was measured.
    pub why: String,
    /// How long it has waited, milliseconds.
    pub waited_ms: u64,
}

/// A leg that is at a statement in batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batched {
    /// Under which lease.
    pub fence: Fence,
    /// One-based, in its file.
    pub statement: u64,
    /// Which table, by which key.
    pub over: String,
    /// Done so far.
    pub batches: u64,
    /// Changed so far.
    pub rows: u64,
    /// Of the range of its keys, where they are numbers.
    pub percent: Option<u32>,
    /// Keys in the batch under way.
    pub size: u64,
}

impl std::fmt::Display for Batched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { statement, over, batches, rows, size, .. } = self;
        let plural = if *batches == 1 { "" } else { "es" };
        write!(f, "statement {statement}, {over}: {batches} batch{plural} done, {rows} rows")?;
        if let Some(percent) = self.percent {
            write!(f, ", {percent} % of the keys")?;
        }
        write!(f, ", {size} at a time")
    }
}

impl Presence {
    /// Whether one of these agents is connected.
    pub fn has_one_of(&self, agents: &[AgentId]) -> bool {
        agents.iter().any(|agent| self.slots.contains_key(agent))
    }

    /// Whether an agent may have legs of a rollout: one that knows no throttles would wait for none.
    pub fn may_have(&self, state: &State, agent: &AgentId) -> bool {
        !state.is_throttled() || self.throttles.contains(agent)
    }

    /// Legs that are held back now, or may be: by a throttle, or by the rest between two batches.
    pub fn held<'a>(&'a self, fleet: &'a Fleet) -> impl Iterator<Item = Fence> + 'a {
        let rests = |target: &TargetId| {
            let lane = fleet.target(target).and_then(|(ix, _)| fleet.lane(ix));
            lane.is_some_and(|(state, _)| state.batching().pause_ms > 0)
        };
        let batched = self.batched.iter().filter(move |(target, _)| rests(target));
        let throttled = self.throttled.values().map(|it| it.fence);
        throttled.chain(batched.map(|(_, it)| it.fence))
    }

    /// What the leg of a lane waits for now.
    pub fn throttled(&self, lane: &Lane, target: &target::State) -> Option<&Throttled> {
        self.throttled.get(&target.id).filter(|throttled| lane.fence == Some(throttled.fence))
    }

    /// How far the leg of a lane is in a statement in batches.
    pub fn batched(&self, lane: &Lane, target: &target::State) -> Option<&Batched> {
        self.batched.get(&target.id).filter(|batched| lane.fence == Some(batched.fence))
    }
}

/// What to do now, and when to ask again at the latest.
#[derive(Debug, Clone, Default)]
pub struct Next {
    /// To be decided in this order.
    pub commands: Vec<Command>,
    /// `None`: not before something happens.
    pub wake_at: Option<Millis>,
}

impl Next {
    /// Something ends: what it lets go may join another rollout, which is asked about after that.
    fn ends(&self) -> bool {
        let ends = |command: &Command| {
            matches!(command, Command::FinishRollout { .. } | Command::HaltRollout { .. })
        };
        self.commands.iter().any(ends)
    }

    fn wake(&mut self, at: Millis) {
        self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
    }
}

/// Asks what is to be done.
pub fn schedule(fleet: &Fleet, presence: &Presence, now: Millis) -> Next {
    let mut next = Next { wake_at: hours::changes(fleet, &presence.hours, now), ..Next::default() };
    let mut free = assign::Free::new(fleet, presence);
    mend::legs(fleet, &mut free, &mut next);
    let mut room = Room::new(fleet, fleet.active.iter().filter_map(|id| fleet.rollouts.get(id)));
    for id in &fleet.active {
        let Some(state) = fleet.rollouts.get(id) else { continue };
        let shut = Shut::new(fleet, state, (&presence.hours, now));
        match state.status {
            Status::Running
                if state.under_way() == 0
                    && !state.breached()
                    && state.arrived().next().is_none() =>
            {
                between(fleet, state, (presence, now), &mut next);
            }
            Status::Running => running(fleet, state, (&shut, &mut free, &mut room), &mut next),
            Status::Unwinding => unwinding(fleet, state, (&shut, &mut free, &mut room), &mut next),
            // What is tried again by itself does not wait for the rest.
            Status::Paused if state.trying_again() => {
                assign::legs(fleet, state, (&shut, &mut free, &mut room), &mut next);
            }
            Status::Paused => given_up(state, &mut next),
            Status::Planned | Status::Completed | Status::RolledBack | Status::Halted => {}
        }
    }
    next
}

/// When, and what was given out so far.
type Given<'t, 'a> = (&'t Shut<'a>, &'t mut assign::Free<'a>, &'t mut Room<'a>);

/// Nothing is under way any more: it ends.
fn given_up(state: &State, next: &mut Next) {
    if let Some(reason) = &state.aborted
        && state.leased() == 0
    {
        let reason = format!("given up: {reason}");
        next.commands.push(Command::HaltRollout { rollout: state.id, reason });
    }
}

fn running<'a>(
    fleet: &'a Fleet,
    state: &State,
    (shut, free, room): Given<'_, 'a>,
    next: &mut Next,
) {
    if state.breached() {
        if state.trying_again() {
            assign::legs(fleet, state, (shut, free, room), next);
        } else if state.may_turn() {
            next.commands.push(Command::UnwindRollout { rollout: state.id });
        }
        return;
    }
    if state.arrived().next().is_some() {
        let (rollout, meant) = (state.id, Meant::AsPlanned);
        next.commands.push(Command::SettleArrivals { rollout, meant });
        // Who joins is waited for.
        if state.under_way() == 0 {
            return;
        }
    }
    // A resumed rollout may have lanes to try again in waves that were passed long ago.
    assign::legs(fleet, state, (shut, free, room), next);
}

/// Everything that is open is done: its gates, its watch, and what comes after them.
fn between(fleet: &Fleet, state: &State, (presence, now): (&Presence, Millis), next: &mut Next) {
    if state.lapsed(&fleet.targets, now).next().is_some() {
        let (rollout, meant) = (state.id, Meant::AsPlanned);
        return next.commands.push(Command::SettleArrivals { rollout, meant });
    }
    match state.check() {
        Some(Check::Due(_)) => {
            return next.commands.push(Command::OpenGates { rollout: state.id });
        }
        Some(Check::Open(_)) => return gates::asks(fleet, state, presence, next),
        None => {}
    }
    match state.soaks() {
        Some(Soak::Due(_)) => next.commands.push(Command::SoakWave { rollout: state.id }),
        Some(Soak::Until(at)) if at > now || state.is_asked_in_soak() => {
            gates::asks(fleet, state, presence, next);
            if at > now {
                next.wake(at);
            }
        }
        Some(Soak::Until(_)) | None => go_on(fleet, state, now, next),
    }
}

fn go_on(fleet: &Fleet, state: &State, now: Millis, next: &mut Next) {
    match state.barrier() {
        Some(Barrier::Failed) => {
            let reason = explain::barrier(fleet, state).unwrap_or_default();
            return next.commands.push(Command::HaltRollout { rollout: state.id, reason });
        }
        Some(Barrier::Absent) => {
            if let Some(at) = state.lapses(now) {
                next.wake(at);
            }
            return;
        }
        None => {}
    }
    if state.unapproved().is_some() || next.ends() {
        return;
    }
    if usize::try_from(state.opened).is_ok_and(|opened| opened < state.plan.waves.len()) {
        next.commands.push(Command::StartWave { rollout: state.id });
    } else if state.awaited.is_empty() {
        next.commands.push(Command::FinishRollout { rollout: state.id });
    } else if let Some(at) = state.lapses(now) {
        next.wake(at);
    }
}

fn unwinding<'a>(
    fleet: &'a Fleet,
    state: &State,
    (shut, free, room): Given<'_, 'a>,
    next: &mut Next,
) {
    let left = state.leased() + state.total.of(Phase::UndoReady);
    if left == 0 {
        next.commands.push(Command::FinishRollout { rollout: state.id });
    } else {
        assign::legs(fleet, state, (shut, free, room), next);
    }
}
