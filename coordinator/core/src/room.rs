//! What the legs under way leave room for: limits for each value of a label, and for each resource group. Asked of
//! counters that are kept as targets change ([`crate::state::work`]).

use std::collections::BTreeMap;
use std::fmt;

use crate::ids::{RolloutId, count_of_targets};
use crate::spec::Limit;
use crate::state::Fleet;
use crate::state::rollout::State;
use crate::state::target;

/// The limit that a leg would pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full<'a> {
    /// So many with this value of a label are worked on.
    Label(&'a str, &'a str, u32),
    /// So many of this resource group are; where another rollout says so, which.
    Group(&'a str, u32, Option<RolloutId>),
}

impl fmt::Display for Full<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets = |most: u32| count_of_targets(most as usize);
        match self {
            Self::Label(label, value, most) => write!(f, "{} with {label}={value}", targets(*most)),
            Self::Group(group, most, _) => {
                write!(f, "{} of resource group {group}", targets(*most))
            }
        }?;
        let (Self::Label(_, _, most) | Self::Group(_, most, _)) = self;
        let are = if *most == 1 { "is" } else { "are" };
        write!(f, " {are} worked on, and no more may be")?;
        match self {
            Self::Group(_, _, Some(other)) => write!(f, ", as {other} says"),
            Self::Group(..) | Self::Label(..) => Ok(()),
        }
    }
}

/// What is given out in one answer, beside the legs that are under way.
#[derive(Debug)]
pub struct Room<'a> {
    fleet: &'a Fleet,
    limits: BTreeMap<RolloutId, Vec<Limit>>,
    labels: BTreeMap<(RolloutId, usize, &'a str), u32>,
    groups: BTreeMap<&'a str, u32>,
}

impl<'a> Room<'a> {
    /// As it is now, for these rollouts.
    pub fn new(fleet: &'a Fleet, states: impl Iterator<Item = &'a State>) -> Self {
        let limits = states.map(|state| (state.id, state.limits())).collect();
        Self { fleet, limits, labels: BTreeMap::new(), groups: BTreeMap::new() }
    }

    /// A leg on a target has been given out.
    pub fn take(&mut self, rollout: RolloutId, target: &'a target::State) {
        let group = target.description.group.as_str();
        if !group.is_empty() {
            *self.groups.entry(group).or_default() += 1;
        }
        let Some(limits) = self.limits.get(&rollout) else { return };
        for (limit, number) in limits.iter().zip(0..) {
            let value = value(target, &limit.label);
            *self.labels.entry((rollout, number, value)).or_default() += 1;
        }
    }

    /// The limit that another leg of the rollout, on this target, would pass; `None`: there is room.
    pub fn full<'t>(&'t self, rollout: RolloutId, target: &'t target::State) -> Option<Full<'t>> {
        self.group_full(rollout, &target.description.group).or_else(|| {
            let limits = self.limits.get(&rollout)?;
            limits.iter().zip(0..).find_map(|(limit, number)| {
                let value = value(target, &limit.label);
                let work = &self.fleet.targets.sums().work;
                let given = self.labels.get(&(rollout, number, value)).copied().unwrap_or_default();
                let used = work.with_label(rollout, &limit.label, value) + given;
                (used >= limit.most).then_some(Full::Label(&limit.label, value, limit.most))
            })
        })
    }

    /// What any rollout that has targets of a group and has not ended says of it holds for all of them: their targets
    /// have something in common, whoever works there.
    fn group_full<'t>(&self, rollout: RolloutId, group: &'t str) -> Option<Full<'t>> {
        if group.is_empty() {
            return None;
        }
        let mut used = self.groups.get(group).copied().unwrap_or_default();
        let mut smallest: Option<(u32, RolloutId)> = None;
        for (of, hands) in self.fleet.targets.sums().work.of_group(group) {
            used += hands.legs;
            let most = self.fleet.rollouts.get(&of).map_or(0, State::per_group);
            // Where two say the same, it is said of the one that asks.
            let less = |(known, _): (u32, _)| most < known || (most == known && of == rollout);
            if most > 0 && smallest.is_none_or(less) {
                smallest = Some((most, of));
            }
        }
        let (most, of) = smallest.filter(|(most, _)| used >= *most)?;
        Some(Full::Group(group, most, (of != rollout).then_some(of)))
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
