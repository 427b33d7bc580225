//! What measurements of one kind of work say of a target of some size. Whole numbers throughout: the same
//! answer on every machine.
//!
//! Where larger targets took longer, a line is laid through the measurements: its slope is the median of the
//! slopes between each two of them (Theil and Sen), and how far they stand off it is told by their ratio to it.
//! Else, and where they are few, the size counts for nothing.

use std::collections::BTreeMap;

use super::{Forecast, Interval, Load};
use crate::plan::Step;
use crate::spec::{Direction, Engine};
use crate::state::Fleet;
use crate::state::measures::{Measurement, Sample, What, Work};

/// With fewer no line is laid through them.
const LINE_MIN: usize = 10;
/// Of a hundred pairs so many more must agree that the larger target took longer than disagree (Kendall's tau).
const AGREE: u64 = 60;
/// Fractions of a millisecond a byte.
const FRACTION: u32 = 32;

/// For targets of every size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// Whatever the size.
    flat: Interval,
    /// Where size counts.
    line: Option<Line>,
    /// How often the work was measured.
    pub seen: u64,
    /// Measurements that it rests on.
    pub kept: usize,
    /// The largest target among them, bytes; zero: nobody told.
    pub largest: u64,
}

/// `base + slope × bytes`, and how far measurements stand off it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// Milliseconds.
    base: i128,
    /// Milliseconds a byte, shifted by [`FRACTION`].
    slope: i128,
    /// Thousandths of the line.
    ratio: Interval,
}

impl Line {
    fn at(&self, lanes: u64, bytes: u64) -> i128 {
        let grown = self.slope.saturating_mul(i128::from(bytes)) >> FRACTION;
        self.base.saturating_mul(i128::from(lanes)).saturating_add(grown)
    }

    fn interval(&self, lanes: u64, bytes: u64) -> Interval {
        let at = self.at(lanes, bytes);
        let ms = |ratio: u64| {
            let ms = at.saturating_mul(i128::from(ratio)) / 1_000;
            u64::try_from(ms.max(0)).unwrap_or(u64::MAX)
        };
        Interval { p50: ms(self.ratio.p50), p95: ms(self.ratio.p95) }
    }
}

impl Fit {
    /// `None`: it was never measured.
    pub fn of(sample: &Sample) -> Option<Self> {
        let kept: Vec<Measurement> = sample.kept().collect();
        let flat = quantiles(kept.iter().map(|one| one.ms))?;
        let largest = kept.iter().map(|one| one.bytes).max().unwrap_or_default();
        Some(Self { flat, line: line(&kept), seen: sample.seen, kept: kept.len(), largest })
    }

    /// On one target; of `bytes` zero nobody knows how large it is.
    pub fn on(&self, bytes: u64) -> Forecast {
        let line = self.line.as_ref().filter(|_| bytes > 0);
        Forecast {
            interval: line.map_or(self.flat, |line| line.interval(1, bytes)),
            samples: self.seen,
            scaled: line.is_some(),
        }
    }

    /// On many, one after another.
    pub(super) fn sum(&self, load: &Load) -> Interval {
        let flat = |lanes: u32| Interval {
            p50: self.flat.p50.saturating_mul(lanes.into()),
            p95: self.flat.p95.saturating_mul(lanes.into()),
        };
        match &self.line {
            None => flat(load.lanes),
            Some(line) => {
                let sized = load.lanes.saturating_sub(load.unsized_lanes);
                line.interval(sized.into(), load.bytes).then(flat(load.unsized_lanes))
            }
        }
    }
}

/// By nearest rank: each is one of the values.
fn quantiles(values: impl Iterator<Item = u64>) -> Option<Interval> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let rank = |percent: usize| {
        let rank = (values.len() * percent).div_ceil(100);
        values.get(rank.saturating_sub(1)).copied()
    };
    Some(Interval { p50: rank(50)?, p95: rank(95)? })
}

fn median(values: &mut [i128]) -> Option<i128> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable(middle).1)
}

/// The line through measurements whose target's size is known, where there is one.
fn line(kept: &[Measurement]) -> Option<Line> {
    let sized: Vec<&Measurement> = kept.iter().filter(|one| one.bytes > 0).collect();
    let sizes = sized.iter().map(|one| one.bytes);
    let (smallest, largest) = (sizes.clone().min()?, sizes.max()?);
    if sized.len() < LINE_MIN || largest / 2 < smallest {
        return None;
    }
    let mut slopes = Vec::new();
    let (mut agree, mut disagree) = (0_u64, 0_u64);
    for (at, one) in sized.iter().enumerate() {
        for other in sized.iter().skip(at + 1) {
            let (small, large) = if one.bytes < other.bytes { (one, other) } else { (other, one) };
            let wider = i128::from(large.bytes - small.bytes);
            if wider == 0 {
                continue;
            }
            let longer = i128::from(large.ms) - i128::from(small.ms);
            agree += u64::from(longer > 0);
            disagree += u64::from(longer < 0);
            slopes.push((longer << FRACTION) / wider);
        }
    }
    let pairs = u64::try_from(slopes.len()).unwrap_or(u64::MAX);
    let slope = median(&mut slopes)?;
    if agree < disagree || (agree - disagree) * 100 < pairs * AGREE || slope <= 0 {
        return None;
    }
    let over = |one: &&Measurement| {
        i128::from(one.ms) - (slope.saturating_mul(i128::from(one.bytes)) >> FRACTION)
    };
    let base = median(&mut sized.iter().map(over).collect::<Vec<_>>())?.max(0);
    let line = Line { base, slope, ratio: Interval::default() };
    let ratio = quantiles(sized.iter().map(|one| {
        let at = u64::try_from(line.at(1, one.bytes)).unwrap_or(u64::MAX).max(1);
        one.ms.saturating_mul(1_000) / at
    }))?;
    Some(Line { ratio, ..line })
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
            measures.add(work, Seq(seq), Measurement { ms, bytes });
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
