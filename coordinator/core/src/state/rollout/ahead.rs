//! What lies ahead of a rollout, wave by wave and class by class, counted as its lanes move: the rest is forecast from it.

use std::collections::BTreeMap;

use super::{Lane, place};
use crate::forecast::{Load, Reach};
use crate::ids::{ClassIx, TargetIx, WaveIx};

/// The sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ahead {
    waves: Vec<BTreeMap<ClassIx, Load>>,
    /// Of a plan in stages: in which waves a target goes through those behind its first, and whether it is counted
    /// there.
    later: BTreeMap<TargetIx, BTreeMap<WaveIx, bool>>,
    /// By class, of those that came later too: the words of its steps.
    reach: Vec<Reach>,
}

impl Ahead {
    /// Of so many waves.
    pub(super) fn new(waves: usize, reach: Vec<Reach>) -> Self {
        Self { waves: vec![BTreeMap::new(); waves], later: BTreeMap::new(), reach }
    }

    /// Classes of targets that came later.
    pub(crate) fn come(&mut self, classes: Vec<Reach>) {
        self.reach.extend(classes);
    }

    /// What there is in a wave, class by class.
    pub(super) fn wave(&self, wave: WaveIx) -> Option<&BTreeMap<ClassIx, Load>> {
        self.waves.get(place(wave))
    }

    /// A lane lies ahead in its wave.
    pub(super) fn add(&mut self, lane: &Lane) {
        self.count(lane.wave, lane, true);
    }

    /// A lane does not lie ahead in a wave any more.
    pub(super) fn sub(&mut self, wave: WaveIx, lane: &Lane) {
        self.count(wave, lane, false);
    }

    /// A target is in that wave, too, in a later stage.
    pub(super) fn goes_through(&mut self, target: TargetIx, wave: WaveIx) {
        self.later.entry(target).or_default().insert(wave, false);
    }

    /// Counts a lane in those waves of later stages that it goes to, and in no other.
    pub(super) fn look(&mut self, lane: &Lane, goes_there: impl Fn(WaveIx) -> bool) {
        let mut turned = Vec::new();
        for (wave, counted) in self.later.get_mut(&lane.target).into_iter().flatten() {
            let goes_there = goes_there(*wave);
            if std::mem::replace(counted, goes_there) != goes_there {
                turned.push((*wave, goes_there));
            }
        }
        for (wave, goes_there) in turned {
            self.count(wave, lane, goes_there);
        }
    }

    fn count(&mut self, wave: WaveIx, lane: &Lane, more: bool) {
        let Some(classes) = self.waves.get_mut(place(wave)) else { return };
        let load = classes.entry(lane.class).or_default();
        let reach = usize::try_from(lane.class.0).ok().and_then(|class| self.reach.get(class));
        if more {
            load.add(&lane.told, reach);
        } else {
            load.sub(&lane.told, reach);
        }
    }
}
