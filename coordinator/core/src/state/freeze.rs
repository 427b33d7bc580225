//! A freeze: targets that no rollout works on, on somebody's word.

use crate::ids::Millis;
use crate::spec::Selector;
use crate::state::target;

/// One that nobody has thawed. It may be over by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Which targets, by ids and labels.
    pub selector: Selector,
    /// `None`: until somebody thaws them.
    pub until: Option<Millis>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Millis,
}

impl State {
    /// Whether it holds at a time.
    pub fn holds(&self, now: Millis) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether it means a target.
    pub fn means(&self, target: &target::State) -> bool {
        self.selector.names(&target.id, &target.description)
    }
}
