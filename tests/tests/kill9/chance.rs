//! Random moments that can be asked for again.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// How many rounds each test has.
pub(crate) fn rounds() -> u64 {
    let asked = std::env::var("SKEIN_ROUNDS").ok();
    asked.map_or(20, |text| text.parse().expect("SKEIN_ROUNDS is a number"))
}

/// The seed of this run: asked for, or new.
pub(crate) fn seed() -> u64 {
    let asked = std::env::var("SKEIN_SEED").ok();
    asked.map_or_else(rand::random, |text| text.parse().expect("SKEIN_SEED is a number"))
}

/// What happens by chance in one round.
#[derive(Debug)]
pub(crate) struct Chance(StdRng);

impl Chance {
    pub(crate) fn of(seed: u64, round: u64) -> Self {
        Self(StdRng::seed_from_u64(seed.wrapping_add(round)))
    }

    /// A moment before `end`.
    pub(crate) fn moment(&mut self, end: Duration) -> Duration {
        end.mul_f64(self.0.random_range(0.0..1.0))
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.0.random()
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }
}
