//! How quickly a target answers, and whether that is as expected. The queries run one after the other on one
//! connection, in a transaction that only reads and is rolled back; the server ends one that takes too long.
//!
//! What is measured is what this agent waits for: the way to the server and back is in it, before as after.

use std::time::Duration;

use hdrhistogram::Histogram;
use skein_proto::v1::{Ceiling, Latency, Quantile, Quantiles, ceiling::Bound};

use super::tally::Sample;
use crate::config::Target;
use crate::db::{Timed, Timeouts};
use crate::text::chain;

/// Runs of each query before those that count: the first ones find nothing in any cache.
const WARM_UP: u32 = 2;
/// The longest that is told apart, microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// What a target did before its first step, for each query.
///
/// # Errors
/// Why it could not be measured, fit for showing.
pub(super) async fn baseline(
    target: &Target,
    latency: &Latency,
    limit: Duration,
) -> Result<Vec<Quantiles>, String> {
    let measured = measure(target, latency, limit, |_, _| false).await?;
    let told = measured.iter().map(|query| {
        let told = (query.len() >= u64::from(latency.runs)).then(|| quantiles(query));
        told.ok_or_else(|| format!("only {} runs of {}", query.len(), latency.runs))
    });
    told.collect()
}

/// Measures again, and compares.
pub(super) async fn sample(
    target: &Target,
    (latency, before): (&Latency, &[Quantiles]),
    limit: Duration,
) -> Sample {
    let ceilings = match ceilings(latency, before) {
        Ok(ceilings) => ceilings,
        Err(why) => return Sample::Silent(why),
    };
    // It is decided when so many were slow that the others cannot help.
    let decided = |query: usize, took: &Histogram<u64>| {
        let over = ceilings.get(query).map(Vec::as_slice).unwrap_or_default();
        over.iter().any(|(ceiling, most)| is_over(took, (ceiling.quantile(), *most), latency.runs))
    };
    match measure(target, latency, limit, decided).await {
        Ok(measured) => judge(latency, before, &ceilings, &measured),
        Err(why) => Sample::Silent(why),
    }
}

type Ceilings = Vec<Vec<(Ceiling, u64)>>;

/// For each query what is the most, microseconds.
fn ceilings(latency: &Latency, before: &[Quantiles]) -> Result<Ceilings, String> {
    let of_query = |at: usize| {
        let of_one = |ceiling: &Ceiling| {
            let most = match ceiling.bound {
                Some(Bound::Micros(micros)) => micros,
                Some(Bound::Thousandths(times)) => {
                    let was = before.get(at).ok_or(
                        "how quickly the target answered before its first step was not measured",
                    )?;
                    at_quantile(was, ceiling.quantile()).max(1).saturating_mul(times) / 1_000
                }
                None => return Err("this agent does not know what is expected".to_owned()),
            };
            Ok((*ceiling, most))
        };
        latency.ceilings.iter().map(of_one).collect::<Result<Vec<_>, String>>()
    };
    (0..latency.queries.len()).map(of_query).collect()
}

fn at_quantile(quantiles: &Quantiles, quantile: Quantile) -> u64 {
    match quantile {
        Quantile::P50 | Quantile::Unspecified => quantiles.p50_us,
        Quantile::P95 => quantiles.p95_us,
        Quantile::P99 => quantiles.p99_us,
    }
}

fn quantiles(took: &Histogram<u64>) -> Quantiles {
    Quantiles {
        p50_us: took.value_at_quantile(0.50),
        p95_us: took.value_at_quantile(0.95),
        p99_us: took.value_at_quantile(0.99),
    }
}

/// More runs took longer than may, of so many as there will be.
fn is_over(took: &Histogram<u64>, (quantile, most): (Quantile, u64), runs: u32) -> bool {
    let percent = match quantile {
        Quantile::P50 | Quantile::Unspecified => 50,
        Quantile::P95 => 5,
        Quantile::P99 => 1,
    };
    let quick = took.count_between(0, most);
    (took.len() - quick) * 100 > u64::from(runs) * percent
}

/// Runs each query as often as it says, and ends before that where it is decided.
async fn measure(
    target: &Target,
    latency: &Latency,
    limit: Duration,
    decided: impl Fn(usize, &Histogram<u64>) -> bool,
) -> Result<Vec<Histogram<u64>>, String> {
    let (location, _) = target.locate().await.map_err(|error| chain(&error))?;
    let limit_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    let defaults = Timeouts::default();
    let timeouts = Timeouts {
        connect_ms: defaults.connect_ms.min(limit_ms),
        lock_ms: defaults.lock_ms.min(limit_ms),
        statement_ms: limit_ms,
        retries_max: 0,
        ..defaults
    };
    let mut timed = Timed::open(&location, &timeouts).await?;
    let measured = async {
        let mut measured = Vec::new();
        for (at, query) in latency.queries.iter().enumerate() {
            let wrong = |error| format!("latencies cannot be kept ({error})");
            let mut took = Histogram::new_with_bounds(1, LONGEST, 3).map_err(wrong)?;
            for run in 0..latency.runs.saturating_add(WARM_UP) {
                let micros = timed
                    .run(query)
                    .await
                    .map_err(|why| format!("query {} fails ({why})", at + 1))?;
                if run >= WARM_UP {
                    took.saturating_record(micros.clamp(1, LONGEST));
                    if decided(at, &took) {
                        measured.push(took);
                        return Ok(measured);
                    }
                }
            }
            measured.push(took);
        }
        Ok(measured)
    };
    let measured = measured.await;
    timed.close().await;
    measured
}

/// The first query that is over, or how quick the slowest is.
fn judge(
    latency: &Latency,
    before: &[Quantiles],
    ceilings: &[Vec<(Ceiling, u64)>],
    measured: &[Histogram<u64>],
) -> Sample {
    for (at, took) in measured.iter().enumerate() {
        for (ceiling, most) in ceilings.get(at).into_iter().flatten() {
            let quantile = ceiling.quantile();
            if is_over(took, (quantile, *most), latency.runs) {
                let now = at_quantile(&quantiles(took), quantile);
                let was = before.get(at).map(|was| at_quantile(was, quantile));
                let was = was.map(|was| format!(", was {}", told(was))).unwrap_or_default();
                return Sample::Bad(format!(
                    "query {}: {} {}{was}, {} at the most",
                    at + 1,
                    name(quantile),
                    told(now),
                    told(*most)
                ));
            }
        }
        if took.len() < u64::from(latency.runs) {
            return Sample::Silent(format!("only {} runs of {}", took.len(), latency.runs));
        }
    }
    let slowest = measured.iter().enumerate().max_by_key(|(_, took)| took.value_at_quantile(0.95));
    let Some((at, took)) = slowest else { return Sample::Silent("no query".to_owned()) };
    let row =
        |of: &Quantiles| format!("{}/{}/{}", told(of.p50_us), told(of.p95_us), told(of.p99_us));
    let was = before.get(at).map(|was| format!(", was {}", row(was))).unwrap_or_default();
    Sample::Good(format!("query {}: {}{was}", at + 1, row(&quantiles(took))))
}

fn name(quantile: Quantile) -> &'static str {
    match quantile {
        Quantile::P50 | Quantile::Unspecified => "p50",
        Quantile::P95 => "p95",
        Quantile::P99 => "p99",
    }
}

/// Microseconds for people.
fn told(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// What is expected, as people write it.
pub(super) fn expectation(ceilings: &[Ceiling]) -> String {
    let one = |ceiling: &Ceiling| {
        let most = match ceiling.bound {
            Some(Bound::Micros(micros)) => told(micros),
            Some(Bound::Thousandths(times)) => {
                format!("{}.{:03}", times / 1_000, times % 1_000)
                    .trim_end_matches('0')
                    .trim_end_matches('.')
                    .to_owned()
                    + "x"
            }
            None => "?".to_owned(),
        };
        format!("{} <= {most}", name(ceiling.quantile()))
    };
    ceilings.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(micros: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, LONGEST, 3).unwrap();
        micros.into_iter().for_each(|micros| histogram.saturating_record(micros));
        histogram
    }

    fn latency(bounds: &[(Quantile, Bound)], runs: u32) -> Latency {
        let ceiling = |(quantile, bound): &(Quantile, Bound)| Ceiling {
            quantile: (*quantile).into(),
            bound: Some(*bound),
        };
        Latency {
            queries: vec!["SELECT 1".to_owned()],
            runs,
            ceilings: bounds.iter().map(ceiling).collect(),
        }
    }

    fn judged(latency: &Latency, before: &[Quantiles], now: Histogram<u64>) -> Sample {
        match ceilings(latency, before) {
            Ok(ceilings) => judge(latency, before, &ceilings, &[now]),
            Err(why) => Sample::Silent(why),
        }
    }

    #[test]
    fn what_was_is_held_against_what_is() {
        let was = [quantiles(&took((1..=100).map(|n| n * 100)))];
        let gate = latency(&[(Quantile::P95, Bound::Thousandths(1_500))], 100);
        let good = judged(&gate, &was, took((1..=100).map(|n| n * 140)));
        assert!(matches!(good, Sample::Good(_)), "{good:?}");
        let slow = judged(&gate, &was, took((1..=100).map(|n| n * 200)));
        let Sample::Bad(said) = slow else { panic!("{slow:?}") };
        assert!(said.starts_with("query 1: p95 19.") && said.contains("was 9.5 ms"), "{said}");
        // The slowest five of a hundred may be as slow as they like.
        let few = judged(&gate, &was, took((1..=100).map(|n| if n > 95 { 9_000_000 } else { n })));
        assert!(matches!(few, Sample::Good(_)), "{few:?}");
        // Without what was nothing can be said, and that is no success.
        let blind = judged(&gate, &[], took([1]));
        assert!(matches!(blind, Sample::Silent(_)), "{blind:?}");
    }

    #[test]
    fn a_bound_of_its_own_needs_nothing_before() {
        let gate = latency(&[(Quantile::P50, Bound::Micros(50_000))], 20);
        assert!(matches!(judged(&gate, &[], took([40_000; 20])), Sample::Good(_)));
        assert!(matches!(judged(&gate, &[], took([60_000; 20])), Sample::Bad(_)));
        // Too few runs say nothing, unless they are enough to say no.
        assert!(matches!(judged(&gate, &[], took([40_000; 19])), Sample::Silent(_)));
        assert!(matches!(judged(&gate, &[], took([60_000; 11])), Sample::Bad(_)));
        assert!(matches!(judged(&gate, &[], took([60_000; 10])), Sample::Silent(_)));
    }

    #[test]
    fn expectations_are_told_as_they_are_written() {
        let gate = latency(
            &[(Quantile::P95, Bound::Thousandths(1_500)), (Quantile::P99, Bound::Micros(50_000))],
            100,
        );
        assert_eq!(expectation(&gate.ceilings), "p95 <= 1.5x, p99 <= 50.0 ms");
    }
}
