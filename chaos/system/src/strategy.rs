//! What strategies may ask for in the simulation ([`skein_chaos::people`]).
//!
//! What gates and throttles measure is a function of the simulated wall clock, as the target's own SQLite tells it:
//! nobody has to write anything for it to change.

use skein_chaos::people::strategy::{Means, draw};
use skein_chaos::people::words::Scope;
use skein_proto::v1;

use crate::agent;
use crate::client::Client;

/// A throttle that is too much for a while in every [`PERIOD`].
pub(crate) const BUSY: &str = "busy";
/// A throttle that nobody can read.
pub(crate) const BLIND: &str = "blind";
/// Seconds of the wall clock.
const PERIOD: u64 = 24;
/// So many of them are too much, from the beginning of each.
const TOO_MUCH: u64 = 9;

/// Whether [`BUSY`] is too much at a time, seconds of the wall clock.
pub(crate) fn is_busy(at: u64) -> bool {
    at % PERIOD < TOO_MUCH
}

/// `unthrottled`, a planted bug: whoever asks for a throttle means one that holds steps back.
pub(crate) fn of(client: &mut Client, unthrottled: bool) -> v1::Strategy {
    let mut strategy = draw(client, &means());
    if unthrottled {
        for throttle in &mut strategy.throttles {
            throttle.measure = Some(v1::throttle::Measure::Query("SELECT 0".to_owned()));
        }
    }
    strategy
}

fn means() -> Means {
    let query = format!("SELECT CAST(strftime('%s', 'now') AS INTEGER) % {PERIOD} < {TOO_MUCH}");
    Means {
        // One in six moments is a bad one.
        well: "SELECT CAST(strftime('%s', 'now') AS INTEGER) % 6 > 0".to_owned(),
        busy: vec![(BUSY.to_owned(), v1::throttle::Measure::Query(query))],
        blind: BLIND.to_owned(),
        // Runs begin at 22:13:20.
        windows: ((22 * 60 + 14, 24 * 60), (21 * 60, 22 * 60 + 14)),
        soak_ms: 3_000,
        ..Means::default()
    }
}

/// Of whom and of what is spoken.
pub(crate) fn scope() -> Scope {
    let targets = std::iter::once("*".to_owned()).chain((1..4).map(agent::target));
    let throttles = vec![BUSY.to_owned(), BLIND.to_owned()];
    Scope { targets: targets.collect(), throttles, of_time: Vec::new(), wide: false }
}
