//! What throttles and windows come to in the simulation, said to the invariants beside what the log and the ledgers say.
//!
//! When an executor has measured something nobody sees from outside. What it can have read at the best is known: the
//! answers are functions of the wall clock ([`crate::strategy`]).

use skein_chaos::observation::{Gauged, Seen};
use skein_core::event::{Body, Event};
use skein_core::hours::{Openings, Span};
use skein_core::ids::{Fence, Millis};
use skein_core::spec::Window;

use crate::strategy::{BLIND, is_busy};
use crate::watch::Watcher;
use crate::world::world;

/// The wall clock at the beginning, seconds: 22:13:20 UTC.
const WALL: u64 = 1_700_000_000;
/// Midnight before it.
const MIDNIGHT: u64 = 1_699_920_000;
/// From the measuring to the step's being on the disk, seconds, at the most that this holds anybody to.
const SLACK: u64 = 5;
/// From the schedule to the event.
const DECIDED_MS: u64 = 2_000;

/// Whether somebody may have read that it is not too much, within the slack.
fn may_be_free(now: u64) -> bool {
    let (set_clock, skews) = world(|world| {
        let skew = |host: &str| world.skews.get(host).copied().unwrap_or_default();
        (world.set_clock, ["agent-1", "agent-2"].map(skew))
    });
    let moved = set_clock > 0 && set_clock + 1_000 * (SLACK + 1) > now;
    let free = |skew: i64| {
        let wall = (WALL + now / 1_000).saturating_add_signed(skew.div_euclid(1_000_000_000));
        (wall.saturating_sub(SLACK)..=wall + 1).any(|at| !is_busy(at))
    };
    moved || skews.into_iter().any(free)
}

fn spans(window: &Window) -> Vec<Span> {
    let from = MIDNIGHT + u64::from(window.from) * 60;
    let until = MIDNIGHT + u64::from(window.to) * 60;
    vec![Span { from: Millis(from * 1_000), until: Millis(until * 1_000 + DECIDED_MS) }]
}

impl Watcher {
    /// A step was carried out under this fence, just now.
    pub(crate) fn throttles(&mut self, fence: Fence, now: u64) {
        let leg = usize::try_from(fence.0).ok().and_then(|place| self.events().get(place));
        let Some(Body::LegAssigned { rollout, .. }) = leg.map(|event| &event.body) else { return };
        let Some(state) = self.fleet().rollouts.get(rollout) else { return };
        let throttles = state.plan.spec.strategy.throttles.iter();
        let names: Vec<String> = throttles.map(|throttle| throttle.name.clone()).collect();
        if names.is_empty() {
            return;
        }
        for throttle in names {
            let value = if throttle == BLIND {
                None
            } else {
                Some(if may_be_free(now) { 0 } else { 1_000 })
            };
            self.see(Seen::Gauged(&Gauged { fence, throttle, value, at: now }));
        }
        self.see(Seen::Begins { fence, at: now });
    }

    /// A plan with windows is in the log.
    pub(crate) fn windows(&mut self, event: &Event) {
        let Body::RolloutPlanned { rollout, plan, .. } = &event.body else { return };
        let windows = plan.spec.strategy.windows.iter().map(spans).collect();
        self.see(Seen::Reckoned { rollout: *rollout, openings: &Openings { windows } });
    }
}
