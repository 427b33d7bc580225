//! What measurements of one kind of work say of a target of some size.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::curve::{Curve, Point};
use super::{By, Forecast, Interval, Load, Size, Touched, touched};
use crate::ids::Digest;
use crate::plan::Step;
use crate::spec::{Direction, Engine};
use crate::state::Fleet;
use crate::state::measures::{Measurement, Sample, What, Work};
use crate::state::tables::Tables;

/// For targets of every size: what follows from the measurements that are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    time: Curve,
    /// What is written to the engine's log, where that was ever told.
    written: Option<Curve>,
    /// Measurements that it rests on.
    pub kept: usize,
    /// The largest target among them, bytes; zero: nobody told.
    pub largest: u64,
    /// The most rows that were touched.
    pub most: u64,
}

impl Shape {
    /// `None`: there is no measurement.
    pub(crate) fn of(kept: &[Measurement]) -> Option<Self> {
        let curve = |value: fn(&Measurement) -> Option<u64>| {
            let point = |one: &Measurement| Some(Point { value: value(one)?, size: one.size });
            Curve::of(&kept.iter().filter_map(point).collect::<Vec<_>>())
        };
        let largest = kept.iter().map(|one| one.size.bytes).max().unwrap_or_default();
        let most = kept.iter().filter_map(|one| one.size.rows).max().unwrap_or_default();
        let (time, written) = (curve(|one| Some(one.ms))?, curve(|one| one.written));
        Some(Self { time, written, kept: kept.len(), largest, most })
    }
}

/// The same, and how often the work was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// What follows from what is kept.
    pub shape: Arc<Shape>,
    /// How often the work was measured.
    pub seen: u64,
}

/// Of many targets, one after another.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) time: Interval,
    /// `None`: nobody ever told.
    pub(super) written: Option<Interval>,
    /// Of so many the rows of touched tables counted.
    pub(super) by_rows: u64,
}

impl Fit {
    /// `None`: it was never measured.
    pub fn of(sample: &Sample) -> Option<Self> {
        Some(Self { shape: sample.shape()?, seen: sample.seen })
    }

    /// On one target.
    pub fn on(&self, size: Size) -> Forecast {
        let (interval, by) = self.shape.time.on(size);
        let written = self.shape.written.as_ref().map(|curve| curve.on(size).0);
        Forecast { interval, samples: self.seen, by, written }
    }

    /// The same, as one of many.
    pub(super) fn one(&self, size: Size) -> Sum {
        let Forecast { interval, by, written, .. } = self.on(size);
        Sum { time: interval, written, by_rows: u64::from(by == By::Rows) }
    }

    /// On many, one after another.
    pub(super) fn sum(&self, load: &Load, touched: &Touched) -> Sum {
        let (time, by_rows) = self.shape.time.sum(load, touched);
        let written = self.shape.written.as_ref().map(|curve| curve.sum(load, touched).0);
        Sum { time, written, by_rows: by_rows.into() }
    }
}

/// Fits of one question, made once each.
#[derive(Debug)]
pub struct Fits<'a> {
    fleet: &'a Fleet,
    known: BTreeMap<Work, Option<Fit>>,
}

impl<'a> Fits<'a> {
    /// From what was measured so far.
    pub fn new(fleet: &'a Fleet) -> Self {
        Self { fleet, known: BTreeMap::new() }
    }

    /// Of a kind of work.
    pub(super) fn of(&mut self, work: Work) -> Option<&Fit> {
        let fleet = self.fleet;
        let known = self.known.entry(work);
        known.or_insert_with(|| fleet.measures.of(work).and_then(Fit::of)).as_ref()
    }

    /// Of a step's script of one direction. `None`: nobody has ever run it.
    pub(super) fn step(
        &mut self,
        (engine, step): (Engine, &Step),
        script: Direction,
    ) -> Option<&Fit> {
        let entry = self.fleet.entries.find(&step.entry)?;
        self.of(Work { what: What::Step(entry, script), engine })
    }

    /// Rows of the tables that a step's script touches in a target of which this was told.
    pub(super) fn rows(
        &self,
        bundle: Digest,
        (engine, step): (Engine, &Step),
        (script, tables): (Direction, Option<&Tables>),
    ) -> Option<u64> {
        touched::rows(touched::words(self.fleet, bundle, (engine, step), script), tables)
    }
}

#[cfg(test)]
mod tests {
    use super::{By, Fit, Interval, Size};
    use crate::ids::Seq;
    use crate::spec::{Backup, Engine};
    use crate::state::measures::{Measurement, Measures, What, Work};

    const MIB: u64 = 1 << 20;

    /// Of measurements of so many milliseconds on targets of so many bytes.
    fn fit(of: impl IntoIterator<Item = (u64, u64)>) -> Option<Fit> {
        let work = Work { what: What::Backup(Backup::Database), engine: Engine::Sqlite };
        let mut measures = Measures::default();
        for ((ms, bytes), seq) in of.into_iter().zip(0..) {
            let size = Size { bytes, rows: None };
            measures.add(work, Seq(seq), Measurement { ms, size, written: None });
        }
        measures.of(work).and_then(Fit::of)
    }

    fn on(fit: &Fit, bytes: u64) -> (u64, u64) {
        let Interval { p50, p95 } = fit.on(Size { bytes, rows: None }).interval;
        (p50, p95)
    }

    fn scaled(fit: &Fit, bytes: u64) -> bool {
        fit.on(Size { bytes, rows: None }).by == By::Bytes
    }

    #[test]
    fn nothing_measured_is_nothing_said() {
        assert_eq!(fit([]), None);
    }

    #[test]
    fn few_measurements_speak_for_themselves() {
        let one = fit([(40, MIB)]).expect("it was measured");
        assert_eq!((on(&one, 100 * MIB), on(&one, 0)), ((40, 40), (40, 40)));
        let few = fit((1..=9).map(|n| (n * 10, n * MIB))).expect("it was measured");
        assert!(!scaled(&few, MIB), "nine are too few for a line");
        assert_eq!(on(&few, MIB), (50, 90));
    }

    #[test]
    fn where_larger_targets_take_longer_a_line_is_laid() {
        // 20 ms, and 10 ms for each MiB, some of them half as much again.
        let noisy = (1..=40).map(|n| ((20 + 10 * n) * if n % 8 == 0 { 3 } else { 2 } / 2, n * MIB));
        let fit = fit(noisy).expect("it was measured");
        assert!(scaled(&fit, MIB));
        let (p50, p95) = on(&fit, 100 * MIB);
        assert!((950..=1_150).contains(&p50), "{p50}");
        assert!((1_400..=1_700).contains(&p95), "{p95}");
        // Of whose size nothing is known: all of them.
        assert!(!scaled(&fit, 0));
    }

    #[test]
    fn size_counts_for_nothing_where_it_tells_nothing() {
        // The same time on each size, and a size that is the same for each time.
        let level = fit((1..=40).map(|n| (50 + n % 3, n * MIB))).expect("it was measured");
        assert!(!scaled(&level, MIB));
        let alike = fit((1..=40).map(|n| (n, 7 * MIB + n))).expect("it was measured");
        assert!(!scaled(&alike, MIB));
        // Larger ones that took less long are no reason to promise anything to the largest.
        let inverse = fit((1..=40).map(|n| (500 - 10 * n, n * MIB))).expect("it was measured");
        assert!(!scaled(&inverse, 100 * MIB));
    }

    #[test]
    fn the_greatest_numbers_do_no_harm() {
        let huge = fit((1..=40).map(|n| (u64::MAX / 41 * n, u64::MAX / 41 * n)));
        let huge = huge.expect("it was measured");
        let (p50, p95) = on(&huge, u64::MAX);
        assert!(p50 <= p95);
        let far = fit((0..40).map(|n| (n % 2 * u64::MAX, 1 + n % 2 * u64::MAX / 2)));
        assert!(far.is_some());
    }
}
