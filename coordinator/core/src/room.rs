//! What the legs under way leave room for: limits for each value of a label, and for each resource group. Asked of
//! counters that are kept as targets change ([`crate::state::work`]).

use std::collections::BTreeMap;
use std::fmt;

use crate::ids::{RolloutId, count_of_targets};
use crate::spec::Limit;
use crate::state::Fleet;
use crate::state::rollout::State;
use crate::state::target;
use crate::state::work::Hands;

/// The limit that a leg would pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full<'a> {
    /// So many with this value of a label are worked on.
    Label(&'a str, &'a str, u32),
    /// So many of this resource group are; where another rollout says so, which.
    Group(&'a str, u32, Option<RolloutId>),
    /// The same of those that have heavy steps before them.
    Heavy(&'a str, u32, Option<RolloutId>),
}

impl fmt::Display for Full<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets = |most: u32| count_of_targets(most as usize);
        match self {
            Self::Label(label, value, most) => write!(f, "{} with {label}={value}", targets(*most)),
            Self::Group(group, most, _) | Self::Heavy(group, most, _) => {
                write!(f, "{} of resource group {group}", targets(*most))
            }
        }?;
        let (Self::Label(_, _, most) | Self::Group(_, most, _) | Self::Heavy(_, most, _)) = self;
        let are = if *most == 1 { "is" } else { "are" };
        let with = if matches!(self, Self::Heavy(..)) { " with heavy steps" } else { "" };
        write!(f, " {are} worked on{with}, and no more may be")?;
        match self {
            Self::Group(_, _, Some(other)) | Self::Heavy(_, _, Some(other)) => {
                write!(f, ", as {other} says")
            }
            Self::Group(..) | Self::Heavy(..) | Self::Label(..) => Ok(()),
        }
    }
}

/// What is given out in one answer, beside the legs that are under way.
#[derive(Debug)]
pub struct Room<'a> {
    fleet: &'a Fleet,
    /// Of those that have some.
    limits: BTreeMap<RolloutId, Vec<Limit>>,
    labels: BTreeMap<(RolloutId, usize, &'a str), u32>,
    groups: BTreeMap<&'a str, Hands>,
}

impl<'a> Room<'a> {
    /// As it is now, for these rollouts.
    pub fn new(fleet: &'a Fleet, states: impl Iterator<Item = &'a State>) -> Self {
        let limits = states.map(|state| (state.id, state.limits()));
        let limits = limits.filter(|(_, limits)| !limits.is_empty()).collect();
        Self { fleet, limits, labels: BTreeMap::new(), groups: BTreeMap::new() }
    }

    /// A leg on a target has been given out.
    pub fn take(&mut self, rollout: RolloutId, target: &'a target::State) {
        let group = target.description.group.as_str();
        if !group.is_empty() {
            let heavy = self.is_heavy(rollout, target);
            let hands = self.groups.entry(group).or_default();
            hands.legs += 1;
            hands.heavy += u32::from(heavy);
        }
        let Some(limits) = self.limits.get(&rollout) else { return };
        for (limit, number) in limits.iter().zip(0..) {
            let value = value(target, &limit.label);
            *self.labels.entry((rollout, number, value)).or_default() += 1;
        }
    }

    /// The limit that another leg of the rollout, on this target, would pass; `None`: there is room.
    pub fn full<'t>(&'t self, rollout: RolloutId, target: &'t target::State) -> Option<Full<'t>> {
        self.group_full(rollout, target).or_else(|| {
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

    /// The leg that would be given out has heavy steps.
    fn is_heavy(&self, rollout: RolloutId, target: &target::State) -> bool {
        let lane = target.lane.filter(|(of, _)| *of == rollout).map(|(_, lane)| lane);
        let state = self.fleet.rollouts.get(&rollout);
        let heavy = |state: &State| state.lanes.get(lane?).map(|lane| state.is_heavy(lane));
        state.and_then(heavy).unwrap_or_default()
    }

    /// What any rollout that has targets of a group and has not ended says of it holds for all of them: their targets
    /// have something in common, whoever works there.
    fn group_full<'t>(&'t self, rollout: RolloutId, target: &'t target::State) -> Option<Full<'t>> {
        let group = target.description.group.as_str();
        if group.is_empty() {
            return None;
        }
        let given = self.groups.get(group).copied().unwrap_or_default();
        let (mut legs, mut heavy) = (Least::new(given.legs), Least::new(given.heavy));
        for (of, hands) in self.fleet.targets.sums().work.of_group(group) {
            let Some(state) = self.fleet.rollouts.get(&of) else { continue };
            legs.says((of, rollout), hands.legs, state.per_group());
            heavy.says((of, rollout), hands.heavy, state.heavy_per_group());
        }
        let other = |of: RolloutId| (of != rollout).then_some(of);
        if let Some((most, of)) = legs.reached() {
            return Some(Full::Group(group, most, other(of)));
        }
        let (most, of) = heavy.reached().filter(|_| self.is_heavy(rollout, target))?;
        Some(Full::Heavy(group, most, other(of)))
    }
}

/// The smallest of several limits, and what counts against it.
#[derive(Debug)]
struct Least {
    used: u32,
    smallest: Option<(u32, RolloutId)>,
}

impl Least {
    fn new(used: u32) -> Self {
        Self { used, smallest: None }
    }

    /// What one rollout has under way and says. Where two say the same, it is said of the one that asks.
    fn says(&mut self, (of, asks): (RolloutId, RolloutId), used: u32, most: u32) {
        self.used += used;
        let less = |(known, _): (u32, _)| most < known || (most == known && of == asks);
        if most > 0 && self.smallest.is_none_or(less) {
            self.smallest = Some((most, of));
        }
    }

    fn reached(&self) -> Option<(u32, RolloutId)> {
        self.smallest.filter(|(most, _)| self.used >= *most)
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
