//! The wall clock, read in one place; and the time that a leader writes down.

use std::time::{SystemTime, UNIX_EPOCH};

use skein_core::ids::Millis;
use tokio::time::Instant;

/// While the wall clock is behind the log, the log's time goes on at one part in so many of its pace, so
/// that the clock catches up.
const SLOWER: u128 = 2;

/// Now. A clock before 1970 counts as 1970: the log's own time never goes back in any case.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The time by which a leader decides: its wall clock, and where the log is ahead of that, because another
/// leader's clock was, the log's time, going on. If it stood still, a pause before a retry would
/// last until the clock has caught up: hours.
#[derive(Debug)]
pub(crate) struct LogTime {
    /// The log's time once, and when that was by a clock that nobody sets.
    log: Millis,
    since: Instant,
}

impl LogTime {
    pub(crate) fn new() -> Self {
        Self { log: Millis(0), since: Instant::now() }
    }

    /// Now, where the log has come to `log`.
    pub(crate) fn now(&mut self, log: Millis) -> Millis {
        self.at(log, now(), Instant::now())
    }

    fn at(&mut self, log: Millis, wall: Millis, instant: Instant) -> Millis {
        let passed = instant.saturating_duration_since(self.since).as_millis() / SLOWER;
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let slow = Millis(self.log.0.saturating_add(passed));
        if log <= slow && self.log.0 > 0 {
            return slow.max(wall);
        }
        (self.log, self.since) = (log, instant);
        log.max(wall)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TWO_HOURS: u64 = 2 * 60 * 60 * 1_000;

    /// The time of the log after so many seconds, the wall clock being right and the log ahead of it.
    #[test]
    fn the_logs_time_goes_on_where_the_clock_is_behind_it() {
        let mut time = LogTime::new();
        let (start, wall, log) = (Instant::now(), 1_000_000, 1_000_000 + TWO_HOURS);
        let at = |time: &mut LogTime, seconds: u64, log: u64| {
            let instant = start + Duration::from_secs(seconds);
            time.at(Millis(log), Millis(wall + seconds * 1_000), instant).0
        };
        assert_eq!(at(&mut time, 0, log), log);
        // A pause of half a second before a retry is over after one.
        assert_eq!(at(&mut time, 1, log), log + 500);
        assert_eq!(at(&mut time, 2, log + 500), log + 1_000);
        // It catches up after twice the time by which it was off, and is the wall clock's from then on.
        let caught = 2 * TWO_HOURS / 1_000;
        let last = at(&mut time, caught - 1, log + 1_000);
        assert!(last > wall + (caught - 1) * 1_000, "{last}");
        let last = at(&mut time, caught + 10, last);
        assert_eq!(last, wall + (caught + 10) * 1_000);
    }

    #[test]
    fn a_clock_that_is_set_back_under_a_leader_stops_nothing() {
        let mut time = LogTime::new();
        let start = Instant::now();
        let first = time.at(Millis(0), Millis(TWO_HOURS), start).0;
        assert_eq!(first, TWO_HOURS);
        let mut log = first;
        for second in 1..=10 {
            let wall = Millis(second * 1_000);
            let now = time.at(Millis(log), wall, start + Duration::from_secs(second)).0;
            assert!(now >= log, "time went back from {log} to {now}");
            log = now;
        }
        assert!(log >= first + 4_000, "time stands still at {log}");
    }
}
