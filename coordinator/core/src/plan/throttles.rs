//! Refuses throttles that mean nothing, or could never let anything go.

use crate::refusal::{Kind, Refusal};
use crate::spec::{Engine, Measure, Strategy};
use crate::state::target;

/// Without a look for longer than this nobody would call it measured.
const INTERVAL_MAX_MS: u64 = 3_600_000;

pub(super) fn check(strategy: &Strategy) -> Result<(), Refusal> {
    for (throttle, at) in strategy.throttles.iter().zip(0..) {
        let wrong = |what: &str, next: &str| {
            let what = format!("throttle `{}` {what}", throttle.name);
            Err(Refusal::new(Kind::Invalid, what, next))
        };
        if throttle.name.is_empty() || throttle.name.contains('=') {
            return wrong(
                &format!("(number {}) has no name that it could be set by", at + 1),
                "give it one without `=`: `name = …`",
            );
        }
        if strategy.throttles.iter().take(at).any(|other| other.name == throttle.name) {
            return wrong("stands there twice", "give each throttle a name of its own");
        }
        if throttle.selector.condition.is_some() {
            return wrong(
                "is given by a condition: throttles go by ids and labels",
                "name `targets` or `labels`",
            );
        }
        if throttle.measure.has_limit() != (throttle.limit > 0) {
            return wrong(
                "has a limit of 0 where it needs one, or one where it can have none",
                "give replica_lag, load and query a limit above 0, and http none",
            );
        }
        if throttle.interval_ms == 0
            || throttle.interval_ms > INTERVAL_MAX_MS
            || throttle.timeout_ms == 0
        {
            return wrong(
                "has no pause between two measurings, one of more than an hour, or no time for an answer",
                "set `interval` and `timeout`",
            );
        }
        let empty = match &throttle.measure {
            Measure::Query(text) | Measure::Http(text) => text.is_empty(),
            Measure::ReplicaLag { .. } | Measure::Load => false,
        };
        if empty {
            return wrong("does not say what it asks", "write the query, or the address's name");
        }
    }
    Ok(())
}

/// What could never be measured of a target is refused before anything waits for it.
pub(super) fn fits(strategy: &Strategy, target: &target::State) -> Result<(), Refusal> {
    if target.description.engine != Engine::Sqlite {
        return Ok(());
    }
    let means = |selector: &crate::spec::Selector| selector.names(&target.id, &target.description);
    let unfit =
        strategy.throttles.iter().find(|it| it.measure.is_of_a_server() && means(&it.selector));
    match unfit {
        None => Ok(()),
        Some(throttle) => Err(Refusal::new(
            Kind::Unfit,
            format!(
                "throttle `{}` asks a database server, and {} is an SQLite file, which has none",
                throttle.name, target.id
            ),
            "name the `targets` or `labels` that it is for",
        )),
    }
}
