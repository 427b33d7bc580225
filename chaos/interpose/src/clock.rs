//! Both clocks, as the simulation sets them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{baton, owner};

/// What the wall clock says at the beginning: 2023-11-14 22:13:20 UTC.
const WALL: u64 = 1_700_000_000_000_000_000;
/// The same of the other clock: no deadline is before its beginning.
const MONOTONIC: u64 = 1_000_000_000_000;

static NOW: AtomicU64 = AtomicU64::new(0);

pub(crate) fn begin() {
    NOW.store(0, Ordering::Relaxed);
}

pub(crate) fn end() {}

/// Never back.
pub(crate) fn set(now: u64) {
    NOW.fetch_max(now, Ordering::Relaxed);
}

/// Nanoseconds since the beginning.
pub(crate) fn now() -> u64 {
    NOW.load(Ordering::Relaxed)
}

/// A moment of the monotonic clock, as nanoseconds since the beginning.
pub(crate) fn since_beginning(at: &libc::timespec) -> u64 {
    nanoseconds(at).saturating_sub(MONOTONIC)
}

pub(crate) fn nanoseconds(at: &libc::timespec) -> u64 {
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(at.tv_nsec).unwrap_or(0))
}

/// What a clock says to this thread, in nanoseconds; `None` outside a simulation and for other clocks.
pub(crate) fn read(clock: libc::clockid_t) -> Option<u64> {
    if !baton::is_member() {
        return None;
    }
    match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => {
            Some((WALL + now()).saturating_add_signed(owner::skew_here()))
        }
        libc::CLOCK_MONOTONIC
        | libc::CLOCK_MONOTONIC_RAW
        | libc::CLOCK_MONOTONIC_COARSE
        | libc::CLOCK_BOOTTIME => Some(MONOTONIC + now()),
        _ => None,
    }
}
