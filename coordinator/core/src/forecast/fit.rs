//! What measurements of one kind of work say of a target of some size.

use std::collections::BTreeMap;

use super::curve::{Curve, Point};
use super::{Forecast, Interval, Load};
use crate::plan::Step;
use crate::spec::{Direction, Engine};
use crate::state::Fleet;
use crate::state::measures::{Measurement, Sample, What, Work};

/// For targets of every size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    time: Curve,
    /// What is written to the engine's log, where that was ever told.
    written: Option<Curve>,
    /// How often the work was measured.
    pub seen: u64,
    /// Measurements that it rests on.
    pub kept: usize,
    /// The largest target among them, bytes; zero: nobody told.
    pub largest: u64,
}

impl Fit {
    /// `None`: it was never measured.
    pub fn of(sample: &Sample) -> Option<Self> {
        let kept: Vec<Measurement> = sample.kept().collect();
        let curve = |value: fn(&Measurement) -> Option<u64>| {
            let points = kept.iter();
            let points = points
                .filter_map(|one| Some(Point { value: value(one)?, bytes: one.bytes }))
                .collect::<Vec<_>>();
            Curve::of(&points)
        };
        let largest = kept.iter().map(|one| one.bytes).max().unwrap_or_default();
        let (time, written) = (curve(|one| Some(one.ms))?, curve(|one| one.written));
        Some(Self { time, written, seen: sample.seen, kept: kept.len(), largest })
    }

    /// On one target; of `bytes` zero nobody knows how large it is.
    pub fn on(&self, bytes: u64) -> Forecast {
        let (interval, scaled) = self.time.on(bytes);
        let written = self.written.as_ref().map(|curve| curve.on(bytes).0);
        Forecast { interval, samples: self.seen, scaled, written }
    }

    /// On many, one after another.
    pub(super) fn sum(&self, load: &Load) -> Interval {
        self.time.sum(load)
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
}

#[cfg(test)]
mod tests {
    use super::{Fit, Interval};
    use crate::ids::Seq;
    use crate::spec::{Backup, Engine};
    use crate::state::measures::{Measurement, Measures, What, Work};

    const MIB: u64 = 1 << 20;

    /// Of measurements of so many milliseconds on targets of so many bytes.
    fn fit(of: impl IntoIterator<Item = (u64, u64)>) -> Option<Fit> {
        let work = Work { what: What::Backup(Backup::Database), engine: Engine::Sqlite };
        let mut measures = Measures::default();
        for ((ms, bytes), seq) in of.into_iter().zip(0..) {
            measures.add(work, Seq(seq), Measurement { ms, bytes, written: None });
        }
        measures.of(work).and_then(Fit::of)
    }

    fn on(fit: &Fit, bytes: u64) -> (u64, u64) {
        let Interval { p50, p95 } = fit.on(bytes).interval;
        (p50, p95)
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
        assert!(!few.on(MIB).scaled, "nine are too few for a line");
        assert_eq!(on(&few, MIB), (50, 90));
    }

    #[test]
    fn where_larger_targets_take_longer_a_line_is_laid() {
        // 20 ms, and 10 ms for each MiB, some of them half as much again.
        let noisy = (1..=40).map(|n| ((20 + 10 * n) * if n % 8 == 0 { 3 } else { 2 } / 2, n * MIB));
        let fit = fit(noisy).expect("it was measured");
        assert!(fit.on(MIB).scaled);
        let (p50, p95) = on(&fit, 100 * MIB);
        assert!((950..=1_150).contains(&p50), "{p50}");
        assert!((1_400..=1_700).contains(&p95), "{p95}");
        // Of whose size nothing is known: all of them.
        assert!(!fit.on(0).scaled);
    }

    #[test]
    fn size_counts_for_nothing_where_it_tells_nothing() {
        // The same time on each size, and a size that is the same for each time.
        let level = fit((1..=40).map(|n| (50 + n % 3, n * MIB))).expect("it was measured");
        assert!(!level.on(MIB).scaled);
        let alike = fit((1..=40).map(|n| (n, 7 * MIB + n))).expect("it was measured");
        assert!(!alike.on(MIB).scaled);
        // Larger ones that took less long are no reason to promise anything to the largest.
        let inverse = fit((1..=40).map(|n| (500 - 10 * n, n * MIB))).expect("it was measured");
        assert!(!inverse.on(100 * MIB).scaled);
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
