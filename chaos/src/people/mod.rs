//! People who own a fleet: what they ask for, what they say while it is carried out, and a count of it.
//!
//! ```text
//! strategy   waves, stages, soaks, gates, throttles, windows: drawn from chance
//! words      knobs, holds, cancels, chosen rollbacks, freezes, and how whatever holds a rollout back is taken away
//! answer     whether what was asked for may have happened though nobody said so
//! played     which capabilities a log has seen, and which it has not
//! ```
//!
//! The simulator of the whole system and the chaos on real processes draw from here, each with its own chance and
//! its own [`strategy::Means`]. What one of them lacks costs no draw, so that the seeds of the other stay what they are.

pub mod answer;
pub mod played;
pub mod strategy;
pub mod words;

use skein_proto::v1;

/// Somebody whose choices come from chance, and who asks under a name.
pub trait Person {
    /// One of `0..bound`; 0 where there is none.
    fn below(&mut self, bound: u64) -> u64;

    /// A new request of theirs.
    fn asker(&mut self) -> v1::Asker;

    /// One of `from..to`.
    fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from))
    }

    /// True so many times in a hundred.
    fn percent(&mut self, of_100: u64) -> bool {
        self.below(100) < of_100
    }

    /// One of a list; `None` where it is empty.
    fn one_of<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let place = self.below(list.len() as u64);
        usize::try_from(place).ok().and_then(|place| list.get(place))
    }

    /// One of `from..to`, where small numbers are wanted.
    fn number(&mut self, from: u64, to: u64) -> u32 {
        u32::try_from(self.between(from, to)).unwrap_or(1)
    }
}
