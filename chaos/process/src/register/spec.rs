//! A rollout that stands still, as one copy of it would behave.

use todc_utils::specifications::Specification;

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum State {
    Planned,
    Running,
    /// With the reason given, which is like no other.
    Paused(String),
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    Start,
    Pause(String),
    Resume,
    Look,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Accepted.
    Done,
    /// Refused: nothing was changed.
    Refused,
    Is(State),
    /// Nobody knows: it may have happened, or happen later, or never.
    Unknown,
}

/// One question with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) ask: Ask,
    pub(super) answer: Answer,
}

/// The rules.
#[derive(Debug)]
pub(super) struct Rollout;

impl Specification for Rollout {
    type State = State;
    type Operation = Call;

    fn init() -> State {
        State::Planned
    }

    /// Whether the answer is right in this state, and the state behind it.
    fn apply(call: &Call, state: &State) -> (bool, State) {
        let behind = match (&call.ask, state) {
            (Ask::Start, State::Planned) => Some(State::Running),
            (Ask::Start, State::Running | State::Paused(_)) => None,
            (Ask::Pause(reason), State::Running) => Some(State::Paused(reason.clone())),
            // Whoever pauses what is paused changes nothing, and is not refused.
            (Ask::Pause(_), State::Paused(_)) => Some(state.clone()),
            (Ask::Resume, State::Running | State::Paused(_)) => Some(State::Running),
            (Ask::Pause(_) | Ask::Resume, State::Planned) => None,
            (Ask::Look, _) => Some(state.clone()),
        };
        match (&call.answer, behind) {
            (Answer::Done, Some(behind)) => (call.ask != Ask::Look, behind),
            (Answer::Done, None) => (false, state.clone()),
            (Answer::Refused, behind) => (behind.is_none(), state.clone()),
            (Answer::Is(seen), _) => (call.ask == Ask::Look && seen == state, state.clone()),
            // What it would have been refused for does not happen.
            (Answer::Unknown, behind) => (true, behind.unwrap_or_else(|| state.clone())),
        }
    }
}
