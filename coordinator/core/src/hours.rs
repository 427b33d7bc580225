//! When targets may be worked on: windows, blackouts and freezes, and why not now. The core knows no calendar:
//! whoever asks has reckoned which moments the windows of a strategy come to, and says how a moment is written.
//!
//! What holds: windows and blackouts hold back what goes forward, trials included; what is being taken back
//! goes on, since a half-done change is worse by day than at night. A freeze holds back both.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::ids::{FreezeId, Millis, RolloutId};
use crate::spec::{AtClose, Blackout, Strategy, Window};
use crate::state::rollout::State;
use crate::state::{Fleet, freeze, target};

/// So often a target's next opening is looked for behind another thing that closes it.
const LOOKS: usize = 10_000;

/// From a moment on until before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// It begins.
    pub from: Millis,
    /// It is over.
    pub until: Millis,
}

/// When the windows of a strategy are open, as far ahead as anybody reckons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Openings {
    /// For each window of the strategy: in order, none touching another.
    pub windows: Vec<Vec<Span>>,
}

impl Openings {
    /// Whether a window is open.
    fn is_open(&self, window: usize, at: Millis) -> bool {
        self.next(window, at).is_some_and(|span| span.from <= at)
    }

    /// The span that a window is open for at a time, or the next one.
    fn next(&self, window: usize, at: Millis) -> Option<Span> {
        let spans = self.windows.get(window)?;
        spans.get(spans.partition_point(|span| span.until <= at)).copied()
    }
}

/// How a moment is written: `at` in a zone, read at the other moment.
pub type Spell = fn(at: Millis, now: Millis, zone: &str) -> String;

/// What the calendar says. The leader's memory, like who is connected: none of it is an event.
#[derive(Debug, Clone)]
pub struct Hours {
    /// Of each rollout that has windows.
    pub rollouts: BTreeMap<RolloutId, Arc<Openings>>,
    /// How a moment is written.
    pub spell: Spell,
}

impl Default for Hours {
    fn default() -> Self {
        Self { rollouts: BTreeMap::new(), spell: |at, _, zone| format!("{at} {zone}") }
    }
}

/// Why a target may not be worked on, as of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed<'a> {
    /// Somebody froze it.
    Frozen(FreezeId, &'a freeze::State),
    /// A blackout is on.
    Blackout(&'a Blackout),
    /// None of its windows is open: one of them.
    Window(&'a Window),
}

/// Why, and the next moment at which nothing closes it; `None`: none that anybody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait<'a> {
    /// Why.
    pub closed: Closed<'a>,
    /// Until when.
    pub until: Option<Millis>,
}

/// Which freeze holds a target back; of several, the one that lasts longest.
pub fn frozen<'a>(
    fleet: &'a Fleet,
    target: &target::State,
    now: Millis,
) -> Option<(FreezeId, &'a freeze::State)> {
    let mut holds = fleet.freezes.iter().filter(|(_, it)| it.holds(now) && it.means(target));
    let first = holds.next()?;
    let later = |one: &freeze::State, other: &freeze::State| match (one.until, other.until) {
        (_, None) => other.until.is_none() && one.until.is_some(),
        (None, Some(_)) => false,
        (Some(one), Some(other)) => other > one,
    };
    let longest = holds.fold(first, |one, other| if later(one.1, other.1) { other } else { one });
    Some((*longest.0, longest.1))
}

/// What closes the targets of one rollout, looked up once for many targets.
#[derive(Debug)]
pub struct Shut<'a> {
    /// What is frozen; `None`: not asked about.
    fleet: Option<&'a Fleet>,
    strategy: &'a Strategy,
    openings: Option<&'a Openings>,
    hours: &'a Hours,
    now: Millis,
    /// Nothing but freezes holds: what was done is being taken back, or somebody said so.
    open: bool,
    /// Something may be closed now.
    any: bool,
}

impl<'a> Shut<'a> {
    /// As it is at a time.
    pub fn new(fleet: &'a Fleet, state: &'a State, (hours, now): (&'a Hours, Millis)) -> Self {
        let strategy = &state.plan.spec.strategy;
        let openings = hours.rollouts.get(&state.id).map(Arc::as_ref);
        let open = state.turned || !state.windows();
        let fleet = Some(fleet);
        let mut shut = Self { fleet, strategy, openings, hours, now, open, any: false };
        shut.any = fleet
            .is_some_and(|fleet| fleet.freezes.values().any(|freeze| freeze.holds(now)))
            || strategy.blackouts.iter().any(|blackout| is_on(blackout, now))
            || (0..strategy.windows.len()).any(|window| !shut.is_open(window, now));
        shut
    }

    /// The time at which it was looked up.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// What nobody has reckoned is closed.
    fn is_open(&self, window: usize, at: Millis) -> bool {
        self.openings.is_some_and(|openings| openings.is_open(window, at))
    }

    /// Why a target may not be worked on now.
    pub fn closed(&self, target: &target::State) -> Option<Closed<'a>> {
        if !self.any {
            return None;
        }
        self.closed_at(target, self.now)
    }

    fn closed_at(&self, target: &target::State, at: Millis) -> Option<Closed<'a>> {
        if let Some((id, freeze)) = self.fleet.and_then(|fleet| frozen(fleet, target, at)) {
            return Some(Closed::Frozen(id, freeze));
        }
        if self.open {
            return None;
        }
        let mut blackouts = self.blackouts(target).filter(|blackout| is_on(blackout, at));
        if let Some(blackout) = blackouts.next() {
            return Some(Closed::Blackout(blackout));
        }
        let mut first = None;
        for (number, window) in self.windows(target) {
            if self.is_open(number, at) {
                return None;
            }
            first = first.or(Some(window));
        }
        first.map(Closed::Window)
    }

    fn blackouts(&self, target: &target::State) -> impl Iterator<Item = &'a Blackout> {
        let names = |it: &&Blackout| it.selector.names(&target.id, &target.description);
        self.strategy.blackouts.iter().filter(names)
    }

    fn windows(&self, target: &target::State) -> impl Iterator<Item = (usize, &'a Window)> {
        let names = |(_, it): &(usize, &Window)| it.selector.names(&target.id, &target.description);
        self.strategy.windows.iter().enumerate().filter(names)
    }

    /// The same, and until when.
    pub fn wait(&self, target: &target::State) -> Option<Wait<'a>> {
        let closed = self.closed(target)?;
        Some(Wait { until: self.opens(target), closed: self.nearest(target, closed) })
    }

    /// Of several windows that are closed, the one that opens first.
    fn nearest(&self, target: &target::State, closed: Closed<'a>) -> Closed<'a> {
        let Closed::Window(_) = closed else { return closed };
        let next = |number| self.openings?.next(number, self.now).map(|span| span.from);
        let windows = self.windows(target).filter_map(|(number, it)| Some((next(number)?, it)));
        windows.min_by_key(|(from, _)| *from).map_or(closed, |(_, window)| Closed::Window(window))
    }

    /// The next moment at which nothing closes a target.
    fn opens(&self, target: &target::State) -> Option<Millis> {
        let mut at = self.now;
        for _ in 0..LOOKS {
            at = match self.closed_at(target, at) {
                None => return Some(at),
                Some(Closed::Frozen(_, freeze)) => freeze.until?,
                Some(Closed::Blackout(blackout)) => blackout.until,
                Some(Closed::Window(_)) => {
                    let openings = self.openings?;
                    let next = self.windows(target).filter_map(|(ix, _)| openings.next(ix, at));
                    next.map(|span| span.from).min()?
                }
            };
        }
        None
    }

    /// When a target that may be worked on now may be no more; `None`: nothing that anybody knows of closes
    /// it, or it is closed.
    pub fn closes(&self, target: &target::State) -> Option<Millis> {
        if self.open || self.closed(target).is_some() {
            return None;
        }
        let blackouts = self.blackouts(target).map(|it| it.from).filter(|from| *from > self.now);
        let window = self.windows(target).next().and_then(|_| self.shuts(target));
        blackouts.chain(window).min()
    }

    /// When none of its windows is open any more.
    fn shuts(&self, target: &target::State) -> Option<Millis> {
        let openings = self.openings?;
        let mut at = self.now;
        for _ in 0..LOOKS {
            let open = self.windows(target).filter_map(|(ix, _)| openings.next(ix, at));
            match open.filter(|span| span.from <= at).map(|span| span.until).max() {
                Some(until) => at = until,
                None => return Some(at),
            }
        }
        Some(at)
    }

    /// Why a leg that is under way is to end its step and be given back; `None`: it goes on.
    pub fn stops(&self, target: &target::State) -> Option<String> {
        match self.closed(target)? {
            Closed::Window(_)
                if self.windows(target).any(|(_, it)| it.at_close == AtClose::Finish) =>
            {
                None
            }
            Closed::Window(window) => Some(format!("{} has closed", window.called())),
            Closed::Blackout(blackout) => Some(format!("{} has begun", blackout.called())),
            Closed::Frozen(id, freeze) => {
                Some(format!("{id}: {} froze it: {}", freeze.by, freeze.reason))
            }
        }
    }

    /// In words.
    pub fn say(&self, wait: &Wait<'_>) -> String {
        let until = |zone: &str| {
            wait.until.map(|at| {
                let left = Left(at.0.saturating_sub(self.now.0));
                format!("until {} (in {left})", (self.hours.spell)(at, self.now, zone))
            })
        };
        let unknown = || "and when it opens again is not known".to_owned();
        match &wait.closed {
            Closed::Window(window) => {
                let until = until(&window.zone).unwrap_or_else(unknown);
                format!("outside its window {until}")
            }
            Closed::Blackout(blackout) => {
                let until = until(&blackout.zone).unwrap_or_else(unknown);
                let name = match blackout.name.as_str() {
                    "" => String::new(),
                    name => format!(" ({name})"),
                };
                format!("blacked out{name} {until}")
            }
            Closed::Frozen(id, freeze) => {
                let until = match (until("UTC"), freeze.until) {
                    (Some(until), _) => until,
                    (None, Some(_)) => unknown(),
                    (None, None) => format!("until somebody says `skein thaw {id}`"),
                };
                format!("frozen by {} ({}) {until}", freeze.by, freeze.reason)
            }
        }
    }
}

impl<'a> Shut<'a> {
    /// The same for a plan that nobody has started.
    pub fn of_plan(
        fleet: &'a Fleet,
        (strategy, openings): (&'a Strategy, &'a Openings),
        (hours, now): (&'a Hours, Millis),
    ) -> Self {
        let openings = Some(openings);
        Self { fleet: Some(fleet), strategy, openings, hours, now, open: false, any: true }
    }
}

/// The first of some targets that the windows and blackouts of a strategy never let anybody work on, as far
/// ahead as they are reckoned, with one of its windows.
pub fn never_open<'a>(
    strategy: &'a Strategy,
    openings: &'a Openings,
    now: Millis,
    targets: impl Iterator<Item = &'a target::State>,
) -> Option<(&'a target::State, &'a Window)> {
    let hours = Hours::default();
    let openings = Some(openings);
    let (fleet, open, any) = (None, false, true);
    let shut = Shut { fleet, strategy, openings, hours: &hours, now, open, any };
    for target in targets {
        if shut.opens(target).is_none()
            && let Some((number, _)) = shut.windows(target).next()
        {
            return Some((target, strategy.windows.get(number)?));
        }
    }
    None
}

/// Whether a leg that is under way on a target has to be given back because of the time.
pub fn stops(
    fleet: &Fleet,
    target: &target::State,
    (hours, now): (&Hours, Millis),
) -> Option<String> {
    let (rollout, _) = target.lane?;
    let state = fleet.rollouts.get(&rollout)?;
    Shut::new(fleet, state, (hours, now)).stops(target)
}

fn is_on(blackout: &Blackout, at: Millis) -> bool {
    blackout.from <= at && at < blackout.until
}

/// What is open and what is on at a time, for rollouts that may still do something: where two answers differ,
/// legs under way are to be looked at.
pub fn standing(fleet: &Fleet, hours: &Hours, now: Millis) -> Vec<bool> {
    let mut standing: Vec<bool> = fleet.freezes.values().map(|it| it.holds(now)).collect();
    for state in fleet.active.iter().filter_map(|id| fleet.rollouts.get(id)) {
        let strategy = &state.plan.spec.strategy;
        let openings = hours.rollouts.get(&state.id);
        standing.push(state.windows());
        standing.extend(strategy.blackouts.iter().map(|blackout| is_on(blackout, now)));
        standing.extend(
            (0..strategy.windows.len())
                .map(|window| openings.is_some_and(|openings| openings.is_open(window, now))),
        );
    }
    standing
}

/// The next moment at which that changes.
pub fn changes(fleet: &Fleet, hours: &Hours, now: Millis) -> Option<Millis> {
    let freezes = fleet.freezes.values().filter_map(|freeze| freeze.until);
    let states = fleet.active.iter().filter_map(|id| fleet.rollouts.get(id));
    let blackouts = states.flat_map(|state| &state.plan.spec.strategy.blackouts);
    let blackouts = blackouts.flat_map(|blackout| [blackout.from, blackout.until]);
    let active = hours.rollouts.iter().filter(|(id, _)| fleet.active.contains(id));
    let windows = active.flat_map(|(_, openings)| {
        let next = (0..openings.windows.len()).filter_map(|window| openings.next(window, now));
        next.flat_map(|span| [span.from, span.until])
    });
    freezes.chain(blackouts).chain(windows).filter(|at| *at > now).min()
}

/// A length of time, for people: its two greatest units.
pub(crate) struct Left(pub(crate) u64);

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_ceil(1_000);
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        if days > 0 {
            write!(f, "{days} d {} h", hours % 24)
        } else if hours > 0 {
            write!(f, "{hours} h {} min", minutes % 60)
        } else if minutes > 0 {
            write!(f, "{minutes} min")
        } else {
            write!(f, "{seconds} s")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Left, Millis, Openings, Span};

    #[test]
    fn lengths_are_told_in_two_units() {
        for (seconds, said) in [
            (5, "5 s"),
            (60, "1 min"),
            (11_520, "3 h 12 min"),
            (86_400, "1 d 0 h"),
            (100_000, "1 d 3 h"),
        ] {
            assert_eq!(Left(seconds * 1_000).to_string(), said);
        }
    }

    #[test]
    fn a_span_ends_before_its_end() {
        let span = |from, until| Span { from: Millis(from), until: Millis(until) };
        let openings = Openings { windows: vec![vec![span(10, 20), span(30, 40)]] };
        for (at, open) in [(9, false), (10, true), (19, true), (20, false), (39, true), (40, false)]
        {
            assert_eq!(openings.is_open(0, Millis(at)), open, "{at}");
        }
        assert_eq!(openings.next(0, Millis(20)), Some(span(30, 40)));
        assert_eq!(openings.next(0, Millis(40)), None);
    }
}
