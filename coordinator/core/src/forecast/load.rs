//! Lanes of one class, and how long many of them take side by side.

use std::ops::Range;

use super::fit::Sum;
use super::{Fits, Interval, Reach, Size, Touched};
use crate::ids::{ClassIx, Digest};
use crate::plan::{Class, Step};
use crate::spec::{Backup, Direction, Engine, Spec};
use crate::state::measures::{What, Work};
use crate::state::tables::Told;

/// Lanes that have all of their work before them, counted as events apply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// How many.
    pub lanes: u32,
    /// Of those: on targets of which nobody knows how large they are.
    pub unsized_lanes: u32,
    /// All others together.
    pub bytes: u64,
    /// The largest that was ever among them.
    pub largest: u64,
    /// Rows of the tables that each step of their class touches in them.
    pub touched: Vec<Touched>,
}

impl Load {
    /// One lane more, on a target of this size, and with the steps of its class.
    pub(crate) fn add(&mut self, Told { bytes, tables }: &Told, reach: Option<&Reach>) {
        let bytes = *bytes;
        if let Some(reach) = reach {
            reach.add(&mut self.touched, tables.as_deref());
        }
        self.lanes += 1;
        self.unsized_lanes += u32::from(bytes == 0);
        self.bytes = self.bytes.saturating_add(bytes);
        self.largest = self.largest.max(bytes);
    }

    /// One less.
    pub(crate) fn sub(&mut self, Told { bytes, tables }: &Told, reach: Option<&Reach>) {
        let bytes = *bytes;
        if let Some(reach) = reach {
            reach.sub(&mut self.touched, tables.as_deref());
        }
        self.lanes = self.lanes.saturating_sub(1);
        self.unsized_lanes = self.unsized_lanes.saturating_sub(u32::from(bytes == 0));
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// So many of them, as they come, without what they touch.
    #[must_use]
    pub(super) fn part(&self, lanes: u32) -> Self {
        let part = |of: u64| {
            let part = u128::from(of) * u128::from(lanes) / u128::from(self.lanes.max(1));
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        let unsized_lanes = u32::try_from(part(self.unsized_lanes.into())).unwrap_or(lanes);
        let (bytes, largest) = (part(self.bytes), self.largest);
        Self { lanes, unsized_lanes, bytes, largest, touched: Vec::new() }
    }

    /// The mean size of those that are known; zero: none is.
    pub(super) fn mean(&self) -> u64 {
        let sized = self.lanes.saturating_sub(self.unsized_lanes);
        self.bytes.checked_div(sized.into()).unwrap_or_default()
    }
}

/// How long, and how much of it was ever measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Of what was measured.
    pub interval: Interval,
    /// Steps and backups of targets.
    pub parts: u64,
    /// Those of them that were measured before.
    pub measured: u64,
    /// What engines write to their logs, bytes.
    pub written: Interval,
    /// Parts that are steps.
    pub steps: u64,
    /// Those of them whose bytes are in it.
    pub weighed: u64,
    /// Steps that were reckoned by the rows of the tables that they touch.
    pub by_rows: u64,
}

impl Amount {
    /// One behind the other.
    #[must_use]
    pub fn then(self, other: Self) -> Self {
        Self {
            interval: self.interval.then(other.interval),
            parts: self.parts + other.parts,
            measured: self.measured + other.measured,
            written: self.written.then(other.written),
            steps: self.steps + other.steps,
            weighed: self.weighed + other.weighed,
            by_rows: self.by_rows + other.by_rows,
        }
    }

    /// All of it was measured.
    pub fn is_whole(&self) -> bool {
        self.parts == self.measured
    }

    fn backups(&mut self, parts: u64, sum: Option<Sum>) {
        self.parts += parts;
        if let Some(sum) = sum {
            self.measured += parts;
            self.interval = self.interval.then(sum.time);
        }
    }

    fn steps(&mut self, parts: u64, sum: Option<Sum>) {
        self.backups(parts, sum);
        self.steps += parts;
        self.by_rows += sum.map_or(0, |sum| sum.by_rows);
        if let Some(written) = sum.and_then(|sum| sum.written) {
            self.weighed += parts;
            self.written = self.written.then(written);
        }
    }
}

/// What a lane has before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Legs<'a> {
    bundle: Digest,
    engine: Engine,
    steps: &'a [Step],
    /// Steps of the class before these.
    before: usize,
    backup: Backup,
}

impl<'a> Legs<'a> {
    /// These steps of a class.
    pub(super) fn of((class, leg): (&'a Class, Range<u32>), spec: &Spec) -> Self {
        let place = |step: u32| usize::try_from(step).unwrap_or(usize::MAX).min(class.steps.len());
        let before = place(leg.start);
        let steps = class.steps.get(before..place(leg.end)).unwrap_or_default();
        let backup = spec.strategy.backup;
        Self { bundle: spec.bundle, engine: class.engine, steps, before, backup }
    }

    /// The same where the backup is there.
    pub(super) fn backed_up(self) -> Self {
        Self { backup: Backup::Exempt, ..self }
    }

    fn backup(&self) -> Option<Work> {
        let taken = self.backup != Backup::Exempt;
        taken.then_some(Work { what: What::Backup(self.backup), engine: self.engine })
    }

    /// On one target.
    pub(super) fn one(&self, fits: &mut Fits<'_>, target: &Told) -> Amount {
        self.rest(fits, target, 0)
    }

    /// The same, where the first part of it has been under way for so long. A part that takes longer than was
    /// forecast takes nothing from the others.
    pub(super) fn rest(&self, fits: &mut Fits<'_>, target: &Told, passed: u64) -> Amount {
        let rows = |fits: &Fits<'_>, _: usize, step: &Step| {
            fits.rows(self.bundle, (self.engine, step), (step.direction, target.tables.as_deref()))
        };
        self.each(fits, (target.bytes, rows), passed)
    }

    /// On the one of many that has most of everything.
    fn longest(&self, fits: &mut Fits<'_>, load: &Load) -> Amount {
        let rows = |_: &Fits<'_>, at: usize, _: &Step| load.touched.get(at).and_then(Touched::most);
        self.each(fits, (load.largest, rows), 0)
    }

    fn each(
        &self,
        fits: &mut Fits<'_>,
        (bytes, rows): (u64, impl Fn(&Fits<'_>, usize, &Step) -> Option<u64>),
        mut passed: u64,
    ) -> Amount {
        let mut amount = Amount::default();
        let mut rest = |sum: Sum| Sum { time: sum.time.less(std::mem::take(&mut passed)), ..sum };
        if let Some(work) = self.backup() {
            let sum = fits.of(work).map(|fit| fit.one(Size { bytes, rows: None }));
            amount.backups(1, sum.map(&mut rest));
        }
        for (step, at) in self.steps.iter().zip(self.before..) {
            let size = Size { bytes, rows: rows(fits, at, step) };
            let fit = fits.step((self.engine, step), step.direction);
            amount.steps(1, fit.map(|fit| fit.one(size)).map(&mut rest));
        }
        amount
    }

    /// On many, one after another.
    fn all(&self, fits: &mut Fits<'_>, load: &Load) -> Amount {
        let (mut amount, lanes) = (Amount::default(), u64::from(load.lanes));
        let nothing = Touched::default();
        if let Some(work) = self.backup() {
            amount.backups(lanes, fits.of(work).map(|fit| fit.sum(load, &nothing)));
        }
        for (step, at) in self.steps.iter().zip(self.before..) {
            let touched = load.touched.get(at).unwrap_or(&nothing);
            let fit = fits.step((self.engine, step), step.direction);
            amount.steps(lanes, fit.map(|fit| fit.sum(load, touched)));
        }
        amount
    }
}

/// Lanes side by side, as far as parallelism goes.
#[derive(Debug, Default)]
pub(super) struct Side {
    sum: Amount,
    longest: Interval,
    lanes: u32,
}

impl Side {
    /// These lanes, too.
    pub(super) fn with(&mut self, fits: &mut Fits<'_>, legs: &Legs<'_>, load: &Load) {
        if load.lanes > 0 {
            let all = legs.all(fits, load);
            // Whoever was the largest of them may be gone: none takes longer than those that are left.
            let Interval { p50, p95 } = legs.longest(fits, load).interval;
            let longest =
                Interval { p50: p50.min(all.interval.p50), p95: p95.min(all.interval.p95) };
            self.sum = self.sum.then(all);
            self.put(longest, load.lanes);
        }
    }

    /// One more.
    pub(super) fn one(&mut self, amount: Amount) {
        self.sum = self.sum.then(amount);
        self.put(amount.interval, 1);
    }

    fn put(&mut self, longest: Interval, lanes: u32) {
        let Interval { p50, p95 } = self.longest;
        self.longest = Interval { p50: p50.max(longest.p50), p95: p95.max(longest.p95) };
        self.lanes += lanes;
    }

    /// No order in which slots are given to whoever is next takes longer than their share of the whole and
    /// what the longest one lacks of it (Graham), and none less than the share or the longest.
    pub(super) fn at_once(&self, most: u32) -> Amount {
        if self.lanes <= most {
            return Amount { interval: self.longest, ..self.sum };
        }
        let slots = u64::from(most.max(1));
        let share = |ms: u64| ms.div_ceil(slots);
        let waits = u128::from(self.longest.p95) * u128::from(slots - 1) / u128::from(slots);
        let waits = u64::try_from(waits).unwrap_or(u64::MAX);
        let Interval { p50, p95 } = self.sum.interval;
        let interval = Interval {
            p50: share(p50).max(self.longest.p50),
            p95: share(p95).saturating_add(waits),
        };
        Amount { interval, ..self.sum }
    }
}

/// Lanes by their classes.
pub(super) fn side<'a>(
    fits: &mut Fits<'_>,
    loads: impl Iterator<Item = (&'a ClassIx, &'a Load)>,
    (class, spec): (impl Fn(ClassIx) -> Option<(&'a Class, Range<u32>)>, &Spec),
) -> Side {
    let mut side = Side::default();
    for (ix, load) in loads {
        if let Some(class) = class(*ix) {
            side.with(fits, &Legs::of(class, spec), load);
        }
    }
    side
}

/// A plan that only tries steps: what that takes is not measured.
pub(super) fn is_tried(direction: Direction) -> bool {
    direction == Direction::Validate
}

#[cfg(test)]
mod tests {
    use super::{Amount, Interval, Side};

    fn leg(p50: u64, p95: u64) -> Amount {
        let interval = Interval { p50, p95 };
        Amount { interval, parts: 1, measured: 1, ..Amount::default() }
    }

    #[test]
    fn side_by_side_takes_a_share_and_never_less_than_the_longest() {
        let mut side = Side::default();
        (0..10).for_each(|_| side.one(leg(10, 20)));
        assert_eq!(side.at_once(1).interval, Interval { p50: 100, p95: 200 });
        assert_eq!(side.at_once(5).interval, Interval { p50: 20, p95: 56 });
        assert_eq!(side.at_once(100).interval, Interval { p50: 10, p95: 20 });
        side.one(leg(500, 900));
        assert_eq!(side.at_once(5).interval.p50, 500);
        assert_eq!(Side::default().at_once(5), Amount::default());
    }
}
