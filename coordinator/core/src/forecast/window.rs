//! Does a leg that begins now end before the window of its target closes?

use super::load::is_tried;
use super::plan::one;
use super::{Amount, Fits};
use crate::hours::Shut;
use crate::ids::TargetId;
use crate::plan::Plan;
use crate::state::{Fleet, target};

/// What a forecast says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Its 95th percentile ends before.
    Fits,
    /// Its 95th percentile does not.
    TooLong,
    /// Not all of it was ever measured, and what was would fit.
    Unknown,
}

/// A leg, and how long its target may still be worked on, milliseconds. `None`: nothing closes it.
pub fn fits(shut: &Shut<'_>, target: &target::State, leg: &Amount) -> Option<(Answer, u64)> {
    let left = shut.closes(target)?.0.saturating_sub(shut.now().0);
    let answer = if leg.interval.p95 > left {
        Answer::TooLong
    } else if leg.is_whole() {
        Answer::Fits
    } else {
        Answer::Unknown
    };
    Some((answer, left))
}

/// The first wave of a plan, if it began now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WindowFit {
    /// Targets whose window is open.
    pub open: u32,
    /// Legs that fit.
    pub fit: u32,
    /// Legs that may not.
    pub too_long: u32,
    /// Legs of which nothing is known, or not all.
    pub unknown: u32,
    /// Of those that may not: the one that lacks most, its 95th percentile, and what is left of its window.
    pub worst: Option<(TargetId, u64, u64)>,
}

/// Of the targets of the first wave. `None`: no window of theirs is open, or the plan only tries its steps.
pub fn windows(fleet: &Fleet, plan: &Plan, shut: &Shut<'_>) -> Option<WindowFit> {
    let wave = plan.waves.first().filter(|_| !is_tried(plan.spec.direction))?;
    let mut known = Fits::new(fleet);
    let mut all = WindowFit::default();
    for (id, class) in &wave.targets {
        let Some((_, target)) = fleet.target(id) else { continue };
        let Some(class) = plan.class(*class) else { continue };
        let leg = (class, plan.leg(class, wave.stage));
        let leg = one(&mut known, leg, (&plan.spec, &target.told));
        let Some((answer, left)) = fits(shut, target, &leg) else { continue };
        all.open += 1;
        match answer {
            Answer::Fits => all.fit += 1,
            Answer::Unknown => all.unknown += 1,
            Answer::TooLong => {
                all.too_long += 1;
                let p95 = leg.interval.p95;
                let lacks = |it: &(TargetId, u64, u64)| it.1.saturating_sub(it.2);
                if all.worst.as_ref().is_none_or(|worst| p95.saturating_sub(left) > lacks(worst)) {
                    all.worst = Some((id.clone(), p95, left));
                }
            }
        }
    }
    (all.open > 0).then_some(all)
}
