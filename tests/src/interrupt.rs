//! Ctrl-C and SIGTERM: noticed, so that what was started is stopped before this program ends.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::thread;

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Whether this program was asked to end.
static RAISED: AtomicBool = AtomicBool::new(false);

/// The child that is waited for, 0 for none.
static CHILD: AtomicU32 = AtomicU32::new(0);

/// From now on a signal does not end this program: it raises the flag, is told to `tell`, and is
/// handed on to the child that is waited for.
pub(crate) fn watch(tell: Option<Sender<()>>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("failed to watch signals")?;
    thread::spawn(move || {
        for signal in signals.forever() {
            RAISED.store(true, Ordering::SeqCst);
            // A terminal sends SIGINT to the child as well, and a second one would be a hurry.
            if signal != SIGINT {
                hand_on();
            }
            if let Some(tell) = &tell
                && tell.send(()).is_err()
            {
                return;
            }
        }
    });
    Ok(())
}

/// Whether this program was asked to end.
pub(crate) fn raised() -> bool {
    RAISED.load(Ordering::SeqCst)
}

/// Names the child to hand signals on to, until the guard is dropped.
pub(crate) fn waiting_for(child: u32) -> Waiting {
    CHILD.store(child, Ordering::SeqCst);
    Waiting
}

/// A child is waited for as long as this lives.
#[derive(Debug)]
pub(crate) struct Waiting;

impl Drop for Waiting {
    fn drop(&mut self) {
        CHILD.store(0, Ordering::SeqCst);
    }
}

fn hand_on() {
    let child = i32::try_from(CHILD.load(Ordering::SeqCst)).ok().and_then(Pid::from_raw);
    if let Some(child) = child
        && let Err(error) = kill_process(child, Signal::TERM)
        && error != Errno::SRCH
    {
        eprintln!("xtask: failed to hand the signal on: {error}");
    }
}
