//! What the legs under way leave room for: limits for each value of a label, and for each resource group.

use std::collections::BTreeMap;
use std::fmt;

use crate::ids::{RolloutId, count_of_targets};
use crate::spec::Limit;
use crate::state::Fleet;
use crate::state::rollout::State;
use crate::state::target;

/// Which limits hold for one rollout now.
#[derive(Debug)]
struct Limits {
    labels: Vec<Limit>,
    per_group: u32,
}

impl Limits {
    fn of(state: &State) -> Self {
        Self { labels: state.limits(), per_group: state.per_group() }
    }
}

/// The limit that a leg would pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full<'a> {
    /// So many with this value of a label are worked on.
    Label(&'a str, &'a str, u32),
    /// So many of this resource group are.
    Group(&'a str, u32),
}

impl fmt::Display for Full<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets = |most: u32| count_of_targets(most as usize);
        match self {
            Self::Label(label, value, most) => write!(f, "{} with {label}={value}", targets(*most)),
            Self::Group(group, most) => write!(f, "{} of resource group {group}", targets(*most)),
        }?;
        f.write_str(" are worked on, and no more may be")
    }
}

/// Legs under way, counted as far as somebody's limits ask.
#[derive(Debug, Default)]
pub struct Room<'a> {
    limits: BTreeMap<RolloutId, Limits>,
    labels: BTreeMap<(RolloutId, usize, &'a str), u32>,
    groups: BTreeMap<&'a str, u32>,
}

impl<'a> Room<'a> {
    /// As it is now, for these rollouts. Looks at the legs under way, not at the fleet.
    pub fn new(fleet: &'a Fleet, states: impl Iterator<Item = &'a State>) -> Self {
        let limits: BTreeMap<RolloutId, Limits> = states
            .map(|state| (state.id, Limits::of(state)))
            .filter(|(_, limits)| limits.per_group > 0 || !limits.labels.is_empty())
            .collect();
        let mut room = Self { limits, ..Self::default() };
        if !room.limits.is_empty() {
            let legs = fleet.agents.values().flat_map(|agent| agent.legs.values());
            for target in legs.filter_map(|ix| fleet.targets.get(*ix)) {
                if let Some((rollout, _)) = target.lane {
                    room.take(rollout, target);
                }
            }
        }
        room
    }

    /// A leg on a target has been given out.
    pub fn take(&mut self, rollout: RolloutId, target: &'a target::State) {
        let group = target.description.group.as_str();
        if !group.is_empty() {
            *self.groups.entry(group).or_default() += 1;
        }
        let Some(limits) = self.limits.get(&rollout) else { return };
        for (limit, number) in limits.labels.iter().zip(0..) {
            let value = value(target, &limit.label);
            *self.labels.entry((rollout, number, value)).or_default() += 1;
        }
    }

    /// The limit that another leg of the rollout, on this target, would pass; `None`: there is room.
    pub fn full<'t>(&'t self, rollout: RolloutId, target: &'t target::State) -> Option<Full<'t>> {
        let limits = self.limits.get(&rollout)?;
        let group = target.description.group.as_str();
        let used = self.groups.get(group).copied().unwrap_or_default();
        if limits.per_group > 0 && !group.is_empty() && used >= limits.per_group {
            return Some(Full::Group(group, limits.per_group));
        }
        limits.labels.iter().zip(0..).find_map(|(limit, number)| {
            let value = value(target, &limit.label);
            let used = self.labels.get(&(rollout, number, value)).copied().unwrap_or_default();
            (used >= limit.most).then_some(Full::Label(&limit.label, value, limit.most))
        })
    }
}

/// Targets without the label are limited together.
fn value<'t>(target: &'t target::State, label: &str) -> &'t str {
    target.description.labels.get(label).map_or("", String::as_str)
}

/// Whether one more leg of a rollout has room on a target.
pub(crate) fn is_left<'a>(fleet: &'a Fleet, state: &'a State, target: &target::State) -> bool {
    Room::new(fleet, std::iter::once(state)).full(state.id, target).is_none()
}
