//! Cuts the selected targets into waves.

use std::collections::BTreeSet;

use super::{Plan, Wave};
use crate::ids::{ClassIx, TargetId, WaveIx};
use crate::refusal::{Kind, Refusal};
use crate::spec::{self, Blackout, Order, Spec, Strategy, Window};
use crate::state::Fleet;
use crate::state::target::Description;

type Members = Vec<(TargetId, ClassIx)>;

/// Refuses what no cutting can mean.
pub(super) fn check(strategy: &Strategy) -> Result<(), Refusal> {
    for (wave, number) in strategy.waves.iter().zip(1..) {
        let ways = [wave.percent > 0, wave.count > 0, wave.one_per_class];
        if ways.iter().filter(|way| **way).count() > 1 {
            let name =
                if wave.name.is_empty() { format!("{number}") } else { format!("`{}`", wave.name) };
            return Err(Refusal::new(
                Kind::Invalid,
                format!(
                    "wave {name} is given by more than one of a share, a count and one a class"
                ),
                "give one of them; a selector may stand beside it",
            ));
        }
    }
    if let Some(limit) = strategy.limits.iter().find(|limit| limit.label.is_empty()) {
        return Err(Refusal::new(
            Kind::Invalid,
            format!("a limit of {} names no label", limit.most),
            "say which: `per.region = 2`",
        ));
    }
    let windows = strategy.windows.iter().find_map(Window::wrong);
    if let Some(wrong) = windows.or_else(|| strategy.blackouts.iter().find_map(Blackout::wrong)) {
        return Err(Refusal::new(
            Kind::Invalid,
            wrong,
            "write `from = \"22:00\"`, `to = \"05:00\"`; a whole day is 00:00 to 24:00",
        ));
    }
    Ok(())
}

/// Each target is in exactly one wave: the first that takes it, or a last one.
pub(super) fn cut(fleet: &Fleet, spec: &Spec, members: Members) -> Vec<Wave> {
    let strategy = &spec.strategy;
    let total = members.len();
    let mut rest = sorted(fleet, &strategy.order, members);
    let mut waves = Vec::new();
    for (number, wanted) in strategy.waves.iter().enumerate() {
        let (mut taken, left) = take(fleet, wanted, rest, total);
        rest = left;
        if waves.is_empty() && strategy.cover_classes && !taken.is_empty() {
            let known = taken.iter().map(|(_, class)| *class).collect();
            let (others, left) = one_per_class(rest, known);
            taken.extend(others);
            rest = left;
        }
        if !taken.is_empty() {
            waves.push(Wave {
                name: name(wanted, number),
                targets: taken,
                parallelism: wanted.parallelism,
                soak_ms: wanted.soak_ms.unwrap_or(strategy.soak_ms),
                approval: wanted.approval,
            });
        }
    }
    if !rest.is_empty() {
        let name = if waves.is_empty() { "all" } else { "rest" };
        waves.push(Wave {
            name: name.to_owned(),
            targets: rest,
            parallelism: 0,
            soak_ms: strategy.soak_ms,
            approval: false,
        });
    }
    waves
}

fn name(wanted: &spec::Wave, number: usize) -> String {
    if wanted.name.is_empty() { format!("wave {}", number + 1) } else { wanted.name.clone() }
}

/// The wave of a target that comes when a plan is under way: the first one not open yet that takes all that
/// its selector means, and otherwise the last one. A wave of a share, a count or one a class is full.
pub(crate) fn place(
    (plan, spec, opened): (&Plan, &Spec, u32),
    (id, description): (&TargetId, &Description),
) -> WaveIx {
    // Waves that took nobody are not in the plan.
    let mut planned = plan.waves.iter().zip((0..).map(WaveIx)).peekable();
    for (number, wanted) in spec.strategy.waves.iter().enumerate() {
        let found = planned.next_if(|(wave, _)| wave.name == name(wanted, number));
        let Some((_, ix)) = found.filter(|(_, ix)| ix.0 >= opened) else { continue };
        let takes_all = wanted.percent == 0 && wanted.count == 0 && !wanted.one_per_class;
        if takes_all && wanted.selector.matches(id, description) {
            return ix;
        }
    }
    WaveIx(u32::try_from(plan.waves.len().saturating_sub(1)).unwrap_or(u32::MAX))
}

/// Members come in the order of their ids.
fn sorted(fleet: &Fleet, order: &Order, mut members: Members) -> Members {
    let label = |id: &TargetId, label: &str| {
        let (_, target) = fleet.target(id)?;
        target.description.labels.get(label).cloned()
    };
    match order {
        Order::Id => {}
        Order::Label(name) => members.sort_by_cached_key(|(id, _)| {
            let value = label(id, name);
            (value.is_none(), value)
        }),
        Order::Listed(name, values) => members.sort_by_cached_key(|(id, _)| {
            let place = label(id, name).and_then(|value| values.iter().position(|it| *it == value));
            (place.is_none(), place)
        }),
    }
    members
}

fn take(fleet: &Fleet, wanted: &spec::Wave, rest: Members, total: usize) -> (Members, Members) {
    let most = if wanted.percent > 0 {
        let percent = usize::try_from(wanted.percent).unwrap_or(100).min(100);
        (total * percent).div_ceil(100)
    } else if wanted.count > 0 {
        usize::try_from(wanted.count).unwrap_or(usize::MAX)
    } else {
        usize::MAX
    };
    let (mut known, mut taken) = (BTreeSet::new(), 0);
    rest.into_iter().partition(|(id, class)| {
        let meant = taken < most
            && fleet
                .target(id)
                .is_some_and(|(_, target)| wanted.selector.matches(id, &target.description))
            && (!wanted.one_per_class || known.insert(*class));
        taken += usize::from(meant);
        meant
    })
}

/// The first member of each class that is not `known`, and the others.
fn one_per_class(members: Members, mut known: BTreeSet<ClassIx>) -> (Members, Members) {
    members.into_iter().partition(|(_, class)| known.insert(*class))
}
