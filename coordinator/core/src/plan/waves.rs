//! Cuts the selected targets into waves.

use std::collections::BTreeSet;

use super::parts::{self, Ground};
use super::{Class, Plan, Wave};
use crate::ids::{ClassIx, TargetId, WaveIx};
use crate::refusal::{Kind, Refusal};
use crate::spec::{self, Blackout, Order, Spec, Strategy, Window};
use crate::state::Fleet;
use crate::state::target::{Description, State};

pub(super) type Members = Vec<(TargetId, ClassIx)>;

/// Those that a first wave has one of: what goes well on one release may fail on another.
pub(super) type Variety<'a> = (ClassIx, &'a str);

pub(super) fn variety<'a>(fleet: &'a Fleet, (id, class): &(TargetId, ClassIx)) -> Variety<'a> {
    let target = fleet.target(id).map(|(_, target)| target);
    let series = |target: &'a State| target.description.engine.series(&target.engine_version);
    (*class, target.map_or("", series))
}

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
    if let Some(wrong) = strategy.batching.wrong() {
        return Err(Refusal::new(
            Kind::Invalid,
            wrong,
            "write `batch = 5000` and `batch_pause = \"200ms\"` in the strategy",
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
    let parted = strategy.waves.iter().any(|wave| !wave.per.is_empty());
    let selected = if parted { members.clone() } else { Members::new() };
    let ground = Ground { fleet, strategy, selected: &selected };
    let mut rest = sorted(fleet, &strategy.order, members);
    let (mut waves, mut seen, mut number) = (Vec::new(), BTreeSet::new(), 0);
    for stage in strategy.waves.chunk_by(spec::Wave::goes_with) {
        let first = number;
        number += stage.len();
        let wanted = match stage {
            [wanted] if wanted.per.is_empty() => wanted,
            _ => {
                rest = parts::cut(ground, (first, stage), (rest, &mut seen), &mut waves);
                continue;
            }
        };
        let (mut taken, left) = take(fleet, wanted, rest, total);
        rest = left;
        if waves.is_empty() && strategy.cover_classes && !taken.is_empty() {
            let known = taken.iter().map(|one| variety(fleet, one)).collect();
            let (others, left) = one_per_class(fleet, rest, known);
            taken.extend(others);
            rest = left;
        }
        seen.extend(taken.iter().map(|one| variety(fleet, one)));
        if !taken.is_empty() {
            waves.push(make(strategy, wanted, (name(wanted, first), String::new()), taken));
        }
    }
    if !rest.is_empty() {
        let wanted = spec::Wave::default();
        let name = strategy.last_wave().to_owned();
        waves.push(make(strategy, &wanted, (name, String::new()), rest));
    }
    waves
}

/// A wave of a plan.
pub(super) fn make(
    strategy: &Strategy,
    wanted: &spec::Wave,
    (name, part): (String, String),
    targets: Members,
) -> Wave {
    Wave {
        name,
        stage: 0,
        targets,
        parallelism: wanted.parallelism,
        soak_ms: wanted.soak_ms.unwrap_or(strategy.soak_ms),
        approval: wanted.approval,
        part,
    }
}

pub(super) fn name(wanted: &spec::Wave, number: usize) -> String {
    if wanted.name.is_empty() { format!("wave {}", number + 1) } else { wanted.name.clone() }
}

/// The wave of a target that comes when a plan is under way, of the first stage in which it has something to do:
/// the first one not open yet that takes all that its selector means, and otherwise the last one. A wave of a
/// share, a count or one a class is full; one of a label's value takes those that have it.
pub(crate) fn place(
    (plan, spec, opened): (&Plan, &Spec, u32),
    class: &Class,
    (id, description): (&TargetId, &Description),
) -> WaveIx {
    let open = opened.checked_sub(1).map_or(0, |open| plan.stage_of(WaveIx(open)));
    let stages = plan.waves.iter().map(|wave| wave.stage).filter(|stage| *stage >= open);
    let mut stages = stages.skip_while(|stage| plan.reach(class, *stage) == 0);
    let stage = stages.next().unwrap_or(open);
    let of_stage = || plan.waves.iter().zip((0..).map(WaveIx)).filter(|(it, _)| it.stage == stage);
    let takes = |wanted: &spec::Wave| {
        let takes_all = wanted.percent == 0 && wanted.count == 0 && !wanted.one_per_class;
        takes_all && wanted.selector.matches(id, description)
    };
    // Waves that took nobody are not in the plan.
    let mut planned = of_stage().peekable();
    let mut number = 0;
    for stage in spec.strategy.waves.chunk_by(spec::Wave::goes_with) {
        let first = number;
        number += stage.len();
        let wanted = |wave: &Wave| {
            let mut stage = stage.iter().zip(first..);
            let wanted = stage.find(|(wanted, number)| wave.called() == name(wanted, *number))?.0;
            (wanted.per.is_empty() == wave.part.is_empty()).then_some(wanted)
        };
        while let Some((wave, ix)) = planned.next_if(|(wave, _)| wanted(wave).is_some()) {
            let Some(wanted) = wanted(wave) else { continue };
            let of_its_part =
                wave.part.is_empty() || wave.part == parts::of(description, &wanted.per);
            if ix.0 >= opened && of_its_part && takes(wanted) {
                return ix;
            }
            if wave.part.is_empty() {
                break;
            }
        }
    }
    of_stage().last().map_or(WaveIx(0), |(_, ix)| ix)
}

/// Members come in the order of their ids.
pub(super) fn sorted(fleet: &Fleet, order: &Order, mut members: Members) -> Members {
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

pub(super) fn take(
    fleet: &Fleet,
    wanted: &spec::Wave,
    rest: Members,
    total: usize,
) -> (Members, Members) {
    let most = if wanted.percent > 0 {
        let percent = usize::try_from(wanted.percent).unwrap_or(100).min(100);
        (total * percent).div_ceil(100)
    } else if wanted.count > 0 {
        usize::try_from(wanted.count).unwrap_or(usize::MAX)
    } else {
        usize::MAX
    };
    let (mut known, mut taken) = (BTreeSet::new(), 0);
    rest.into_iter().partition(|one| {
        let (id, _) = one;
        let meant = taken < most
            && fleet
                .target(id)
                .is_some_and(|(_, target)| wanted.selector.matches(id, &target.description))
            && (!wanted.one_per_class || known.insert(variety(fleet, one)));
        taken += usize::from(meant);
        meant
    })
}

/// The first member of each class and release that is not `known`, and the others.
pub(super) fn one_per_class<'a>(
    fleet: &'a Fleet,
    members: Members,
    mut known: BTreeSet<Variety<'a>>,
) -> (Members, Members) {
    members.into_iter().partition(|one| known.insert(variety(fleet, one)))
}
