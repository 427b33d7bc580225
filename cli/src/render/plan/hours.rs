//! When a plan's targets may be worked on, in words.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use skein_proto::v1;

use super::super::freezes::meant;

pub(super) fn told(strategy: &v1::Strategy) -> Vec<String> {
    let windows = strategy.windows.iter().map(window);
    windows.chain(strategy.blackouts.iter().map(blackout)).collect()
}

fn named(kind: &str, name: &str, selector: Option<&v1::Selector>) -> String {
    let name = if name.is_empty() { String::new() } else { format!(" {name}") };
    format!("{kind}{name} ({})", meant(selector))
}

fn window(window: &v1::Window) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let clock = |minutes: u32| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    let day = |day: &u32| usize::try_from(*day).ok().and_then(|day| DAYS.get(day)).copied();
    let days: Vec<&str> = window.days.iter().filter_map(day).collect();
    let days = if days.is_empty() { String::new() } else { format!(", {}", days.join(" ")) };
    let finish = if window.finish { "; targets under way go on to their last step" } else { "" };
    format!(
        "{}: {} to {} {}{days}{finish}",
        named("window", &window.name, window.selector.as_ref()),
        clock(window.from_minute),
        clock(window.to_minute),
        window.zone
    )
}

fn blackout(blackout: &v1::Blackout) -> String {
    let zone = TimeZone::get(&blackout.zone).unwrap_or(TimeZone::UTC);
    let local = |at: u64| {
        let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        let time = zone.to_datetime(at.unwrap_or_default());
        time.strftime("%Y-%m-%d %H:%M").to_string()
    };
    format!(
        "{}: {} to {} {}",
        named("blackout", &blackout.name, blackout.selector.as_ref()),
        local(blackout.from_ms),
        local(blackout.until_ms),
        blackout.zone
    )
}
