//! How a rollout is carried out now: as its strategy says, or as somebody has set it since.

use std::collections::BTreeMap;

use super::{Lane, State};
use crate::ids::WaveIx;
use crate::spec::{Batching, Budget, Knob, Limit, Setting, Throttle};
use crate::state::target;

/// What of a strategy was changed while its rollout ran: the last word on each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Knobs {
    parallelism: Option<u32>,
    limits: BTreeMap<String, u32>,
    per_group: Option<u32>,
    heavy_per_group: Option<u32>,
    soak_ms: Option<u64>,
    failed: Option<u32>,
    percent: Option<u32>,
    retries: Option<u32>,
    windows: Option<bool>,
    throttles: BTreeMap<String, Setting>,
    batch: Option<u64>,
    batch_pause_ms: Option<u64>,
}

impl Knobs {
    pub(crate) fn set(&mut self, knob: &Knob) {
        match knob {
            Knob::Parallelism(most) => self.parallelism = Some(*most),
            Knob::Limit(limit) => drop(self.limits.insert(limit.label.clone(), limit.most)),
            Knob::PerGroup(most) => self.per_group = Some(*most),
            Knob::HeavyPerGroup(most) => self.heavy_per_group = Some(*most),
            Knob::SoakMs(soak) => self.soak_ms = Some(*soak),
            Knob::BudgetFailed(failed) => self.failed = Some(*failed),
            Knob::BudgetPercent(percent) => self.percent = Some(*percent),
            Knob::Retries(retries) => self.retries = Some(*retries),
            Knob::Windows(hold) => self.windows = Some(*hold),
            Knob::Throttle(name, setting) => drop(self.throttles.insert(name.clone(), *setting)),
            Knob::Batch(size) => self.batch = Some(*size),
            Knob::BatchPauseMs(pause) => self.batch_pause_ms = Some(*pause),
        }
    }

    /// Whether setting it would change nothing.
    pub(crate) fn has(&self, knob: &Knob) -> bool {
        let mut set = self.clone();
        set.set(knob);
        set == *self
    }
}

impl State {
    /// Legs under way at one time, now.
    pub fn parallelism(&self) -> u32 {
        self.parallelism_of(self.wave())
    }

    /// The same once a wave is open.
    pub fn parallelism_of(&self, wave: Option<WaveIx>) -> u32 {
        let wave = wave.and_then(|wave| self.plan.wave(wave));
        let own = wave.map(|wave| wave.parallelism).filter(|most| *most > 0);
        self.knobs.parallelism.or(own).unwrap_or(self.plan.spec.strategy.parallelism)
    }

    /// The same for each value of labels.
    pub fn limits(&self) -> Vec<Limit> {
        let planned = self.plan.spec.strategy.limits.iter();
        let mut limits: BTreeMap<&str, u32> =
            planned.map(|limit| (limit.label.as_str(), limit.most)).collect();
        limits.extend(self.knobs.limits.iter().map(|(label, most)| (label.as_str(), *most)));
        let set = limits.into_iter().filter(|(_, most)| *most > 0);
        set.map(|(label, most)| Limit { label: label.to_owned(), most }).collect()
    }

    /// The same for each resource group, over all rollouts; zero: no limit.
    pub fn per_group(&self) -> u32 {
        self.knobs.per_group.unwrap_or(self.plan.spec.strategy.per_group)
    }

    /// Legs with heavy steps under way at one time for each resource group, over all rollouts; zero: no limit.
    pub fn heavy_per_group(&self) -> u32 {
        self.knobs.heavy_per_group.unwrap_or(self.plan.spec.strategy.heavy.per_group)
    }

    /// How long a wave is watched when it is done, milliseconds.
    pub fn soak_ms(&self, wave: WaveIx) -> u64 {
        if self.trial() {
            return 0;
        }
        let planned = || self.plan.wave(wave).map_or(0, |wave| wave.soak_ms);
        self.knobs.soak_ms.unwrap_or_else(planned)
    }

    /// How many may fail.
    pub fn budget(&self) -> Budget {
        let planned = self.plan.spec.strategy.budget;
        Budget {
            failed: self.knobs.failed.unwrap_or(planned.failed),
            percent: self.knobs.percent.unwrap_or(planned.percent),
            scope: planned.scope,
        }
    }

    /// Attempts after the first.
    pub fn retries(&self) -> u32 {
        self.knobs.retries.unwrap_or(self.plan.spec.strategy.retries)
    }

    /// Whether windows and blackouts hold.
    pub fn windows(&self) -> bool {
        self.knobs.windows.unwrap_or(true)
    }

    /// How statements in batches are gone over.
    pub fn batching(&self) -> Batching {
        let planned = self.plan.spec.strategy.batching;
        Batching {
            size: self.knobs.batch.unwrap_or(planned.size),
            pause_ms: self.knobs.batch_pause_ms.unwrap_or(planned.pause_ms),
        }
    }

    /// What a throttle is set to.
    pub fn throttle(&self, name: &str) -> Setting {
        self.knobs.throttles.get(name).copied().unwrap_or(Setting::On)
    }

    /// Throttles that hold steps back now, at the limits that hold now. What is being taken back, or only
    /// tried, waits for none.
    fn throttling(&self) -> impl Iterator<Item = (&Throttle, u64)> {
        let free = self.turned || self.trial();
        let throttles = self.plan.spec.strategy.throttles.iter().filter(move |_| !free);
        throttles.filter_map(|throttle| match self.throttle(&throttle.name) {
            Setting::Off => None,
            Setting::On => Some((throttle, throttle.limit)),
            Setting::Time(limit) | Setting::Value(limit) => Some((throttle, limit)),
        })
    }

    /// Whether some throttle may hold a step back.
    pub fn is_throttled(&self) -> bool {
        self.throttling().next().is_some()
    }

    /// Those of a target.
    pub(crate) fn throttles_of(&self, lane: &Lane, target: &target::State) -> Vec<Throttle> {
        let means = |throttle: &Throttle| {
            !lane.unwind && throttle.selector.names(&target.id, &target.description)
        };
        let held = self.throttling().filter(|(throttle, _)| means(throttle));
        held.map(|(throttle, limit)| Throttle { limit, ..throttle.clone() }).collect()
    }
}
