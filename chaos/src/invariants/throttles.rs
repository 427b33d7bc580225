//! No step begins, and no statement or batch of one, while what it waits for was last read as too busy, or could not be read: what nobody can read
//! counts as closed. A good reading holds for its interval and no longer, and for the lease that it was taken under.

use std::collections::BTreeMap;

use skein_core::event::{Body, LegKind};
use skein_core::ids::{Fence, RolloutId, Seq};
use skein_core::spec::{Knob, Setting, Throttle};

use super::{Held, Invariant, Past};
use crate::observation::{Gauged, Seen};

/// Kept from what is seen: the state's own account is what is checked.
#[derive(Debug, Default)]
pub(super) struct Throttles {
    /// What each was set to, in order.
    set: BTreeMap<(RolloutId, String), Vec<(Seq, Setting)>>,
    /// When somebody last had work of a rollout stopped: its half is finished, and nothing holds it back.
    stopped: BTreeMap<RolloutId, Seq>,
    /// The last reading under each lease.
    read: BTreeMap<(Fence, String), Gauged>,
}

impl Throttles {
    /// The loosest limit that whoever works under a lease may know of; `None`: he may know that there is none.
    /// A setting takes its time to reach him.
    fn limit(&self, rollout: RolloutId, throttle: &Throttle, fence: Fence) -> Option<u64> {
        let planned = if throttle.measure.has_limit() { throttle.limit } else { 1 };
        let of = |setting: Setting| match setting {
            Setting::Off => None,
            Setting::On => Some(planned),
            Setting::Time(limit) | Setting::Value(limit) => Some(limit),
        };
        let set = self.set.get(&(rollout, throttle.name.clone())).map_or(&[][..], Vec::as_slice);
        let (before, since) = set.split_at(set.partition_point(|(seq, _)| seq.0 < fence.0));
        let first = before.last().map_or(Setting::On, |(_, setting)| *setting);
        let since = since.iter().map(|(_, setting)| *setting);
        std::iter::once(first)
            .chain(since)
            .map(of)
            .try_fold(0, |most, limit| Some(most.max(limit?)))
    }

    fn goes_on(&self, fence: Fence, at: u64, past: &Past) -> Held {
        let rollout = past.grants.get(&fence).map(|grant| grant.rollout);
        let stopped = rollout.and_then(|rollout| self.stopped.get(&rollout));
        if stopped.is_some_and(|stopped| fence.0 < stopped.0) {
            return Ok(());
        }
        self.begins(fence, at, past)
    }

    fn begins(&self, fence: Fence, at: u64, past: &Past) -> Held {
        // One without a lease is for others to say.
        let Some((grant, state)) = past.granted(fence) else { return Ok(()) };
        let back = past.lane(state, &grant.target).is_some_and(|lane| lane.unwind);
        let Some((_, target)) = past.fleet.target(&grant.target) else { return Ok(()) };
        if grant.kind != LegKind::Forward || state.turned || back {
            return Ok(());
        }
        let means = |one: &&Throttle| one.selector.names(&grant.target, &target.description);
        for throttle in state.plan.spec.strategy.throttles.iter().filter(means) {
            let Some(limit) = self.limit(state.id, throttle, fence) else { continue };
            let name = &throttle.name;
            let wrong = match self.read.get(&(fence, name.clone())) {
                None => "was not read".to_owned(),
                Some(Gauged { value: None, .. }) => "could not be read".to_owned(),
                Some(Gauged { value: Some(value), .. }) if *value >= limit => {
                    format!("was {value}, which is not below {limit}")
                }
                Some(read) if read.at.saturating_add(throttle.interval_ms) <= at => {
                    let age = at.saturating_sub(read.at);
                    format!("was read {age} ms before, and holds for {}", throttle.interval_ms)
                }
                Some(_) => continue,
            };
            return Err(format!(
                "something of {} on {} began under fence {fence}, and `{name}` {wrong}",
                state.id, grant.target
            ));
        }
        Ok(())
    }
}

impl Invariant for Throttles {
    fn sentence(&self) -> &'static str {
        "no step begins or goes on while what holds it back was last read as closed, could not be read, or was read too long ago"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        match seen {
            Seen::Gauged(read) => {
                self.read.insert((read.fence, read.throttle.clone()), read.clone());
            }
            Seen::Event(event) => match &event.body {
                Body::KnobSet { rollout, knob: Knob::Throttle(name, setting) } => {
                    let set = self.set.entry((*rollout, name.clone())).or_default();
                    set.push((event.seq, *setting));
                }
                Body::RolloutPaused { rollout, .. }
                | Body::RolloutAborted { rollout, .. }
                | Body::RollbackStarted { rollout, .. }
                | Body::LanesHeld { rollout, .. }
                | Body::LanesAborted { rollout, .. }
                | Body::LanesCancelled { rollout, .. } => {
                    self.stopped.insert(*rollout, event.seq);
                }
                _ => {}
            },
            Seen::GoesOn { fence, at } => return self.goes_on(fence, at, past),
            Seen::Begins { fence, at } => return self.begins(fence, at, past),
            _ => {}
        }
        Ok(())
    }
}
