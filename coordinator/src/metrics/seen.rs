//! What stands in a node's memory anyway, as it is at the moment when somebody asks.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use openraft::async_runtime::WatchReceiver as _;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use skein_core::forecast::{self, Interval};
use skein_core::ids::RolloutId;

use super::names::{PHASES, STATUSES};
use crate::raft::{Machine, Raft};
use crate::round_trip::RoundTrips;
use crate::sessions::Sessions;

/// Rollouts under way that get series of their own: the newest.
const LIVE_MAX: usize = 50;

type Numbers<L> = Family<L, Gauge>;
type Seconds<L> = Family<L, Gauge<f64, AtomicU64>>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Node {
    node: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStatus {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPhase {
    rollout: String,
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    rollout: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Bound {
    rollout: String,
    bound: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Leased {
    what: &'static str,
}

/// Where it is looked up.
pub(crate) struct Seen {
    pub(crate) node: u64,
    pub(crate) raft: Raft,
    pub(crate) machine: Arc<Machine>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) trips: RoundTrips,
}

/// One number without labels.
fn number(registry: &mut Registry, (name, help): (&str, &str), value: u64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(signed(value));
    registry.register(name, help, gauge);
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

impl Seen {
    pub(super) fn register(&self, registry: &mut Registry) {
        let version = env!("CARGO_PKG_VERSION");
        registry.register("build", "Which release runs", Info::new(Version { version }));
        self.consensus(registry);
        self.fleet(registry);
        self.rollouts(registry);
    }

    fn consensus(&self, registry: &mut Registry) {
        let metrics = self.raft.metrics();
        let (leads, term, last, applied, matched, others) = {
            let now = metrics.borrow_watched();
            let matched: Vec<(u64, u64)> = now
                .replication
                .iter()
                .flatten()
                .map(|(node, at)| (*node, at.as_ref().map_or(0, |at| at.index)))
                .collect();
            let members = now.membership_config.membership();
            let others: Vec<u64> =
                members.nodes().map(|(node, _)| *node).filter(|node| *node != self.node).collect();
            (
                now.state.is_leader(),
                now.current_term,
                now.last_log_index.unwrap_or_default(),
                now.last_applied.as_ref().map_or(0, |at| at.index),
                matched,
                others,
            )
        };
        number(registry, ("raft_leader", "1: this node leads, as far as it knows"), leads.into());
        number(registry, ("raft_term", "The term of consensus"), term);
        number(registry, ("raft_last_log_index", "The last entry of this node's log"), last);
        number(
            registry,
            ("raft_applied_index", "The last entry that this node has applied"),
            applied,
        );
        let lag = Numbers::<Node>::default();
        for (node, at) in matched.into_iter().filter(|(node, _)| *node != self.node) {
            lag.get_or_create(&Node { node }).set(signed(last.saturating_sub(at)));
        }
        registry.register(
            "raft_follower_lag_entries",
            "Entries of the log that a follower does not have yet, told by the leader",
            lag,
        );
        let (trips, silent) = (Seconds::<Node>::default(), Seconds::<Node>::default());
        for node in others {
            let distance = self.trips.to(node);
            if let Some(trip) = distance.round_trip {
                trips.get_or_create(&Node { node }).set(trip.as_secs_f64());
            }
            silent.get_or_create(&Node { node }).set(distance.silent.as_secs_f64());
        }
        registry.register("peer_round_trip_seconds", "To another node and back", trips);
        registry.register(
            "peer_silent_seconds",
            "For how long another node has not answered; 0: it answers",
            silent,
        );
    }

    fn fleet(&self, registry: &mut Registry) {
        let (events, targets, agents, legs, asks) = {
            let fleet = self.machine.fleet();
            let legs: usize = fleet.agents.values().map(|agent| agent.legs.len()).sum();
            let asks: usize = fleet.agents.values().map(|agent| agent.asks.len()).sum();
            (fleet.seq.0, fleet.targets.len(), fleet.agents.len(), legs, asks)
        };
        number(registry, ("history_events", "Events of the cluster's history, ever"), events);
        number(registry, ("targets", "Targets that were ever registered"), count(targets));
        number(registry, ("agents_known", "Agents that the log knows"), count(agents));
        let here = self.sessions.presence();
        number(
            registry,
            (
                "agents_connected",
                "Agents that are connected to this node, which leads, and heard of",
            ),
            count(here.slots.len()),
        );
        number(
            registry,
            ("legs_throttled", "Legs that wait for a throttle, as their agents said last"),
            count(here.throttled.len()),
        );
        let leases = Numbers::<Leased>::default();
        leases.get_or_create(&Leased { what: "leg" }).set(signed(count(legs)));
        leases.get_or_create(&Leased { what: "gate" }).set(signed(count(asks)));
        registry.register("leases", "Leases that are out, repairs among the legs", leases);
    }

    fn rollouts(&self, registry: &mut Registry) {
        let by_status = Numbers::<OfStatus>::default();
        let (lanes, steps) = (Numbers::<OfPhase>::default(), Numbers::<OfState>::default());
        let live: Vec<RolloutId> = {
            let fleet = self.machine.fleet();
            for (status, name) in STATUSES {
                let all = fleet.rollouts.values().filter(|state| state.status == status).count();
                by_status.get_or_create(&OfStatus { status: name }).set(signed(count(all)));
            }
            let live: Vec<RolloutId> = fleet.active.iter().rev().take(LIVE_MAX).copied().collect();
            for state in live.iter().filter_map(|id| fleet.rollouts.get(id)) {
                let rollout = state.id.to_string();
                for (phase, name) in PHASES {
                    let all: u64 = state.counts.iter().map(|wave| u64::from(wave.of(phase))).sum();
                    let label = OfPhase { rollout: rollout.clone(), phase: name };
                    lanes.get_or_create(&label).set(signed(all));
                }
                let progress = state.progress;
                for (name, all) in [
                    ("planned", progress.planned),
                    ("applied", progress.applied),
                    ("verified", progress.verified),
                    ("undone", progress.undone),
                ] {
                    let label = OfState { rollout: rollout.clone(), state: name };
                    steps.get_or_create(&label).set(signed(all));
                }
            }
            live
        };
        registry.register("rollouts", "Rollouts by their status", by_status);
        registry.register(
            "rollout_lanes",
            "Targets of a rollout that has not ended, by where they are in it",
            lanes,
        );
        registry.register("rollout_steps", "Steps of a rollout that has not ended", steps);
        let ends = Seconds::<Bound>::default();
        for id in live {
            self.end_of(id, &ends);
        }
        registry.register(
            "rollout_forecast_end_timestamp_seconds",
            "When a rollout will have ended, by what was measured so far",
            ends,
        );
    }

    /// Of one rollout; nothing where not all that is left of it was ever measured.
    fn end_of(&self, id: RolloutId, ends: &Seconds<Bound>) {
        let (now, rest) = {
            let fleet = self.machine.fleet();
            let now = self.machine.now(&fleet);
            (now, fleet.rollouts.get(&id).and_then(|state| forecast::rest(&fleet, state, now)))
        };
        let Some(rest) = rest.filter(|rest| rest.is_whole() && rest.parts > 0) else { return };
        let Interval { p50, p95 } = rest.interval;
        for (bound, ms) in [("p50", p50), ("p95", p95)] {
            let at = std::time::Duration::from_millis(now.0.saturating_add(ms));
            let label = Bound { rollout: id.to_string(), bound };
            ends.get_or_create(&label).set(at.as_secs_f64());
        }
    }
}
