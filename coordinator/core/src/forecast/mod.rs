//! How long work will take, from what was measured. Nothing is guessed: what was never measured is counted
//! and left out.
//!
//! ```text
//!   measurements of one kind of work ──fit──► an interval for a target of some size    (fit, curve)
//!   words of scripts, tables of targets ────► rows that a step touches                 (touched)
//!   lanes of a wave, by class ──────────────► an interval for the wave                 (load)
//!   a plan before it runs, a rollout under way, what is left of a window                (plan, rest, window)
//!   a step that takes longer                                                           (overrun)
//! ```
//!
//! An interval goes from where each piece of work takes its median to where each takes its 95th percentile:
//! of many targets it says *at most*, since they are never all slow.

mod curve;
mod fit;
mod load;
mod overrun;
mod plan;
mod rest;
mod touched;
mod window;

use crate::spec::Direction;

pub use fit::{Fit, Fits, Shape};
pub use load::{Amount, Load};
pub use overrun::{GRACE_MS, overran, overruns};
pub use plan::{ClassForecast, Planned, StepForecast, planned};
pub use rest::{leg, rest};
pub(crate) use touched::Reach;
pub use touched::Touched;
pub use window::{Answer, WindowFit, fits, windows};

/// From the median to the 95th percentile: milliseconds, or bytes that are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interval {
    /// Half of them take no longer.
    pub p50: u64,
    /// 95 of a hundred take no longer.
    pub p95: u64,
}

impl Interval {
    /// One behind the other.
    #[must_use]
    pub fn then(self, other: Self) -> Self {
        Self { p50: self.p50.saturating_add(other.p50), p95: self.p95.saturating_add(other.p95) }
    }

    /// So much of it has passed.
    #[must_use]
    fn less(self, ms: u64) -> Self {
        Self { p50: self.p50.saturating_sub(ms), p95: self.p95.saturating_sub(ms) }
    }
}

/// How large a target is, for one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// The whole database; zero: nobody told.
    pub bytes: u64,
    /// Rows of the tables that the step touches. `None`: it is not known.
    pub rows: Option<u64>,
}

impl Size {
    /// Bytes, where somebody told.
    fn told(&self) -> Option<u64> {
        (self.bytes > 0).then_some(self.bytes)
    }
}

/// What of a target's size a forecast was reckoned by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// Nothing: it is of all that were measured.
    #[default]
    Nothing,
    /// The bytes of the whole database.
    Bytes,
    /// The rows of the tables that are touched.
    Rows,
}

/// Of one step in one target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forecast {
    /// How long.
    pub interval: Interval,
    /// How often it was measured.
    pub samples: u64,
    /// Where it grows with the target's size: by what it was reckoned for this one's.
    pub by: By,
    /// What the engine writes to its log for it, bytes. `None`: nobody ever told.
    pub written: Option<Interval>,
}

/// The script that undoes one of a direction.
pub(crate) fn back(direction: Direction) -> Direction {
    match direction {
        Direction::Up => Direction::Down,
        Direction::Down => Direction::Up,
        Direction::Validate => Direction::Validate,
    }
}
