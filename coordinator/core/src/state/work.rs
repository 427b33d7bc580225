//! Which rollouts have targets of a resource group, and what legs are under way, kept as targets change: whether one
//! more leg has room is asked for each that is given out, and must not look at all the others.

use std::collections::BTreeMap;

use super::target::State;
use crate::ids::RolloutId;

/// Of one resource group in the hands of one rollout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hands {
    /// Targets that it has.
    pub targets: u32,
    /// Those that somebody works on.
    pub legs: u32,
    /// Of these, with heavy steps.
    pub heavy: u32,
}

/// Legs of one rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Legs {
    all: u32,
    /// By label and value; those without a label, or with an empty value, are the rest.
    labels: BTreeMap<String, BTreeMap<String, u32>>,
}

/// Over all targets that rollouts have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    groups: BTreeMap<String, BTreeMap<RolloutId, Hands>>,
    legs: BTreeMap<RolloutId, Legs>,
}

/// What one target adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    rollout: RolloutId,
    leg: bool,
    heavy: bool,
}

impl Part {
    /// A repair writes rows and runs no script: it is no leg.
    pub(super) fn of(target: &State) -> Option<Self> {
        let (rollout, _) = target.lane?;
        let lease = target.lease.as_ref().filter(|_| target.mend.is_none());
        let heavy = lease.is_some_and(|lease| lease.heavy);
        Some(Self { rollout, leg: lease.is_some(), heavy })
    }
}

impl Work {
    /// Who has targets of a resource group.
    pub fn of_group(&self, group: &str) -> impl Iterator<Item = (RolloutId, Hands)> {
        let hands = self.groups.get(group).into_iter().flatten();
        hands.map(|(rollout, hands)| (*rollout, *hands))
    }

    /// Legs of a rollout on targets with a value of a label; empty: without one.
    pub fn with_label(&self, rollout: RolloutId, label: &str, value: &str) -> u32 {
        let Some(legs) = self.legs.get(&rollout) else { return 0 };
        let values = legs.labels.get(label);
        if value.is_empty() {
            let others: u32 = values.into_iter().flatten().map(|(_, count)| count).sum();
            return legs.all.saturating_sub(others);
        }
        values.and_then(|values| values.get(value)).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, target: &State, part: Part) {
        let group = &target.description.group;
        if !group.is_empty() {
            if !self.groups.contains_key(group) {
                self.groups.insert(group.clone(), BTreeMap::new());
            }
            if let Some(of_group) = self.groups.get_mut(group) {
                let hands = of_group.entry(part.rollout).or_default();
                hands.targets += 1;
                hands.legs += u32::from(part.leg);
                hands.heavy += u32::from(part.heavy);
            }
        }
        if part.leg {
            let legs = self.legs.entry(part.rollout).or_default();
            legs.all += 1;
            for (label, value) in labels(target) {
                if !legs.labels.contains_key(label) {
                    legs.labels.insert(label.to_owned(), BTreeMap::new());
                }
                if let Some(values) = legs.labels.get_mut(label) {
                    one_more(values, value);
                }
            }
        }
    }

    pub(super) fn sub(&mut self, target: &State, part: Part) {
        let group = &target.description.group;
        if let Some(of_group) = self.groups.get_mut(group)
            && let Some(hands) = of_group.get_mut(&part.rollout)
        {
            hands.targets -= 1;
            hands.legs -= u32::from(part.leg);
            hands.heavy -= u32::from(part.heavy);
            if hands.targets == 0 {
                of_group.remove(&part.rollout);
            }
            if of_group.is_empty() {
                self.groups.remove(group);
            }
        }
        if part.leg
            && let Some(legs) = self.legs.get_mut(&part.rollout)
        {
            legs.all -= 1;
            for (label, value) in labels(target) {
                let Some(values) = legs.labels.get_mut(label) else { continue };
                super::sums::one_less(values, value);
                if values.is_empty() {
                    legs.labels.remove(label);
                }
            }
            if legs.all == 0 {
                self.legs.remove(&part.rollout);
            }
        }
    }
}

fn labels(target: &State) -> impl Iterator<Item = (&str, &str)> {
    let labels = target.description.labels.iter();
    let labels = labels.map(|(label, value)| (label.as_str(), value.as_str()));
    labels.filter(|(_, value)| !value.is_empty())
}

/// Keys are written once, not for each leg.
fn one_more(counts: &mut BTreeMap<String, u32>, key: &str) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => drop(counts.insert(key.to_owned(), 1)),
    }
}
