//! What the windows of rollouts come to as moments, and how a moment is written: the one place that knows a
//! calendar. The core is told ([`skein_core::hours`]).
//!
//! A window is open whenever the wall clock of its zone shows a time in it. Where the clocks are put forward
//! the hour that is left out opens nothing; where they are put back, a time that comes twice is in the window
//! twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use skein_core::Fleet;
use skein_core::hours::{Hours, Openings, Span};
use skein_core::ids::{Millis, RolloutId};
use skein_core::spec::window::DAY;
use skein_core::spec::{Strategy, Window};

/// So far ahead windows are reckoned, days: more than a year, so that each is seen through all that a year's
/// calendar has for it.
const AHEAD: i64 = 400;
/// A reckoning serves so long.
const FRESH_MS: u64 = 24 * 60 * 60 * 1_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The reckonings of rollouts under way.
#[derive(Debug, Default)]
pub(crate) struct Calendar {
    known: Mutex<BTreeMap<RolloutId, (Millis, Arc<Openings>)>>,
}

impl Calendar {
    /// What it says now, of rollouts that may still do something.
    pub(crate) fn hours(&self, fleet: &Fleet, now: Millis) -> Hours {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, (at, _)| fleet.active.contains(id) && now.0.abs_diff(at.0) < FRESH_MS);
        let states = fleet.active.iter().filter_map(|id| fleet.rollouts.get(id));
        let rollouts = states.filter(|state| !state.plan.spec.strategy.windows.is_empty());
        let rollouts = rollouts.map(|state| {
            let (_, openings) = known.entry(state.id).or_insert_with(|| {
                (now, Arc::new(reckon(&state.plan.spec.strategy, now).unwrap_or_else(|why| {
                    // Closed: who knows no zone opens nothing.
                    tracing::error!(rollout = %state.id, why, "its windows cannot be reckoned here");
                    Openings::default()
                })))
            });
            (state.id, Arc::clone(openings))
        });
        Hours { rollouts: rollouts.collect(), spell }
    }
}

/// When each window of a strategy is open from now on.
///
/// # Errors
/// The zone that nobody knows.
pub(crate) fn reckon(strategy: &Strategy, now: Millis) -> Result<Openings, String> {
    let windows = strategy.windows.iter().map(|window| spans(window, now));
    Ok(Openings { windows: windows.collect::<Result<_, _>>()? })
}

fn zone(name: &str) -> Result<TimeZone, String> {
    let known = TimeZone::get(name).ok().filter(|_| name.contains('/') || name == "UTC");
    known
        .ok_or_else(|| format!("`{name}` is no time zone: write one such as Europe/Berlin, or UTC"))
}

fn timestamp(at: Millis) -> Timestamp {
    i64::try_from(at.0).ok().and_then(|at| Timestamp::from_millisecond(at).ok()).unwrap_or_default()
}

fn millis(at: i64) -> Millis {
    Millis(u64::try_from(at).unwrap_or_default())
}

/// A time in which the zone's clocks are at one distance from UTC, milliseconds.
struct Regime {
    from: i64,
    until: i64,
    offset: i64,
}

fn regimes(zone: &TimeZone, from: i64, until: i64) -> Vec<Regime> {
    let at = |at: i64| Timestamp::from_millisecond(at).unwrap_or_default();
    let ms = |offset: Offset| i64::from(offset.seconds()) * 1_000;
    let mut regimes = vec![Regime { from, until, offset: ms(zone.to_offset(at(from))) }];
    for change in zone.following(at(from)) {
        let moment = change.timestamp().as_millisecond();
        if moment >= until {
            break;
        }
        if let Some(last) = regimes.last_mut() {
            last.until = moment;
        }
        regimes.push(Regime { from: moment, until, offset: ms(change.offset()) });
    }
    regimes
}

/// A wall clock's time as if it stood in UTC, milliseconds.
fn as_utc(time: DateTime) -> i64 {
    TimeZone::UTC.to_timestamp(time).map_or(0, Timestamp::as_millisecond)
}

fn spans(window: &Window, now: Millis) -> Result<Vec<Span>, String> {
    let zone = zone(&window.zone)?;
    let today = zone.to_datetime(timestamp(now)).date();
    // One that opened yesterday may be open still.
    let first = today.checked_sub(SignedDuration::from_hours(48)).unwrap_or(today);
    let begins = as_utc(first.at(0, 0, 0, 0)) - DAY_MS;
    let regimes = regimes(&zone, begins, begins + (AHEAD + 4) * DAY_MS);
    let mut spans: Vec<Span> = Vec::new();
    let mut day: Date = first;
    for _ in 0..AHEAD {
        let number = u8::try_from(day.weekday().to_monday_zero_offset()).unwrap_or_default();
        if window.days.is_empty() || window.days.contains(&number) {
            let midnight = as_utc(day.at(0, 0, 0, 0));
            let minutes = |minutes: u32| i64::from(minutes) * 60_000;
            let over = if window.to <= window.from { minutes(DAY) } else { 0 };
            let (from, to) =
                (midnight + minutes(window.from), midnight + minutes(window.to) + over);
            for regime in &regimes {
                let from = (from - regime.offset).max(regime.from);
                let until = (to - regime.offset).min(regime.until);
                if from < until {
                    spans.push(Span { from: millis(from), until: millis(until) });
                }
            }
        }
        let Ok(next) = day.tomorrow() else { break };
        day = next;
    }
    Ok(joined(spans))
}

/// In order, with those that touch made one.
fn joined(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable_by_key(|span| (span.from, span.until));
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.from <= last.until => last.until = last.until.max(span.until),
            Some(_) | None => joined.push(span),
        }
    }
    joined
}

/// `22:00 Europe/Berlin`; with the day, where that is not within the next 24 hours.
fn spell(at: Millis, now: Millis, name: &str) -> String {
    let known = zone(name).unwrap_or(TimeZone::UTC);
    let local = known.to_datetime(timestamp(at));
    let near = at.0.saturating_sub(now.0) < FRESH_MS;
    let clock = local.strftime("%H:%M");
    if near {
        return format!("{clock} {name}");
    }
    format!("{} {} {clock} {name}", weekday(local.weekday()), local.date())
}

fn weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    }
}

#[cfg(test)]
mod tests {
    use skein_core::ids::Millis;
    use skein_core::spec::Window;

    use super::{joined, spans, spell, timestamp};

    fn at(text: &str) -> Millis {
        let time: jiff::Timestamp = text.parse().expect("a time can be read");
        Millis(u64::try_from(time.as_millisecond()).expect("after 1970"))
    }

    /// `22:00-05:00`.
    fn window(hours: &str, zone: &str, days: &[u8]) -> Window {
        let minutes = |text: &str| {
            let (hours, minutes) = text.split_once(':').expect("a time of day");
            hours.parse::<u32>().expect("hours") * 60 + minutes.parse::<u32>().expect("minutes")
        };
        let (from, to) = hours.split_once('-').expect("two times");
        Window {
            from: minutes(from),
            to: minutes(to),
            zone: zone.to_owned(),
            days: days.to_vec(),
            ..Window::default()
        }
    }

    /// The first spans that are not over.
    fn told(window: &Window, now: &str, count: usize) -> Vec<String> {
        let now = at(now);
        let spans = spans(window, now).expect("the zone is known");
        let left = spans.iter().filter(|span| span.until > now).take(count);
        left.map(|span| format!("{} {}", timestamp(span.from), timestamp(span.until))).collect()
    }

    #[test]
    fn over_midnight_it_belongs_to_the_day_on_which_it_opens() {
        let window = window("22:00-05:00", "Europe/Berlin", &[4]);
        // A Saturday, 01:00 in Berlin: open since Friday.
        assert_eq!(
            told(&window, "2026-11-28T00:00:00Z", 2),
            [
                "2026-11-27T21:00:00Z 2026-11-28T04:00:00Z",
                "2026-12-04T21:00:00Z 2026-12-05T04:00:00Z"
            ]
        );
    }

    #[test]
    fn the_hour_that_is_left_out_opens_nothing() {
        // Berlin goes from 02:00 to 03:00 on 29 March 2026, at 01:00 UTC.
        let night = "2026-03-28T12:00:00Z";
        for (hours, spans) in [
            ("02:15-02:45", vec!["2026-03-30T00:15:00Z 2026-03-30T00:45:00Z"]),
            ("02:30-04:00", vec!["2026-03-29T01:00:00Z 2026-03-29T02:00:00Z"]),
            ("01:30-02:30", vec!["2026-03-29T00:30:00Z 2026-03-29T01:00:00Z"]),
            ("22:00-05:00", vec!["2026-03-28T21:00:00Z 2026-03-29T03:00:00Z"]),
        ] {
            assert_eq!(told(&window(hours, "Europe/Berlin", &[]), night, 1), spans, "{hours}");
        }
    }

    #[test]
    fn a_time_that_comes_twice_is_in_the_window_twice() {
        // Berlin goes from 03:00 back to 02:00 on 25 October 2026, at 01:00 UTC.
        let night = "2026-10-24T20:30:00Z";
        for (hours, spans) in [
            (
                "02:15-02:45",
                vec![
                    "2026-10-25T00:15:00Z 2026-10-25T00:45:00Z",
                    "2026-10-25T01:15:00Z 2026-10-25T01:45:00Z",
                ],
            ),
            (
                "01:00-02:30",
                vec![
                    "2026-10-24T23:00:00Z 2026-10-25T00:30:00Z",
                    "2026-10-25T01:00:00Z 2026-10-25T01:30:00Z",
                ],
            ),
            (
                "22:00-05:00",
                vec![
                    "2026-10-24T20:00:00Z 2026-10-25T04:00:00Z",
                    "2026-10-25T21:00:00Z 2026-10-26T04:00:00Z",
                ],
            ),
        ] {
            assert_eq!(told(&window(hours, "Europe/Berlin", &[]), night, 2), spans, "{hours}");
        }
    }

    #[test]
    fn zones_go_by_their_own_clocks() {
        let now = "2026-06-01T00:00:00Z";
        for (zone, span) in [
            ("Asia/Kolkata", "2026-06-01T16:30:00Z 2026-06-01T17:30:00Z"),
            ("America/New_York", "2026-06-01T02:00:00Z 2026-06-01T03:00:00Z"),
            ("UTC", "2026-06-01T22:00:00Z 2026-06-01T23:00:00Z"),
        ] {
            assert_eq!(told(&window("22:00-23:00", zone, &[]), now, 1), [span], "{zone}");
        }
        assert!(spans(&window("22:00-23:00", "Europe/Berln", &[]), at(now)).is_err());
    }

    #[test]
    fn a_whole_day_every_day_never_closes() {
        let spans = spans(&window("00:00-24:00", "Europe/Berlin", &[]), at("2026-11-27T00:00:00Z"));
        assert_eq!(spans.map(|spans| spans.len()), Ok(1));
        assert_eq!(joined(Vec::new()), Vec::new());
    }

    #[test]
    fn a_moment_is_told_by_the_clock_where_it_is_near() {
        let now = at("2026-11-27T17:48:00Z");
        assert_eq!(spell(at("2026-11-27T21:00:00Z"), now, "Europe/Berlin"), "22:00 Europe/Berlin");
        assert_eq!(
            spell(at("2026-11-29T21:00:00Z"), now, "Europe/Berlin"),
            "Sun 2026-11-29 22:00 Europe/Berlin"
        );
    }
}
