//! Waves for each value of a label: region after region.
//!
//! Waves that follow one another with the same label are gone through together: all of them for the first
//! value, then all of them for the next. So a region is done, watched and let go before the next one begins.

use std::collections::{BTreeMap, BTreeSet};

use super::Wave;
use super::waves::{Members, Variety, make, name, one_per_class, sorted, take, variety};
use crate::ids::TargetId;
use crate::spec::{self, Order, Strategy};
use crate::state::Fleet;
use crate::state::target::Description;

/// What those are called that do not have the label.
pub(super) fn of(description: &Description, label: &str) -> String {
    let value = description.labels.get(label).filter(|value| !value.is_empty());
    value.cloned().unwrap_or_else(|| format!("without {label}"))
}

/// What waves are cut from.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) strategy: &'a Strategy,
    /// Everything that was selected: shares are of these.
    pub(super) selected: &'a Members,
}

/// The waves of one stage, with the number of its first one in the strategy. `seen`: classes that some wave has.
/// Gives what none takes.
pub(super) fn cut<'a>(
    ground: Ground<'a>,
    (first, stage): (usize, &[spec::Wave]),
    (rest, seen): (Members, &mut BTreeSet<Variety<'a>>),
    waves: &mut Vec<Wave>,
) -> Members {
    let Ground { fleet, strategy, selected } = ground;
    let label = stage.first().map_or("", |wave| wave.per.as_str());
    let part = |id: &TargetId| {
        let target = fleet.target(id).map(|(_, target)| &target.description);
        target.map_or_else(String::new, |description| of(description, label))
    };
    let mut totals: BTreeMap<String, usize> = BTreeMap::new();
    for (id, _) in selected {
        *totals.entry(part(id)).or_default() += 1;
    }
    // The values come in the strategy's order where it is about this label; those without it come last.
    let listed = matches!(&strategy.order, Order::Label(of) | Order::Listed(of, _) if of == label);
    let by_label = Order::Label(label.to_owned());
    let order = if listed { &strategy.order } else { &by_label };
    let mut values: Vec<String> = Vec::new();
    let mut parts: BTreeMap<String, Members> = BTreeMap::new();
    for (id, class) in sorted(fleet, order, rest) {
        let value = part(&id);
        let members = parts.entry(value.clone()).or_insert_with(|| {
            values.push(value);
            Members::new()
        });
        members.push((id, class));
    }
    let without = format!("without {label}");
    values.sort_by_key(|value| *value == without);

    let mut left_over = Members::new();
    for value in values {
        let total = totals.get(&value).copied().unwrap_or_default();
        let mut rest = sorted(fleet, &strategy.order, parts.remove(&value).unwrap_or_default());
        for (at, wanted) in stage.iter().enumerate() {
            let (mut taken, left) = take(fleet, wanted, rest, total);
            rest = left;
            if at == 0 && strategy.cover_classes && !taken.is_empty() {
                seen.extend(taken.iter().map(|one| variety(fleet, one)));
                let (others, left) = one_per_class(fleet, rest, seen.clone());
                taken.extend(others);
                rest = left;
            }
            seen.extend(taken.iter().map(|one| variety(fleet, one)));
            if !taken.is_empty() {
                let called = format!("{} {value}", name(wanted, first + at));
                waves.push(make(strategy, wanted, (called, value.clone()), taken));
            }
        }
        left_over.extend(rest);
    }
    sorted(fleet, &strategy.order, by_id(left_over))
}

/// What is sorted by labels comes in the order of ids before.
fn by_id(mut members: Members) -> Members {
    members.sort();
    members
}
