//! Cuts the selected targets into waves.

use super::Wave;
use crate::ids::{ClassIx, TargetId};
use crate::spec::{self, Spec};
use crate::state::Fleet;

/// Each target is in exactly one wave: the first whose selector or share takes it, or a last one.
pub(super) fn cut(fleet: &Fleet, spec: &Spec, members: Vec<(TargetId, ClassIx)>) -> Vec<Wave> {
    let total = members.len();
    let mut rest = members;
    let mut waves = Vec::new();
    for (number, wanted) in spec.strategy.waves.iter().enumerate() {
        let (taken, left) = take(fleet, wanted, rest, total);
        rest = left;
        if !taken.is_empty() {
            let name = if wanted.name.is_empty() {
                format!("wave {}", number + 1)
            } else {
                wanted.name.clone()
            };
            waves.push(Wave { name, targets: taken });
        }
    }
    if !rest.is_empty() {
        let name = if waves.is_empty() { "all" } else { "rest" };
        waves.push(Wave { name: name.to_owned(), targets: rest });
    }
    waves
}

type Members = Vec<(TargetId, ClassIx)>;

fn take(fleet: &Fleet, wanted: &spec::Wave, rest: Members, total: usize) -> (Members, Members) {
    if wanted.percent > 0 {
        let percent = usize::try_from(wanted.percent).unwrap_or(100).min(100);
        let share = (total * percent).div_ceil(100).min(rest.len());
        let mut taken = rest;
        let left = taken.split_off(share);
        return (taken, left);
    }
    rest.into_iter().partition(|(id, _)| {
        fleet.target(id).is_some_and(|(_, target)| wanted.selector.matches(id, &target.description))
    })
}
