//! What is counted as it happens. To count is an addition without a lock; to observe, a short one of its own.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It is in the log, or was before.
    Accepted,
    /// A rule says no; nothing was changed.
    Refused,
    /// Another node leads.
    NotLeader,
    /// It may or may not have happened.
    Unknown,
}

impl Answered {
    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::NotLeader => "not_leader",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    kind: &'static str,
    result: &'static str,
}

/// The counters of one node. Copies of it count together.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    records: Counter,
    events: Counter,
    commit: Histogram,
    requests: Family<Request, Counter>,
    waiting: Gauge,
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            records: Counter::default(),
            events: Counter::default(),
            // From half a millisecond to eight seconds: beyond ten nobody waits for a commit.
            commit: Histogram::new(exponential_buckets(0.000_5, 2.0, 15)),
            requests: Family::default(),
            waiting: Gauge::default(),
        }
    }
}

impl Counted {
    /// A record was applied here.
    pub(crate) fn applied(&self, events: usize) {
        self.records.inc();
        self.events.inc_by(u64::try_from(events).unwrap_or(u64::MAX));
    }

    /// A record of this node's was made durable.
    pub(crate) fn committed(&self, took: Duration) {
        self.commit.observe(took.as_secs_f64());
    }

    /// A request was answered.
    pub(crate) fn answered(&self, kind: &'static str, result: Answered) {
        self.requests.get_or_create(&Request { kind, result: result.name() }).inc();
    }

    /// So many requests wait to be decided.
    pub(crate) fn waiting(&self, requests: usize) {
        self.waiting.set(i64::try_from(requests).unwrap_or(i64::MAX));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let Self { records, events, commit, requests, waiting } = self;
        registry.register(
            "applied_records",
            "Records of the log that this node has applied since it started",
            records.clone(),
        );
        registry.register("applied_events", "Events in them", events.clone());
        registry.register(
            "commit_seconds",
            "How long a record took to be durable on a majority, while this node led",
            commit.clone(),
        );
        registry.register(
            "requests",
            "Requests that this node has answered, its scheduler's own among them",
            requests.clone(),
        );
        registry.register("requests_waiting", "Requests that wait to be decided", waiting.clone());
    }
}
