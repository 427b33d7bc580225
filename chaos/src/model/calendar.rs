//! What windows come to: a day of the model has 1 440 minutes as well, and is over in seconds.

use std::sync::Arc;

use skein_core::hours::{Hours, Openings, Shut, Span};
use skein_core::ids::{Millis, RolloutId};
use skein_core::spec::window::DAY;
use skein_core::spec::{Blackout, Selector, Spec, Window};
use skein_core::state::rollout::{Phase, State};

use super::Sim;
use super::coverage::Reach;
use super::dice::Dice;
use crate::observation::Seen;

/// A minute.
const MINUTE_MS: u64 = 5;
/// Days that no run is longer than, whatever its clock does.
const DAYS: u64 = 120;

/// When a window is open; after the last fault it stays open.
fn spans(window: &Window, healed: bool, now: Millis) -> Vec<Span> {
    if healed {
        return vec![Span { from: Millis(0), until: Millis(u64::MAX) }];
    }
    let day = u64::from(DAY) * MINUTE_MS;
    let first = (now.0 / day).saturating_sub(3);
    let long = if window.to > window.from {
        window.to - window.from
    } else {
        DAY + window.to - window.from
    };
    let one = |number: u64| {
        let from = (first + number) * day + u64::from(window.from) * MINUTE_MS;
        Span { from: Millis(from), until: Millis(from + u64::from(long) * MINUTE_MS) }
    };
    (0..DAYS).map(one).collect()
}

/// Windows and blackouts for some of the plans. They have dice of their own: whatever else a seed means, it meant
/// before there were any.
pub(super) fn pace(dice: &mut Dice, now: Millis, spec: &mut Spec) {
    if !spec.strategy.windows.is_empty() || !dice.chance(150) {
        return;
    }
    let selector = |dice: &mut Dice| {
        let labels = if dice.chance(500) {
            vec![("ring".to_owned(), vec!["red".to_owned()])]
        } else {
            Vec::new()
        };
        Selector { labels, ..Selector::default() }
    };
    let window = |dice: &mut Dice| {
        let from = dice.below(DAY);
        let to = (from + 200 + dice.below(900)) % DAY;
        Window { selector: selector(dice), from, to, zone: "UTC".to_owned(), ..Window::default() }
    };
    spec.strategy.windows = (0..dice.below(3)).map(|_| window(dice)).collect();
    if dice.chance(400) {
        let from = Millis(now.0 + dice.between(0, 2_000));
        let until = Millis(from.0 + dice.between(1, 4_000));
        let selector = selector(dice);
        spec.strategy.blackouts = vec![Blackout { selector, from, until, ..Blackout::default() }];
    }
}

impl Sim {
    /// What the calendar says now.
    pub(super) fn hours(&mut self) -> Hours {
        let now = self.clock();
        let mut hours = Hours::default();
        let windowed = |state: &&State| !state.plan.spec.strategy.windows.is_empty();
        let states =
            self.leader.ahead.active.iter().filter_map(|id| self.leader.ahead.rollouts.get(id));
        let ids: Vec<RolloutId> = states.filter(windowed).map(|state| state.id).collect();
        for id in ids {
            if !self.openings.contains_key(&id) {
                let Some(state) = self.leader.ahead.rollouts.get(&id) else { continue };
                let windows = state.plan.spec.strategy.windows.iter();
                let windows = windows.map(|window| spans(window, self.healed, now)).collect();
                let openings = Openings { windows };
                self.see(Seen::Reckoned { rollout: id, openings: &openings });
                self.openings.insert(id, Arc::new(openings));
            }
            if let Some(openings) = self.openings.get(&id) {
                hours.rollouts.insert(id, Arc::clone(openings));
            }
        }
        hours
    }

    /// Whether somebody waits for an opening.
    pub(super) fn note_closed(&mut self, hours: &Hours) {
        let now = self.leader.ahead.time;
        let fleet = &self.leader.ahead;
        let waits = hours.rollouts.keys().any(|id| {
            let Some(state) = fleet.rollouts.get(id) else { return false };
            let shut = Shut::new(fleet, state, (hours, now));
            let mut ready = state.lanes.iter().filter(|(_, lane)| lane.phase == Phase::Ready);
            ready.any(|(_, lane)| {
                fleet.targets.get(lane.target).is_some_and(|target| shut.closed(target).is_some())
            })
        });
        if waits {
            self.reach(Reach::OutsideWindow);
        }
    }
}
