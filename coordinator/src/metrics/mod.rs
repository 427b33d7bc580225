//! What a node tells of itself to a system that watches it, in the text format of `OpenMetrics`
//! (`docs/metrics.md`).
//!
//! ```text
//!   counted   counters that the sequencer and the fold move as they work
//!   seen      what stands in memory anyway, looked at when somebody asks
//! ```
//! What must hold: to be asked costs the sequencer nothing; the fleet is held for as long as a few numbers are
//! copied; no series has a target's or an agent's name, so that their number does not grow with the fleet.

mod counted;
mod names;
mod seen;

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

pub(crate) use counted::{Answered, Counted};
pub(crate) use names::kind;
pub(crate) use seen::Seen;

/// Before every name.
const PREFIX: &str = "skein";

/// The metrics of one node.
#[derive(Clone)]
pub struct Metrics {
    counted: Arc<Registry>,
    seen: Arc<Seen>,
}

impl Metrics {
    pub(crate) fn new(counted: &Counted, seen: Seen) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        counted.register(&mut registry);
        Self { counted: Arc::new(registry), seen: Arc::new(seen) }
    }

    /// As they are now.
    pub fn text(&self) -> String {
        let mut seen = Registry::with_prefix(PREFIX);
        self.seen.register(&mut seen);
        let mut text = String::new();
        // A string takes whatever is written to it.
        let written = encode_registry(&mut text, &self.counted)
            .and_then(|()| encode_registry(&mut text, &seen))
            .and_then(|()| encode_eof(&mut text));
        if let Err(error) = written {
            tracing::error!(%error, "the metrics cannot be written");
        }
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
