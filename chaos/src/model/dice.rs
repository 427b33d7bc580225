//! Chance from a seed. Written out here, and not taken from a crate, so that a seed means the same run
//! in every release of every dependency.
//!
//! Each thing that chance decides has dice of its own, so that leaving one out (which is how a failing
//! run is shrunk) changes as little of the others as can be.

/// Whose chance.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    World,
    Database,
    Agent,
    Operation,
    Strike,
    Network,
    Leader,
    Work,
    Gauge,
    Around,
    Dumps,
    Waivers,
    Batches,
    Slow,
}

/// A xorshift generator.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The same numbers from the same seed, stream and number in it.
    pub(super) fn new(seed: u64, stream: Stream, number: u64) -> Self {
        // Neighbours must not give neighbouring numbers, and zero must not stay zero.
        let stream = stream as u64 + 1;
        let mut mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^= stream.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= number.wrapping_add(1).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        Self((mixed ^ (mixed >> 31)) | 1)
    }

    /// Dice of their own for something that comes with what these decide: they go on as if it were not there.
    pub(super) fn beside(&self, stream: Stream) -> Self {
        Self::new(self.0, stream, 0)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    /// Less than `bound`.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.next() % u64::from(bound.max(1))).unwrap_or_default()
    }

    /// Between the two, both included.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most.saturating_sub(least) + 1)
    }

    /// True `permille` times in a thousand.
    pub(super) fn chance(&mut self, permille: u32) -> bool {
        self.below(1_000) < permille
    }

    /// A place in a list of `len`.
    pub(super) fn place(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u32::try_from(len).unwrap_or(u32::MAX))).unwrap_or_default()
    }
}
