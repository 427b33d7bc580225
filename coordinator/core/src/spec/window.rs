//! When a rollout may work on targets: windows of the week, and days without any change. Times of day are the
//! wall clock's in a zone; what they come to as moments is reckoned elsewhere ([`crate::hours`]).

use super::Selector;
use crate::ids::Millis;

/// Minutes of a day.
pub const DAY: u32 = 24 * 60;

/// What becomes of a leg under way when its window closes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AtClose {
    /// It ends the step that it is at, and is given back.
    #[default]
    Stop,
    /// It goes on to its last step.
    Finish,
}

/// A part of the day in which targets may be worked on. A target that no window names may be worked on at any
/// time; one that several name, whenever one of them is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    /// For people.
    pub name: String,
    /// Which targets.
    pub selector: Selector,
    /// Days on which it opens, Monday first. Empty: every day.
    pub days: Vec<u8>,
    /// When it opens, minutes after midnight by the wall clock.
    pub from: u32,
    /// When it closes. Not later than it opens: on the next day. [`DAY`]: at midnight.
    pub to: u32,
    /// Whose wall clock: a name of the time zone database.
    pub zone: String,
    /// What becomes of legs under way.
    pub at_close: AtClose,
}

/// A time in which targets are not worked on, whatever their windows say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blackout {
    /// For people.
    pub name: String,
    /// Which targets.
    pub selector: Selector,
    /// When it begins.
    pub from: Millis,
    /// When it is over.
    pub until: Millis,
    /// In whose words that is told: a name of the time zone database.
    pub zone: String,
}

impl Window {
    /// Why it can never open, or means nothing.
    pub(crate) fn wrong(&self) -> Option<String> {
        let name = self.called();
        if self.selector.condition.is_some() {
            return Some(format!("{name} is given by a condition: windows go by ids and labels"));
        }
        if self.from >= DAY || self.to > DAY {
            return Some(format!("{name} opens or closes at a time that no day has"));
        }
        if self.from == self.to {
            return Some(format!("{name} never opens: it closes when it opens"));
        }
        if self.days.iter().any(|day| *day > 6) {
            return Some(format!("{name} opens on a day that no week has"));
        }
        self.zone.is_empty().then(|| format!("{name} does not say whose wall clock it goes by"))
    }

    /// As people call it.
    pub fn called(&self) -> String {
        if self.name.is_empty() { "a window".to_owned() } else { format!("window {}", self.name) }
    }
}

impl Blackout {
    /// Why it means nothing.
    pub(crate) fn wrong(&self) -> Option<String> {
        if self.selector.condition.is_some() {
            let name = self.called();
            return Some(format!("{name} is given by a condition: blackouts go by ids and labels"));
        }
        (self.from >= self.until).then(|| format!("{} ends before it begins", self.called()))
    }

    /// As people call it.
    pub fn called(&self) -> String {
        match self.name.as_str() {
            "" => "a blackout".to_owned(),
            name => format!("blackout {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Blackout, DAY, Window};
    use crate::ids::Millis;

    #[test]
    fn what_never_opens_is_wrong() {
        let window = |from, to| Window { from, to, zone: "UTC".to_owned(), ..Window::default() };
        for (from, to, fine) in
            [(0, DAY, true), (22 * 60, 5 * 60, true), (60, 60, false), (DAY, 60, false)]
        {
            assert_eq!(window(from, to).wrong().is_none(), fine, "{from} {to}");
        }
        assert!(Window { zone: String::new(), ..window(0, 60) }.wrong().is_some());
        assert!(Window { days: vec![7], ..window(0, 60) }.wrong().is_some());
        let blackout =
            |until| Blackout { from: Millis(5), until: Millis(until), ..Blackout::default() };
        assert!(blackout(6).wrong().is_none() && blackout(5).wrong().is_some());
    }
}
