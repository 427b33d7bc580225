//! A part of a rollout: some of its targets, or one of its waves.

use super::Selector;
use crate::ids::WaveIx;
use crate::state::target;

/// Chooses lanes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Which targets.
    pub selector: Selector,
    /// Of this wave only.
    pub wave: Option<WaveIx>,
}

impl Part {
    /// What of a part can be told of targets that come later. `None`: it names its targets one by one, or its
    /// condition was asked once, of those that were there.
    pub(crate) fn lasting(selector: &Selector, wave: Option<WaveIx>) -> Option<Self> {
        let open =
            selector.targets.is_empty() || selector.targets.iter().any(|it| it.contains('*'));
        let lasts = open && selector.condition.is_none();
        lasts.then(|| Self { selector: selector.clone(), wave })
    }

    /// Whether a target of a wave is in it.
    pub(crate) fn means(&self, wave: WaveIx, target: &target::State) -> bool {
        self.wave.is_none_or(|own| own == wave)
            && self.selector.matches(&target.id, &target.description)
    }

    /// Whether all of another part is in it, as far as their words tell.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let everything = self.selector.condition.is_none()
            && self.selector.labels.is_empty()
            && self.selector.targets.iter().all(|glob| glob == "*");
        (everything || self.selector == other.selector)
            && (self.wave.is_none() || self.wave == other.wave)
    }
}

/// What was said of a part: it goes for targets that join it later, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Of which part.
    pub part: Part,
    /// What.
    pub word: Word,
    /// Why.
    pub reason: Box<str>,
    /// Who said so.
    pub by: Box<str>,
}

/// What may be said of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It gets no legs until somebody lets it go on.
    Held,
    /// The rollout goes on without it.
    GivenUp,
}
