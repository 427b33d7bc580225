//! What happened, as a hash, and as text where somebody wants to read it.

use std::cell::UnsafeCell;
use std::fmt::Write as _;

use crate::clock;

#[derive(Default)]
struct Trace {
    hash: u64,
    text: Option<String>,
}

struct Shared(UnsafeCell<Trace>);
// SAFETY: looked at only by the thread that holds the baton.
unsafe impl Sync for Shared {}
static TRACE: Shared = Shared(UnsafeCell::new(Trace { hash: 0, text: None }));

fn trace() -> &'static mut Trace {
    // SAFETY: the baton is held, and nobody keeps what this gives beyond one call.
    unsafe { &mut *TRACE.0.get() }
}

pub(crate) fn begin() {
    *trace() = Trace { hash: 0xcbf2_9ce4_8422_2325, text: None };
}

pub(crate) fn keep() {
    trace().text.get_or_insert_default();
}

pub(crate) fn take() -> String {
    trace().text.as_mut().map(std::mem::take).unwrap_or_default()
}

pub(crate) fn hash() -> u64 {
    trace().hash
}

pub(crate) fn note(what: &str) {
    let now = clock::now();
    let trace = trace();
    for byte in now.to_le_bytes().iter().chain(what.as_bytes()) {
        trace.hash = (trace.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    remark(what);
}

/// Adds a line to the text alone, where it is kept: a run is the same whether somebody reads it or not.
pub(crate) fn remark(what: &str) {
    let now = clock::now();
    if let Some(text) = &mut trace().text {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:>6}.{:03} {what}", now / 1_000_000, now / 1_000 % 1_000);
    }
}
