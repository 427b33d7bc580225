//! Throttles in words: as a plan has them, and as they are set.

use skein_proto::v1;
use skein_proto::v1::throttle::Measure;
use skein_proto::v1::throttle_knob::Setting;

use super::freezes::meant;
use super::look::duration;

/// A number that is kept in thousandths, as `skein set` takes it.
pub(super) fn thousandths(value: u64) -> String {
    let (whole, part) = (value / 1_000, value % 1_000);
    if part == 0 {
        return whole.to_string();
    }
    format!("{whole}.{}", format!("{part:03}").trim_end_matches('0'))
}

/// One of a plan's.
pub(super) fn told(throttle: &v1::Throttle) -> String {
    let limit = throttle.limit;
    let while_ = match &throttle.measure {
        Some(Measure::ReplicaLag(lag)) => {
            let least = match lag.replicas {
                0 => "whether there are replicas or not".to_owned(),
                1 => "with a replica at the least".to_owned(),
                more => format!("with {more} replicas at the least"),
            };
            format!("replica lag < {}, {least}", duration(limit))
        }
        Some(Measure::Load(_)) => format!("load < {}", thousandths(limit)),
        Some(Measure::Query(query)) => {
            let query: Vec<&str> = query.split_whitespace().collect();
            format!("{} < {}", query.join(" "), thousandths(limit))
        }
        Some(Measure::Http(source)) => format!("the signal `{source}` answers 200"),
        None => "something that this release does not know".to_owned(),
    };
    format!(
        "{} ({}): steps begin while {while_}; measured every {}",
        throttle.name,
        meant(throttle.selector.as_ref()),
        duration(throttle.interval_ms)
    )
}

/// What one is set to.
pub(super) fn set(knob: &v1::ThrottleKnob) -> (String, String) {
    let value = match knob.setting {
        Some(Setting::On(true)) => "on".to_owned(),
        Some(Setting::On(false)) => "off".to_owned(),
        Some(Setting::Ms(ms)) if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        Some(Setting::Ms(ms)) => format!("{ms}ms"),
        Some(Setting::Thousandths(value)) => thousandths(value),
        None => String::new(),
    };
    (format!("throttle.{}", knob.name), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_shown_as_it_is_written() {
        let set =
            |setting| set(&v1::ThrottleKnob { name: "lag".to_owned(), setting: Some(setting) });
        for (setting, value) in [
            (Setting::On(false), "off"),
            (Setting::Ms(2_000), "2s"),
            (Setting::Ms(250), "250ms"),
            (Setting::Thousandths(40_000), "40"),
            (Setting::Thousandths(800), "0.8"),
        ] {
            assert_eq!(set(setting), ("throttle.lag".to_owned(), value.to_owned()));
        }
    }
}
