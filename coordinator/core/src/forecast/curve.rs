//! How a figure goes with the size of its target. Whole numbers throughout: the same answer on every machine.
//!
//! Where larger targets had more, a line is laid through the measurements: its slope is the median of the
//! slopes between each two of them (Theil and Sen), and how far they stand off it is told by their ratio to it.
//! The rows of the tables that were touched come before the bytes of the whole database. Where neither tells
//! anything, and where measurements are few, size counts for nothing.

use super::{By, Interval, Load, Size, Touched};

/// With fewer no line is laid through them.
const LINE_MIN: usize = 10;
/// Of a hundred pairs so many more must agree that the larger target had more than disagree (Kendall's tau).
const AGREE: u64 = 60;
/// Fractions of a slope.
const FRACTION: u32 = 32;

/// What was measured on one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) value: u64,
    /// How large the target was.
    pub(super) size: Size,
}

/// For targets of every size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Curve {
    /// Whatever the size.
    flat: Interval,
    /// Where the rows of touched tables count.
    rows: Option<Line>,
    /// Where the bytes of the whole database do.
    bytes: Option<Line>,
}

/// `base + slope × size`, and how far measurements stand off it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// At no size.
    base: i128,
    /// A row or a byte, shifted by [`FRACTION`].
    slope: i128,
    /// Thousandths of the line.
    ratio: Interval,
}

impl Line {
    fn at(&self, lanes: u64, size: u64) -> i128 {
        let grown = self.slope.saturating_mul(i128::from(size)) >> FRACTION;
        self.base.saturating_mul(i128::from(lanes)).saturating_add(grown)
    }

    fn interval(&self, lanes: u64, size: u64) -> Interval {
        let at = self.at(lanes, size);
        let value = |ratio: u64| {
            let value = at.saturating_mul(i128::from(ratio)) / 1_000;
            u64::try_from(value.max(0)).unwrap_or(u64::MAX)
        };
        Interval { p50: value(self.ratio.p50), p95: value(self.ratio.p95) }
    }
}

impl Curve {
    /// `None`: there is no point.
    pub(super) fn of(points: &[Point]) -> Option<Self> {
        let flat = quantiles(points.iter().map(|one| one.value))?;
        let sized = |size: fn(&Size) -> Option<u64>| {
            let sized = points.iter().filter_map(|one| Some((size(&one.size)?, one.value)));
            line(&sized.collect::<Vec<_>>())
        };
        Some(Self { flat, rows: sized(|size| size.rows), bytes: sized(Size::told) })
    }

    /// On one target, and what of its size counted.
    pub(super) fn on(&self, size: Size) -> (Interval, By) {
        if let Some((line, rows)) = self.rows.as_ref().zip(size.rows) {
            return (line.interval(1, rows), By::Rows);
        }
        match self.bytes.as_ref().zip(size.told()) {
            Some((line, bytes)) => (line.interval(1, bytes), By::Bytes),
            None => (self.flat, By::Nothing),
        }
    }

    /// On many, one after another, and of how many the rows counted.
    pub(super) fn sum(&self, load: &Load, touched: &Touched) -> (Interval, u32) {
        let Some(line) = &self.rows else { return (self.by_bytes(load), 0) };
        let Touched { known, rows, .. } = *touched;
        let rest = self.by_bytes(&load.part(load.lanes.saturating_sub(known)));
        (line.interval(known.into(), rows).then(rest), known)
    }

    fn by_bytes(&self, load: &Load) -> Interval {
        let flat = |lanes: u32| Interval {
            p50: self.flat.p50.saturating_mul(lanes.into()),
            p95: self.flat.p95.saturating_mul(lanes.into()),
        };
        match &self.bytes {
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

/// The line through sizes and what was measured at each, where there is one.
fn line(sized: &[(u64, u64)]) -> Option<Line> {
    let sizes = sized.iter().map(|(size, _)| *size);
    let (smallest, largest) = (sizes.clone().min()?, sizes.max()?);
    if sized.len() < LINE_MIN || largest / 2 < smallest {
        return None;
    }
    let mut slopes = Vec::new();
    let (mut agree, mut disagree) = (0_u64, 0_u64);
    for (at, one) in sized.iter().enumerate() {
        for other in sized.iter().skip(at + 1) {
            let (small, large) = if one.0 < other.0 { (one, other) } else { (other, one) };
            let wider = i128::from(large.0 - small.0);
            if wider == 0 {
                continue;
            }
            let more = i128::from(large.1) - i128::from(small.1);
            agree += u64::from(more > 0);
            disagree += u64::from(more < 0);
            slopes.push((more << FRACTION) / wider);
        }
    }
    let pairs = u64::try_from(slopes.len()).unwrap_or(u64::MAX);
    let slope = median(&mut slopes)?;
    if agree < disagree || (agree - disagree) * 100 < pairs * AGREE || slope <= 0 {
        return None;
    }
    let over = |(size, value): &(u64, u64)| {
        i128::from(*value) - (slope.saturating_mul(i128::from(*size)) >> FRACTION)
    };
    let base = median(&mut sized.iter().map(over).collect::<Vec<_>>())?.max(0);
    let line = Line { base, slope, ratio: Interval::default() };
    let ratio = quantiles(sized.iter().map(|(size, value)| {
        let at = u64::try_from(line.at(1, *size)).unwrap_or(u64::MAX).max(1);
        value.saturating_mul(1_000) / at
    }))?;
    Some(Line { ratio, ..line })
}
