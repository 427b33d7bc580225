//! What strategies may ask for on real databases ([`skein_chaos::people`]).
//!
//! What SQL measures is a function of the server's own clock, in words that every engine knows: nobody has to write
//! anything for it to change. The signal over HTTP is turned on and off, and what it said is known
//! ([`crate::world::web`]).

use skein_chaos::people::strategy::Means;
use skein_chaos::people::words::Scope;
use skein_proto::v1::gate::Question;
use skein_proto::v1::throttle::Measure;

use crate::Planted;
use crate::world::web::now_ms;

/// Throttles: by a query, by a signal, and one that nobody can read.
pub(crate) const BUSY: &str = "busy";
pub(crate) const SIGNAL: &str = "signal";
pub(crate) const BLIND: &str = "blind";

/// The last digit of the second.
const SECOND: &str = "substr(CAST(CURRENT_TIMESTAMP AS char(30)), 19, 1)";

const MINUTE_MS: u64 = 60_000;
const DAY_MINUTES: u64 = 24 * 60;

/// As of now: windows open and close within the next minute.
pub(crate) fn means(planted: Option<Planted>) -> Means {
    let now = now_ms();
    let minute = (now / MINUTE_MS) % DAY_MINUTES;
    // Never at the same minute, which would be a day.
    let at = |minute: u64| u32::try_from(minute % DAY_MINUTES).unwrap_or_default();
    let opens = (at(minute + 1), at(minute + 120));
    let closes = (at(minute + DAY_MINUTES - 120), at(minute + 1));
    let query = format!("SELECT CASE WHEN {SECOND} IN ('0', '1', '2') THEN 5 ELSE 0 END");
    Means {
        well: format!("SELECT CASE WHEN {SECOND} IN ('6', '7') THEN 0 ELSE 1 END"),
        asked: vec![
            Question::Http("shop".to_owned()),
            Question::Http("shop".to_owned()),
            Question::Command("fine".to_owned()),
            Question::Command("moody".to_owned()),
        ],
        busy: vec![
            (BUSY.to_owned(), Measure::Query(query)),
            (SIGNAL.to_owned(), Measure::Http(SIGNAL.to_owned())),
        ],
        always: (planted == Some(Planted::NoThrottle)).then(|| SIGNAL.to_owned()),
        blind: BLIND.to_owned(),
        windows: (opens, closes),
        blackout: Some((now + 1_000, now + 5_000)),
        stages: ["2", "3", "4", "5"].map(str::to_owned).to_vec(),
        wide: true,
        soak_ms: 1_500,
    }
}

/// Of whom and of what is spoken: all of them, a region, an engine, one target. Who comes late is meant last.
pub(crate) fn scope(targets: &[String]) -> Scope {
    let many = ["*", "eu/*", "us/*", "*/my", "*/pg"].map(str::to_owned);
    let throttles = [BUSY, SIGNAL, BLIND].map(str::to_owned).to_vec();
    Scope {
        targets: many.into_iter().chain(targets.iter().cloned()).collect(),
        throttles,
        wide: true,
    }
}
