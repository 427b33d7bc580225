//! How long a plan takes that nobody has started. Costs as much as the plan is long.

use std::collections::BTreeMap;
use std::ops::Range;

use super::load::{Legs, is_tried, side};
use super::{Amount, By, Fit, Fits, Forecast, Interval, Load, Reach, Size, Touched};
use crate::ids::ClassIx;
use crate::plan::{Class, Plan};
use crate::spec::{Backup, Spec};
use crate::state::Fleet;
use crate::state::measures::{What, Work};
use crate::state::tables::Told;

/// One step of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepForecast {
    /// The median on a target of the class's mean size, the 95th percentile on its largest. `None`: it was
    /// never measured.
    pub forecast: Option<Forecast>,
    /// Not zero: the class has a larger target than any that it was measured on, which was so large, bytes. By
    /// rows, where the forecast is.
    pub beyond: u64,
    /// The most rows that it touches in one target. `None`: it is not known of each.
    pub rows: Option<u64>,
}

/// One class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassForecast {
    /// In their order.
    pub steps: Vec<StepForecast>,
    /// Before the first one. `None`: none is taken.
    pub backup: Option<StepForecast>,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Planned {
    /// In their order.
    pub classes: Vec<ClassForecast>,
    /// Each with its parallelism and its watch.
    pub waves: Vec<Amount>,
    /// One after the other.
    pub whole: Amount,
}

/// From what was measured so far. `None`: it only tries its steps.
pub fn planned(fleet: &Fleet, plan: &Plan) -> Option<Planned> {
    let strategy = &plan.spec.strategy;
    if is_tried(plan.spec.direction) {
        return None;
    }
    let mut fits = Fits::new(fleet);
    let reach = plan.classes.iter().map(|class| Reach::of(fleet, plan.spec.bundle, class));
    let reach: Vec<Reach> = reach.collect();
    let mut classes = vec![Load::default(); plan.classes.len()];
    let mut waves = Vec::new();
    let nothing = Told::default();
    for wave in &plan.waves {
        let mut loads: BTreeMap<ClassIx, Load> = BTreeMap::new();
        for (id, class) in &wave.targets {
            let target = fleet.target(id).map(|(_, target)| target);
            let told = target.map_or(&nothing, |target| &target.told);
            let ix = usize::try_from(class.0).unwrap_or(usize::MAX);
            loads.entry(*class).or_default().add(told, reach.get(ix));
            if let Some(load) = classes.get_mut(ix) {
                load.add(told, reach.get(ix));
            }
        }
        let leg = |ix| plan.class(ix).map(|class| (class, plan.leg(class, wave.stage)));
        let side = side(&mut fits, loads.iter(), (leg, &plan.spec));
        let own = wave.parallelism;
        let amount = side.at_once(if own > 0 { own } else { strategy.parallelism });
        let watched = Interval { p50: wave.soak_ms, p95: wave.soak_ms };
        waves.push(Amount { interval: amount.interval.then(watched), ..amount });
    }
    let classes = plan.classes.iter().zip(&classes);
    let classes = classes.map(|(it, load)| class(&mut fits, (it, load), strategy.backup));
    let classes = classes.collect();
    let whole = waves.iter().copied().fold(Amount::default(), Amount::then);
    Some(Planned { classes, waves, whole })
}

fn class(fits: &mut Fits<'_>, (class, load): (&Class, &Load), backup: Backup) -> ClassForecast {
    let engine = class.engine;
    let nothing = Touched::default();
    let steps = class.steps.iter().enumerate().map(|(at, step)| {
        let touched = load.touched.get(at).unwrap_or(&nothing);
        spread(fits.step((engine, step), step.direction), (load, touched))
    });
    let steps = steps.collect();
    let backup = (backup != Backup::Exempt)
        .then(|| spread(fits.of(Work { what: What::Backup(backup), engine }), (load, &nothing)));
    ClassForecast { steps, backup }
}

/// Over targets of different size.
fn spread(fit: Option<&Fit>, (load, touched): (&Load, &Touched)) -> StepForecast {
    let rows = touched.most();
    let Some(fit) = fit else { return StepForecast { rows, ..StepForecast::default() } };
    let mean = fit.on(Size { bytes: load.mean(), rows: rows.and(touched.mean()) });
    let largest = fit.on(Size { bytes: load.largest, rows });
    let spread = |mean: Interval, largest: Interval| Interval { p50: mean.p50, p95: largest.p95 };
    let interval = spread(mean.interval, largest.interval);
    let written = mean.written.zip(largest.written).map(|(mean, largest)| spread(mean, largest));
    let (here, measured) = match (largest.by, rows) {
        (By::Rows, Some(rows)) => (rows, fit.shape.most),
        (By::Rows | By::Bytes | By::Nothing, _) => (load.largest, fit.shape.largest),
    };
    let beyond = if here > measured { measured } else { 0 };
    StepForecast { forecast: Some(Forecast { interval, written, ..largest }), beyond, rows }
}

/// What one leg of a class would take, on one target.
pub(super) fn one(
    fits: &mut Fits<'_>,
    leg: (&Class, Range<u32>),
    (spec, target): (&Spec, &Told),
) -> Amount {
    Legs::of(leg, spec).one(fits, target)
}
