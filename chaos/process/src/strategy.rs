//! What strategies may ask for on real databases ([`skein_chaos::people`]).
//!
//! What SQL measures is a function of the server's own clock, in words that every engine knows: nobody has to write
//! anything for it to change. The signal over HTTP is turned on and off, and what it said is known
//! ([`crate::world::web`]), as is how far the replica was behind ([`crate::world::replica`]).

use skein_chaos::people::strategy::Means;
use skein_chaos::people::words::Scope;
use skein_proto::v1;
use skein_proto::v1::gate::Question;
use skein_proto::v1::throttle::Measure;

use crate::Planted;
use crate::workload::Work;
use crate::world::web::now_ms;

/// Throttles: by how far the replica is behind, by load, by a query, by a signal, and one that nobody can read.
pub(crate) const LAG: &str = "lag";
const LOAD: &str = "load";
pub(crate) const BUSY: &str = "busy";
pub(crate) const SIGNAL: &str = "signal";
pub(crate) const BLIND: &str = "blind";

/// The last digit of the second.
const SECOND: &str = "substr(CAST(CURRENT_TIMESTAMP AS char(30)), 19, 1)";

const MINUTE_MS: u64 = 60_000;
const DAY_MINUTES: u64 = 24 * 60;

/// What the strategy with this number asks Prometheus: nobody else asks that.
fn errors(number: u32) -> Question {
    let query = format!("sum(increase(shop_errors_total{{asked_by=\"{number}\"}}[1m]))");
    Question::Prometheus(v1::Prometheus { source: "prom".to_owned(), query })
}

/// With a gate that everybody is to have: a bug is planted in it.
pub(crate) fn plant(strategy: &mut v1::Strategy, planted: Option<Planted>, number: u32) {
    if planted == Some(Planted::HiddenErrors) {
        strategy.gates.push(v1::Gate {
            name: "errors".to_owned(),
            when: v1::GateWhen::BeforeStep.into(),
            question: Some(errors(number)),
            comparison: v1::Comparison::Equal.into(),
            expected: "0".to_owned(),
            samples: 1,
            need: 1,
            interval_ms: 200,
            timeout_ms: 3_000,
            ..Default::default()
        });
    }
}

/// As of now: windows open and close within the next minute.
pub(crate) fn means(work: &Work, number: u32) -> Means {
    let planted = work.planted;
    let now = now_ms();
    let minute = (now / MINUTE_MS) % DAY_MINUTES;
    // Never at the same minute, which would be a day.
    let at = |minute: u64| u32::try_from(minute % DAY_MINUTES).unwrap_or_default();
    let opens = (at(minute + 1), at(minute + 120));
    let closes = (at(minute + DAY_MINUTES - 120), at(minute + 1));
    let query = format!("SELECT CASE WHEN {SECOND} IN ('0', '1', '2') THEN 5 ELSE 0 END");
    let mut busy = vec![
        (BUSY.to_owned(), Measure::Query(query)),
        (SIGNAL.to_owned(), Measure::Http(SIGNAL.to_owned())),
        (LOAD.to_owned(), Measure::Load(v1::Load {})),
    ];
    if work.replicates {
        let lag = Measure::ReplicaLag(v1::ReplicaLag { replicas: 1 });
        busy.extend([(LAG.to_owned(), lag.clone()), (LAG.to_owned(), lag)]);
    }
    let always = match planted {
        Some(Planted::NoThrottle) => Some(SIGNAL),
        Some(Planted::NoLag) => Some(LAG),
        _ => None,
    };
    Means {
        well: format!("SELECT CASE WHEN {SECOND} IN ('6', '7') THEN 0 ELSE 1 END"),
        asked: vec![
            Question::Http("shop".to_owned()),
            Question::Http("shop".to_owned()),
            errors(number),
            errors(number),
            Question::Command("fine".to_owned()),
            Question::Command("moody".to_owned()),
        ],
        busy,
        // The replica is the PostgreSQL server's.
        servers: vec!["*/pg".to_owned()],
        always: always.map(str::to_owned),
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
    let throttles = [BUSY, SIGNAL, LOAD, LAG, BLIND].map(str::to_owned).to_vec();
    Scope {
        targets: many.into_iter().chain(targets.iter().cloned()).collect(),
        throttles,
        of_time: vec![LAG.to_owned()],
        wide: true,
    }
}

/// Those of a rollout that have a limit, and can be read.
pub(crate) fn with_limits(rollout: &v1::RolloutStatus) -> Vec<String> {
    let name = |knob: &v1::Knob| match &knob.knob {
        Some(v1::knob::Knob::Throttle(throttle)) => Some(throttle.name.clone()),
        _ => None,
    };
    let names = rollout.knobs.iter().filter_map(name);
    names.filter(|name| [BUSY, LOAD, LAG].contains(&name.as_str())).collect()
}
