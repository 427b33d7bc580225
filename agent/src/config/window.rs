//! `[[window]]` and `[[blackout]]`: when targets may be worked on.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};
use skein_proto::v1;

/// Minutes of a day.
const DAY: u32 = 24 * 60;

/// A part of the day in which targets may be worked on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// For people.
    #[serde(default)]
    pub name: String,
    /// Target ids, or patterns with `*`. With no labels either: every target.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Each label must have one of its values.
    #[serde(default, deserialize_with = "super::labels::matches")]
    pub labels: BTreeMap<String, Vec<String>>,
    /// On which it opens. Empty: on every day.
    #[serde(default)]
    pub days: Vec<Day>,
    /// When it opens, minutes after midnight.
    #[serde(deserialize_with = "clock")]
    pub from: u32,
    /// When it closes; not later than it opens: on the next day.
    #[serde(deserialize_with = "clock")]
    pub to: u32,
    /// Whose wall clock.
    #[serde(deserialize_with = "zone")]
    pub zone: String,
    /// What becomes of targets under way.
    #[serde(default)]
    pub at_close: AtClose,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// What becomes of targets under way when their window closes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtClose {
    /// They end the step that they are at.
    #[default]
    Stop,
    /// They go on to their last step.
    Finish,
}

/// A time in which targets are not worked on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Blackout {
    /// For people.
    pub name: String,
    /// Target ids, or patterns with `*`. With no labels either: every target.
    pub targets: Vec<String>,
    /// Each label must have one of its values.
    pub labels: BTreeMap<String, Vec<String>>,
    /// Unix milliseconds.
    pub from_ms: u64,
    /// The first that are free again.
    pub until_ms: u64,
    /// In whose words that was written.
    pub zone: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    name: String,
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default, deserialize_with = "super::labels::matches")]
    labels: BTreeMap<String, Vec<String>>,
    from: String,
    to: String,
    #[serde(deserialize_with = "zone")]
    zone: String,
}

impl TryFrom<Raw> for Blackout {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let from_ms = moment(&raw.from, &raw.zone, Edge::Begin)?;
        let until_ms = moment(&raw.to, &raw.zone, Edge::End)?;
        if from_ms >= until_ms {
            return Err(format!(
                "a blackout from {} to {} is over before it begins",
                raw.from, raw.to
            ));
        }
        let Raw { name, targets, labels, zone, .. } = raw;
        Ok(Self { name, targets, labels, from_ms, until_ms, zone })
    }
}

/// Which end of a day a date stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Begin,
    End,
}

/// `2026-12-24`, or `2026-12-24T18:00`, by the clocks of a zone.
fn moment(text: &str, zone: &str, edge: Edge) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no day: write 2026-12-24 or 2026-12-24T18:00");
    let known = TimeZone::get(zone).map_err(|error| error.to_string())?;
    let time: DateTime = match text.parse::<Date>() {
        Ok(date) if text.len() <= 10 => match edge {
            Edge::Begin => date.at(0, 0, 0, 0),
            // To the end of that day.
            Edge::End => date.tomorrow().map_err(|_end_of_time| wrong())?.at(0, 0, 0, 0),
        },
        Ok(_) | Err(_) => text.parse().map_err(|_no_time| wrong())?,
    };
    let moment = known.to_timestamp(time).map_err(|_out_of_range| wrong())?;
    u64::try_from(moment.as_millisecond()).map_err(|_before_1970| wrong())
}

/// `22:00`; `24:00` is the end of a day.
fn clock<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let text = String::deserialize(from)?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| digits)
    };
    let parts =
        text.split_once(':').and_then(|(hours, minutes)| Some((number(hours)?, number(minutes)?)));
    let minutes =
        parts.filter(|(_, minutes)| *minutes < 60).map(|(hours, minutes)| hours * 60 + minutes);
    minutes.filter(|minutes| *minutes <= DAY).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "`{text}` is no time of day: write 22:00, or 24:00 for its end"
        ))
    })
}

fn zone<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let known = TimeZone::get(&text).is_ok() && (text.contains('/') || text == "UTC");
    if known {
        return Ok(text);
    }
    Err(serde::de::Error::custom(format!(
        "`{text}` is no time zone: write one such as Europe/Berlin, or UTC"
    )))
}

fn selector(targets: &[String], labels: &BTreeMap<String, Vec<String>>) -> v1::Selector {
    let label = |(name, values): (&String, &Vec<String>)| v1::LabelMatch {
        name: name.clone(),
        values: values.clone(),
    };
    v1::Selector {
        targets: targets.to_vec(),
        labels: labels.iter().map(label).collect(),
        ..v1::Selector::default()
    }
}

impl Window {
    pub fn to_wire(&self) -> v1::Window {
        v1::Window {
            name: self.name.clone(),
            selector: Some(selector(&self.targets, &self.labels)),
            days: self.days.iter().map(|day| *day as u32).collect(),
            from_minute: self.from,
            to_minute: self.to,
            zone: self.zone.clone(),
            finish: self.at_close == AtClose::Finish,
        }
    }
}

impl Blackout {
    pub fn to_wire(&self) -> v1::Blackout {
        v1::Blackout {
            name: self.name.clone(),
            selector: Some(selector(&self.targets, &self.labels)),
            from_ms: self.from_ms,
            until_ms: self.until_ms,
            zone: self.zone.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AtClose, Blackout, Day, Window};

    #[test]
    fn windows_are_read() {
        let text = "from = '22:00'\nto = '05:30'\nzone = 'Europe/Berlin'\ndays = ['mon', 'fri']\n\
                    labels = { region = ['eu', 'uk'] }\nat_close = 'finish'";
        let window: Window = toml::from_str(text).unwrap();
        assert_eq!((window.from, window.to, window.at_close), (1_320, 330, AtClose::Finish));
        assert_eq!(window.days, [Day::Mon, Day::Fri]);
        let wire = window.to_wire();
        assert_eq!((wire.days, wire.finish), (vec![0, 4], true));
        for (key, value) in
            [("from", "7:00"), ("to", "24:01"), ("zone", "Europe/Berln"), ("zone", "CET7")]
        {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.retain(|line| !line.starts_with(key));
            lines.push(format!("{key} = '{value}'"));
            assert!(toml::from_str::<Window>(&lines.join("\n")).is_err(), "{key} {value}");
        }
    }

    #[test]
    fn a_day_is_the_whole_day_by_its_own_clocks() {
        let read = |from: &str, to: &str| {
            let text = format!("from = '{from}'\nto = '{to}'\nzone = 'Europe/Berlin'");
            toml::from_str::<Blackout>(&text)
        };
        // The day on which the clocks are put back has 25 hours.
        let day = read("2026-10-25", "2026-10-25").unwrap();
        assert_eq!(day.until_ms - day.from_ms, 25 * 3_600_000);
        let hours = read("2026-11-27T18:00", "2026-11-27T20:30").unwrap();
        assert_eq!(hours.until_ms - hours.from_ms, 9_000_000);
        for (from, to) in
            [("2026-11-28", "2026-11-27"), ("soon", "2026-11-27"), ("2026-02-30", "2026-03-01")]
        {
            assert!(read(from, to).is_err(), "{from} {to}");
        }
    }
}
