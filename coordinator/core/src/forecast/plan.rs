//! How long a plan takes that nobody has started. Costs as much as the plan is long.

use std::collections::BTreeMap;
use std::ops::Range;

use super::load::{Legs, is_tried, side};
use super::{Amount, Fits, Forecast, Interval, Load};
use crate::ids::ClassIx;
use crate::plan::{Class, Plan};
use crate::spec::Backup;
use crate::state::Fleet;
use crate::state::measures::{What, Work};

/// One step of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepForecast {
    /// The median on a target of the class's mean size, the 95th percentile on its largest. `None`: it was
    /// never measured.
    pub forecast: Option<Forecast>,
    /// Not zero: the class has a larger target than any that it was measured on, which was so large, bytes.
    pub beyond: u64,
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
    let mut classes = vec![Load::default(); plan.classes.len()];
    let mut waves = Vec::new();
    for wave in &plan.waves {
        let mut loads: BTreeMap<ClassIx, Load> = BTreeMap::new();
        for (id, class) in &wave.targets {
            let bytes = fleet.target(id).map_or(0, |(_, target)| target.bytes);
            loads.entry(*class).or_default().add(bytes);
            let of_class = usize::try_from(class.0).ok().and_then(|ix| classes.get_mut(ix));
            if let Some(load) = of_class {
                load.add(bytes);
            }
        }
        let leg = |ix| plan.class(ix).map(|class| (class, plan.leg(class, wave.stage)));
        let side = side(&mut fits, loads.iter(), (leg, strategy.backup));
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
    let steps = class.steps.iter();
    let steps = steps.map(|step| spread(fits.step((engine, step), step.direction), load));
    let steps = steps.collect();
    let backup = (backup != Backup::Exempt)
        .then(|| spread(fits.of(Work { what: What::Backup(backup), engine }), load));
    ClassForecast { steps, backup }
}

/// Over targets of different size.
fn spread(fit: Option<&super::Fit>, load: &Load) -> StepForecast {
    let Some(fit) = fit else { return StepForecast::default() };
    let (mean, largest) = (fit.on(load.mean()), fit.on(load.largest));
    let spread = |mean: Interval, largest: Interval| Interval { p50: mean.p50, p95: largest.p95 };
    let interval = spread(mean.interval, largest.interval);
    let written = mean.written.zip(largest.written).map(|(mean, largest)| spread(mean, largest));
    let beyond = if load.largest > fit.largest { fit.largest } else { 0 };
    StepForecast { forecast: Some(Forecast { interval, written, ..largest }), beyond }
}

/// What one leg of a class would take, on a target of this size.
pub(super) fn one(
    fits: &mut Fits<'_>,
    leg: (&Class, Range<u32>),
    (backup, bytes): (Backup, u64),
) -> Amount {
    Legs::of(leg, backup).one(fits, bytes)
}
