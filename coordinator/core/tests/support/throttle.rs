//! The words of the golden scripts that are about throttles.

use std::collections::BTreeMap;

use skein_core::schedule::Throttled;
use skein_core::spec::{Measure, Selector, Setting, Throttle};

use super::world::World;

/// Carries out a line.
pub(crate) fn run(world: &mut World, bare: &[&str], keys: &BTreeMap<&str, &str>) {
    match bare {
        ["throttle", "none"] => world.strategy.throttles.clear(),
        ["throttle", name, limit] => world.strategy.throttles.push(throttle(name, limit, keys)),
        ["knows", agent] => drop(world.presence.throttles.insert((*agent).into())),
        ["waits", target, why @ ..] => {
            let fence = world.fleet.target(&(*target).into());
            let fence =
                fence.and_then(|(_, target)| target.lease.as_ref()).map(|lease| lease.fence);
            let fence = fence.expect("it has a lease");
            let throttled = Throttled { fence, why: why.join(" "), waited_ms: 2_500 };
            world.presence.throttled.insert((*target).into(), throttled);
        }
        ["goes", target] => drop(world.presence.throttled.remove(&(*target).into())),
        other => panic!("no line {other:?}"),
    }
}

fn throttle(name: &str, limit: &str, keys: &BTreeMap<&str, &str>) -> Throttle {
    let text = || keys.get("text").copied().unwrap_or_default().to_owned();
    let measure = match keys.get("kind").copied() {
        Some("load") => Measure::Load,
        Some("query") => Measure::Query(text()),
        Some("http") => Measure::Http(text()),
        other => Measure::ReplicaLag {
            replicas: other.map_or(1, |least| least.parse().expect("a kind, or a number")),
        },
    };
    let labels = keys.get("select").map(|it| it.split_once(':').expect("label:value"));
    let labels = labels.map(|(label, value)| (label.to_owned(), vec![value.to_owned()]));
    Throttle {
        name: name.to_owned(),
        selector: Selector { labels: labels.into_iter().collect(), ..Selector::default() },
        measure,
        limit: limit.parse().expect("a number"),
        interval_ms: 1_000,
        timeout_ms: 5_000,
    }
}

/// `off`, `on`, `500ms`, `40`.
pub(crate) fn setting(text: &str) -> Setting {
    let number = |text: &str| text.parse().expect("a number");
    match (text, text.strip_suffix("ms")) {
        ("off", _) => Setting::Off,
        ("on", _) => Setting::On,
        (_, Some(ms)) => Setting::Time(number(ms)),
        (value, None) => Setting::Value(number(value)),
    }
}

/// What a leg waits for.
pub(crate) fn shown(throttles: &[Throttle]) -> String {
    if throttles.is_empty() {
        return String::new();
    }
    let one = |it: &Throttle| format!("{} < {}", it.name, it.limit);
    format!(", throttled by {}", throttles.iter().map(one).collect::<Vec<_>>().join(" and "))
}
