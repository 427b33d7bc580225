//! Ctrl-C and SIGTERM: noticed, so that what was started is stopped before this program ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Sends to `tell` at each signal that asks this program to end.
pub(crate) fn announce(tell: Sender<()>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("failed to watch signals")?;
    thread::spawn(move || {
        for _ in signals.forever() {
            if tell.send(()).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// A flag that is up once this program was asked to end.
pub(crate) fn flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag))
            .context("failed to watch signals")?;
    }
    Ok(flag)
}

/// Whether the flag is up.
pub(crate) fn raised(flag: &AtomicBool) -> bool {
    flag.load(Ordering::SeqCst)
}
