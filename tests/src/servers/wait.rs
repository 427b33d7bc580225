//! Waiting for a condition, with a bound. The only place of this crate that looks at a clock.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The pause between two looks at a condition that nothing announces.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks `holds` until it answers `true`; an error of `holds` ends the wait at once.
///
/// # Errors
///
/// When `limit` has passed, naming `what` was waited for.
#[expect(
    clippy::disallowed_methods,
    reason = "another process is waited for: its clock is the real one, and no runtime is stopped"
)]
pub fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !holds()? {
        if begun.elapsed() > limit {
            bail!("waited {} s in vain until {what}", limit.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
