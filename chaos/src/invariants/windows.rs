//! Nothing goes forward on a target while none of its windows is open, nor in a blackout, unless somebody said that they do
//! not hold. What is taken back is.

use std::collections::BTreeMap;

use skein_core::event::{Body, Event, LegKind};
use skein_core::hours::{Openings, Span};
use skein_core::ids::{Millis, RolloutId, TargetId};
use skein_core::spec::{Blackout, Knob, Window};

use super::{Held, Invariant, Past};
use crate::observation::Seen;

/// Kept from what is seen: the state's own account is what is checked.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// What the windows of each rollout come to. Who does not say so is held to blackouts alone.
    reckoned: BTreeMap<RolloutId, Openings>,
    /// The last word on whether they hold.
    hold: BTreeMap<RolloutId, bool>,
}

impl Windows {
    fn goes_on(&self, event: &Event, (rollout, id): (RolloutId, &TargetId), past: &Past) -> Held {
        let Some(state) = past.fleet.rollouts.get(&rollout) else { return Ok(()) };
        let Some((_, target)) = past.fleet.target(id) else { return Ok(()) };
        if state.turned || self.hold.get(&rollout) == Some(&false) {
            return Ok(());
        }
        let strategy = &state.plan.spec.strategy;
        let means = |blackout: &&Blackout| blackout.selector.names(id, &target.description);
        let is_on = |it: &Blackout| it.from <= event.at && event.at < it.until;
        if let Some(blackout) = strategy.blackouts.iter().filter(means).find(|it| is_on(it)) {
            return Err(format!(
                "{id} was leased to {rollout} in {} (event {})",
                blackout.called(),
                event.seq
            ));
        }
        let Some(openings) = self.reckoned.get(&rollout) else { return Ok(()) };
        let windows = strategy.windows.iter().zip(&openings.windows);
        let means =
            |(window, _): &(&Window, &Vec<Span>)| window.selector.names(id, &target.description);
        let mut named = windows.filter(means).peekable();
        if named.peek().is_none() || named.any(|(_, spans)| is_open(spans, event.at)) {
            return Ok(());
        }
        Err(format!("{id} was leased to {rollout} outside of its windows (event {})", event.seq))
    }
}

fn is_open(spans: &[Span], at: Millis) -> bool {
    spans.iter().any(|span| span.from <= at && at < span.until)
}

impl Invariant for Windows {
    fn sentence(&self) -> &'static str {
        "nothing goes forward on a target outside of its windows, nor in a blackout"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        match seen {
            Seen::Reckoned { rollout, openings } => {
                self.reckoned.insert(rollout, openings.clone());
            }
            Seen::Event(event) => match &event.body {
                Body::KnobSet { rollout, knob: Knob::Windows(hold) } => {
                    self.hold.insert(*rollout, *hold);
                }
                Body::LegAssigned { rollout, target, kind, .. } if *kind != LegKind::Undo => {
                    return self.goes_on(event, (*rollout, target), past);
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }
}
