//! Waiting for a lock that is polled.

use std::time::Duration;

use tokio::time::Instant;

use super::timeouts::Timeouts;

/// A bounded wait.
pub(crate) struct Patience {
    began: Instant,
    bound: Duration,
    poll: Duration,
}

impl Patience {
    pub(crate) fn for_session_lock(timeouts: &Timeouts) -> Self {
        Self {
            began: Instant::now(),
            bound: timeouts.session_lock_wait(),
            poll: timeouts.session_lock_poll(),
        }
    }

    /// Pauses before the next try; `false` when the bound has passed.
    pub(crate) async fn pause(&self) -> bool {
        let left = self.bound.saturating_sub(self.began.elapsed());
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(self.poll.min(left)).await;
        true
    }

    pub(crate) fn waited_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
