//! How long steps and backups took, and how large their targets were: what a forecast rests on.
//!
//! What is kept of one kind of work is a sample of everything that was ever measured of it, in which each
//! measurement has the same chance to be: each gets a number from the event that told it, the same on every
//! replica, and the smallest numbers stay. The sample of two histories is the smallest numbers of both. Memory
//! grows with the migrations that were ever run, and not with the fleet.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::ledger::EntryIx;
use crate::forecast::{Shape, Size};
use crate::ids::Seq;
use crate::spec::{Backup, Direction, Engine};

/// Measurements of one kind of work that are kept.
pub const KEPT: usize = 48;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A migration's script of one direction was run.
    Step(EntryIx, Direction),
    /// An archive was taken.
    Backup(Backup),
}

/// Work of one kind: it takes about as long on like targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Work {
    /// What.
    pub what: What,
    /// By whose SQL.
    pub engine: Engine,
}

/// Once measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement {
    /// How long it took, waits for locks included, milliseconds.
    pub ms: u64,
    /// How large the target was.
    pub size: Size,
    /// What the engine wrote to its log meanwhile, bytes; `None`: nobody told.
    pub written: Option<u64>,
}

/// What is kept of one kind of work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// How often it was measured.
    pub seen: u64,
    /// By their numbers.
    kept: Vec<(u64, Measurement)>,
    shape: Memo,
}

/// What follows from the measurements that are kept, reckoned when it is first asked for: many ask, and few
/// measurements change what is kept. It is no part of the state: two that are alike may differ in it.
#[derive(Clone, Default)]
struct Memo(OnceLock<Option<Arc<Shape>>>);

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl PartialEq for Memo {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Memo {}

impl Sample {
    /// The measurements that are kept.
    pub fn kept(&self) -> impl Iterator<Item = Measurement> {
        self.kept.iter().map(|(_, measurement)| *measurement)
    }

    /// What follows from them. `None`: there is none.
    pub(crate) fn shape(&self) -> Option<Arc<Shape>> {
        let reckon = || Shape::of(&self.kept().collect::<Vec<_>>()).map(Arc::new);
        self.shape.0.get_or_init(reckon).clone()
    }

    fn add(&mut self, number: u64, measurement: Measurement) {
        self.seen += 1;
        let at = self.kept.partition_point(|(other, _)| *other < number);
        if at < KEPT {
            self.shape = Memo::default();
            self.kept.insert(at, (number, measurement));
            self.kept.truncate(KEPT);
        }
    }
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measures(BTreeMap<Work, Sample>);

impl Measures {
    /// Of one kind of work.
    pub fn of(&self, work: Work) -> Option<&Sample> {
        self.0.get(&work)
    }

    /// The event at `seq` told of it.
    pub(crate) fn add(&mut self, work: Work, seq: Seq, measurement: Measurement) {
        self.0.entry(work).or_default().add(scattered(seq.0), measurement);
    }
}

/// `SplitMix64`: numbers that follow on one another come out as if by chance, and no two alike.
fn scattered(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Measurement, Sample, Size, scattered};

    fn sample(of: impl Iterator<Item = u64>) -> Sample {
        let mut sample = Sample::default();
        of.for_each(|seq| {
            let size = Size::default();
            sample.add(scattered(seq), Measurement { ms: seq, size, written: None });
        });
        sample
    }

    #[test]
    fn a_sample_is_bounded_and_knows_no_order() {
        let forth = sample(0..10_000);
        assert_eq!(forth, sample((0..10_000).rev()));
        assert_eq!((forth.seen, forth.kept().count()), (10_000, KEPT));
    }

    #[test]
    fn every_part_of_a_history_has_the_same_chance() {
        let mut halves = [0; 2];
        for first in (0..200).map(|round| round * 1_000) {
            for one in sample(first..first + 1_000).kept() {
                let half = usize::from(one.ms >= first + 500);
                if let Some(count) = halves.get_mut(half) {
                    *count += 1;
                }
            }
        }
        let [early, late] = halves;
        assert!(early > 4_600 && late > 4_600, "{early} of the first halves, {late} of the others");
    }
}
