//! Lanes of one class, and how long many of them take side by side.

use super::{Fits, Interval};
use std::ops::Range;

use crate::ids::ClassIx;
use crate::plan::{Class, Step};
use crate::spec::{Backup, Direction, Engine};
use crate::state::measures::{What, Work};

/// Lanes that have all of their work before them, counted as events apply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// How many.
    pub lanes: u32,
    /// Of those: on targets of which nobody knows how large they are.
    pub unsized_lanes: u32,
    /// All others together.
    pub bytes: u64,
    /// The largest that was ever among them.
    pub largest: u64,
}

impl Load {
    /// One lane more, on a target of this size.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.lanes += 1;
        self.unsized_lanes += u32::from(bytes == 0);
        self.bytes = self.bytes.saturating_add(bytes);
        self.largest = self.largest.max(bytes);
    }

    /// One less.
    pub(crate) fn sub(&mut self, bytes: u64) {
        self.lanes = self.lanes.saturating_sub(1);
        self.unsized_lanes = self.unsized_lanes.saturating_sub(u32::from(bytes == 0));
        self.bytes = self.bytes.saturating_sub(bytes);
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
}

impl Amount {
    /// One behind the other.
    #[must_use]
    pub fn then(self, other: Self) -> Self {
        Self {
            interval: self.interval.then(other.interval),
            parts: self.parts + other.parts,
            measured: self.measured + other.measured,
        }
    }

    /// All of it was measured.
    pub fn is_whole(&self) -> bool {
        self.parts == self.measured
    }

    pub(super) fn add(&mut self, parts: u64, interval: Option<Interval>) {
        self.parts += parts;
        if let Some(interval) = interval {
            self.measured += parts;
            self.interval = self.interval.then(interval);
        }
    }
}

/// What a lane has before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Legs<'a> {
    engine: Engine,
    steps: &'a [Step],
    backup: Backup,
}

impl<'a> Legs<'a> {
    /// These steps of a class.
    pub(super) fn of((class, leg): (&'a Class, Range<u32>), backup: Backup) -> Self {
        let place = |step: u32| usize::try_from(step).unwrap_or(usize::MAX).min(class.steps.len());
        let steps = class.steps.get(place(leg.start)..place(leg.end)).unwrap_or_default();
        Self { engine: class.engine, steps, backup }
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
    pub(super) fn one(&self, fits: &mut Fits<'_>, bytes: u64) -> Amount {
        self.rest(fits, bytes, 0)
    }

    /// The same, where the first part of it has been under way for so long. A part that takes longer than was
    /// forecast takes nothing from the others.
    pub(super) fn rest(&self, fits: &mut Fits<'_>, bytes: u64, mut passed: u64) -> Amount {
        let mut amount = Amount::default();
        let mut add = |forecast: Option<Interval>| {
            amount.add(1, forecast.map(|it| it.less(std::mem::take(&mut passed))));
        };
        if let Some(work) = self.backup() {
            add(fits.of(work).map(|fit| fit.on(bytes).interval));
        }
        for step in self.steps {
            let fit = fits.step((self.engine, step), step.direction);
            add(fit.map(|fit| fit.on(bytes).interval));
        }
        amount
    }

    /// On many, one after another.
    pub(super) fn all(&self, fits: &mut Fits<'_>, load: &Load) -> Amount {
        let (mut amount, lanes) = (Amount::default(), u64::from(load.lanes));
        if let Some(work) = self.backup() {
            amount.add(lanes, fits.of(work).map(|fit| fit.sum(load)));
        }
        for step in self.steps {
            let fit = fits.step((self.engine, step), step.direction);
            amount.add(lanes, fit.map(|fit| fit.sum(load)));
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
            self.sum = self.sum.then(legs.all(fits, load));
            self.put(legs.one(fits, load.largest).interval, load.lanes);
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
    (class, backup): (impl Fn(ClassIx) -> Option<(&'a Class, Range<u32>)>, Backup),
) -> Side {
    let mut side = Side::default();
    for (ix, load) in loads {
        if let Some(class) = class(*ix) {
            side.with(fits, &Legs::of(class, backup), load);
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
        Amount { interval: Interval { p50, p95 }, parts: 1, measured: 1 }
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
