//! How far the other nodes are: each is asked again and again who it is, over the connection that consensus
//! uses, and what counts is the time until the answer.

use openraft::async_runtime::WatchReceiver as _;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bootstrap::introduce;
use crate::config::NEAR_PERCENT;
use crate::raft::{Identity, Peers, Raft};

/// Between two questions.
const EVERY: Duration = Duration::from_secs(2);
/// So many answers are remembered; the middle one of them counts, so that one busy moment does not.
const KEPT: usize = 9;
/// A node that is silent for so long is worth a word.
const SILENT: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Measured {
    took: VecDeque<Duration>,
    silent_since: Option<Instant>,
    /// It was said that it is far away.
    told: bool,
}

impl Measured {
    fn usual(&self) -> Option<Duration> {
        let mut took: Vec<Duration> = self.took.iter().copied().collect();
        took.sort_unstable();
        took.get(took.len().saturating_sub(1) / 2).copied()
    }
}

/// What was measured, by node.
#[derive(Debug, Clone)]
pub(crate) struct RoundTrips {
    /// What the timing leaves room for.
    provided: Duration,
    nodes: Arc<Mutex<BTreeMap<u64, Measured>>>,
}

/// One node, as it was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Distance {
    /// `None`: it has not answered yet.
    pub(crate) round_trip: Option<Duration>,
    /// How long it has not answered; zero: it answers.
    pub(crate) silent: Duration,
}

impl RoundTrips {
    pub(crate) fn new(provided_ms: u64) -> Self {
        Self { provided: Duration::from_millis(provided_ms), nodes: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Measured>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the timing leaves room for.
    pub(crate) fn provided(&self) -> Duration {
        self.provided
    }

    /// How far a node is.
    pub(crate) fn to(&self, node: u64) -> Distance {
        let nodes = self.lock();
        let Some(measured) = nodes.get(&node) else { return Distance::default() };
        Distance {
            round_trip: measured.usual(),
            silent: measured.silent_since.map_or(Duration::ZERO, |since| since.elapsed()),
        }
    }

    /// What should be looked at, a sentence for each node.
    pub(crate) fn concerns(&self) -> Vec<String> {
        let nodes: Vec<u64> = self.lock().keys().copied().collect();
        nodes.into_iter().filter_map(|node| self.concern(node)).collect()
    }

    fn concern(&self, node: u64) -> Option<String> {
        let Distance { round_trip, silent } = self.to(node);
        if silent >= SILENT {
            return Some(format!("node {node} has not answered for {} s", silent.as_secs()));
        }
        far(node, (round_trip?, self.provided))
    }

    fn answered(&self, node: u64, took: Duration) {
        let mut nodes = self.lock();
        let measured = nodes.entry(node).or_default();
        measured.silent_since = None;
        measured.took.truncate(KEPT - 1);
        measured.took.push_front(took);
        let far = measured.usual().and_then(|usual| far(node, (usual, self.provided)));
        if let Some(far) = far.as_ref().filter(|_| !measured.told) {
            tracing::warn!("{far}");
        }
        measured.told = far.is_some();
    }

    fn kept_silent(&self, node: u64, since: Instant) {
        self.lock().entry(node).or_default().silent_since.get_or_insert(since);
    }

    /// Nodes that are no members are forgotten.
    fn keep(&self, nodes: &[(u64, String)]) {
        self.lock().retain(|node, _| nodes.iter().any(|(member, _)| member == node));
    }
}

/// What is to be said of a node that is nearly as far away as was provided for, or farther.
fn far(node: u64, (round_trip, provided): (Duration, Duration)) -> Option<String> {
    if round_trip.as_micros() * 100 < provided.as_micros() * u128::from(NEAR_PERCENT) {
        return None;
    }
    let ms = round_trip.as_millis();
    let room = (ms * 3 / 2).next_multiple_of(10);
    Some(format!(
        "node {node} is {ms} ms away and back, and the timing provides for {} ms: elections may begin that \
         nobody needs; say `round_trip_ms = {room}` in every coordinator.toml, and restart one node after \
         another",
        provided.as_millis()
    ))
}

/// Runs until the node stops.
pub(crate) async fn measure(
    identity: Identity,
    raft: Raft,
    peers: Peers,
    (trips, stop): (RoundTrips, CancellationToken),
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let others = others(&raft, identity.node);
        trips.keep(&others);
        let asked = others.iter().map(async |(node, address)| {
            let since = Instant::now();
            match introduce(&peers, &identity, (*node, address)).await {
                Ok(_) => trips.answered(*node, since.elapsed()),
                Err(_) => trips.kept_silent(*node, since),
            }
        });
        tokio::select! {
            () = stop.cancelled() => return,
            _ = join_all(asked) => {}
        }
    }
}

fn others(raft: &Raft, own: u64) -> Vec<(u64, String)> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    let others = membership.nodes().filter(|(node, _)| **node != own);
    others.map(|(node, at)| (*node, at.addr.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_late_answer_is_no_distance() {
        let trips = RoundTrips::new(120);
        let ms = Duration::from_millis;
        assert_eq!(trips.to(2), Distance::default());
        for took in [400, 80, 82, 81] {
            trips.answered(2, ms(took));
        }
        assert_eq!(trips.to(2).round_trip, Some(ms(81)));
        assert!(trips.concerns().is_empty());
        for _ in 0..KEPT {
            trips.answered(2, ms(96));
        }
        let concerns = trips.concerns();
        assert_eq!(concerns.len(), 1);
        for words in ["node 2 is 96 ms", "provides for 120 ms", "round_trip_ms = 150"] {
            assert!(concerns[0].contains(words), "{concerns:?}");
        }
        trips.keep(&[]);
        assert!(trips.concerns().is_empty());
    }

    #[test]
    fn a_node_that_does_not_answer_is_named_until_it_does() {
        let trips = RoundTrips::new(25);
        trips.answered(3, Duration::from_millis(1));
        let seven = Instant::now().checked_sub(Duration::from_secs(7)).unwrap();
        trips.kept_silent(3, seven);
        trips.kept_silent(3, Instant::now());
        assert_eq!(trips.concerns(), ["node 3 has not answered for 7 s"]);
        trips.answered(3, Duration::from_millis(1));
        assert!(trips.concerns().is_empty());
    }
}
