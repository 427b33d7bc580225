//! Random numbers that come from a seed.

use std::cell::UnsafeCell;

use crate::baton;

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..bound`; 0 where there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number().checked_rem(bound).unwrap_or(0)
    }

    /// One of `from..to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from))
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, of_100: u64) -> bool {
        self.below(100) < of_100
    }

    /// Another generator, that depends on this one and does not disturb it again.
    pub fn fork(&mut self) -> Self {
        Self::new(self.number())
    }
}

struct Shared(UnsafeCell<Chance>);
// SAFETY: looked at only by the thread that holds the baton.
unsafe impl Sync for Shared {}
static CHANCE: Shared = Shared(UnsafeCell::new(Chance::new(0)));

pub(crate) fn begin(seed: u64) {
    // SAFETY: the baton is held.
    unsafe { *CHANCE.0.get() = Chance::new(seed) };
}

pub(crate) fn end() {}

/// Fills a buffer, if this thread is in a simulation.
pub(crate) fn fill(buffer: &mut [u8]) -> bool {
    if !baton::is_member() {
        return false;
    }
    // SAFETY: the baton is held.
    let chance = unsafe { &mut *CHANCE.0.get() };
    for piece in buffer.chunks_mut(8) {
        let bytes = chance.number().to_le_bytes();
        piece.copy_from_slice(&bytes[..piece.len()]);
    }
    true
}
