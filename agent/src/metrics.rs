//! What an agent tells of itself to a system that watches it, in the text format of `OpenMetrics`
//! (`docs/metrics.md`).
//!
//! What must hold: no series has a target's name, so that their number does not grow with what the agent
//! serves; to count costs a leg an addition.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use skein_proto::agent::v1::LegKind;
use skein_proto::agent::v1::report::Outcome;
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::roster::Roster;
use crate::throttle::Waits;

/// Before every name.
const PREFIX: &str = "skein_agent";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLeg {
    kind: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    version: &'static str,
}

/// Milliseconds, as monitoring systems count time.
fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

/// The counters of one agent. Copies of it count together.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    running: Gauge,
    legs: Family<OfLeg, Counter>,
    steps: Family<OfResult, Counter>,
    step: Histogram,
    written: Counter,
    lock_wait: Counter<f64, AtomicU64>,
    backups: Family<OfResult, Counter>,
    backup_bytes: Counter,
    backup: Histogram,
}

impl Default for Counted {
    fn default() -> Self {
        // From a millisecond to four and a half hours, each bucket four times the last.
        let buckets = || Histogram::new(exponential_buckets(0.001, 4.0, 13));
        Self {
            running: Gauge::default(),
            legs: Family::default(),
            steps: Family::default(),
            step: buckets(),
            written: Counter::default(),
            lock_wait: Counter::default(),
            backups: Family::default(),
            backup_bytes: Counter::default(),
            backup: buckets(),
        }
    }
}

/// A leg that runs, until this is dropped.
pub(crate) struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Counted {
    /// A leg begins to run.
    pub(crate) fn runs(&self) -> Running {
        self.running.inc();
        Running(self.running.clone())
    }

    /// A leg is over, so.
    pub(crate) fn ended(&self, kind: LegKind, result: &'static str) {
        let kind = match kind {
            LegKind::Forward => "forward",
            LegKind::Undo => "undo",
            LegKind::Trial => "trial",
            LegKind::Mend => "mend",
            LegKind::Unspecified => "unknown",
        };
        self.legs.get_or_create(&OfLeg { kind, result }).inc();
    }

    /// Something is told of a leg.
    pub(crate) fn told(&self, outcome: &Outcome) {
        let result = match outcome {
            Outcome::Applied(it) if it.already => "found",
            Outcome::Applied(it) => {
                let locked_ms = it.locked_ms.unwrap_or_default();
                self.measured(it.ms, it.waited_ms + locked_ms, it.written_bytes);
                "applied"
            }
            Outcome::RolledBack(it) if it.already => "found_undone",
            Outcome::RolledBack(it) => {
                let locked_ms = it.locked_ms.unwrap_or_default();
                self.measured(it.ms, it.waited_ms + locked_ms, it.written_bytes);
                "undone"
            }
            Outcome::Failed(it) if it.cancelled => "cancelled",
            Outcome::Failed(_) => "failed",
            Outcome::Stuck(_) => "stuck",
            Outcome::Tried(it) if it.passed => "tried",
            Outcome::Tried(it) if it.impossible => "not_tried",
            Outcome::Tried(_) => "tried_in_vain",
            Outcome::BackedUp(it) => {
                let taken = it.exemption.is_empty();
                if taken {
                    self.backup_bytes.inc_by(it.bytes);
                    self.backup.observe(seconds(it.ms));
                }
                let result = if taken { "taken" } else { "exempt" };
                self.backups.get_or_create(&OfResult { result }).inc();
                return;
            }
            Outcome::Verified(_)
            | Outcome::Released(_)
            | Outcome::Mended(_)
            | Outcome::Judged(_)
            | Outcome::Baseline(_) => return,
        };
        self.steps.get_or_create(&OfResult { result }).inc();
    }

    fn measured(&self, ms: u64, waited_ms: u64, written: Option<u64>) {
        self.step.observe(seconds(ms));
        self.lock_wait.inc_by(seconds(waited_ms));
        self.written.inc_by(written.unwrap_or_default());
    }

    fn register(&self, registry: &mut Registry) {
        let Self { running, legs, steps, step, written, lock_wait, backups, backup_bytes, backup } =
            self;
        registry.register("legs_running", "Legs that run now", running.clone());
        registry.register("legs", "Legs that are over", legs.clone());
        registry.register("steps", "Steps that were told of", steps.clone());
        registry.register(
            "step_seconds",
            "How long a step took, without tries that a lock ended",
            step.clone(),
        );
        registry.register(
            "written_bytes",
            "What engines wrote to their logs for steps",
            written.clone(),
        );
        registry.register(
            "lock_wait_seconds",
            "How long steps waited for locks",
            lock_wait.clone(),
        );
        registry.register("backups", "Backups before legs", backups.clone());
        registry.register(
            "backup_bytes",
            "Bytes of archives that were taken",
            backup_bytes.clone(),
        );
        registry.register("backup_seconds", "How long an archive took", backup.clone());
    }
}

/// How a leg ended that was not carried out to its end.
pub(crate) fn ended(last: &Outcome) -> &'static str {
    match last {
        Outcome::Failed(failed) if failed.cancelled => "cancelled",
        Outcome::Stuck(_) => "stuck",
        Outcome::Released(_) => "released",
        Outcome::Failed(_)
        | Outcome::BackedUp(_)
        | Outcome::Applied(_)
        | Outcome::Verified(_)
        | Outcome::RolledBack(_)
        | Outcome::Tried(_)
        | Outcome::Mended(_)
        | Outcome::Judged(_)
        | Outcome::Baseline(_) => "failed",
    }
}

/// The metrics of one agent.
#[derive(Clone)]
pub struct Metrics {
    counted: Arc<Registry>,
    attached: watch::Receiver<Option<Channel>>,
    roster: Arc<Roster>,
    waits: Arc<Waits>,
    slots: usize,
}

impl Metrics {
    pub(crate) fn new(
        counted: &Counted,
        attached: watch::Receiver<Option<Channel>>,
        (roster, waits): (Arc<Roster>, Arc<Waits>),
        slots: usize,
    ) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let version = env!("CARGO_PKG_VERSION");
        registry.register("build", "Which release runs", Info::new(Version { version }));
        counted.register(&mut registry);
        Self { counted: Arc::new(registry), attached, roster, waits, slots }
    }

    /// As they are now.
    pub fn text(&self) -> String {
        let mut seen = Registry::with_prefix(PREFIX);
        let mut number = |name: &str, help: &str, value: usize| {
            let gauge = Gauge::<i64>::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            seen.register(name, help, gauge);
        };
        let attached = self.attached.borrow().is_some();
        number("connected", "1: a coordinator has welcomed it", attached.into());
        number("targets", "Targets that it serves now", self.roster.len());
        number("slots", "Legs that it may run at one time", self.slots);
        number("legs_throttled", "Legs that wait for a throttle now", self.waits.told().len());
        let mut text = String::new();
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
