//! `latency` of a gate: queries, and how quickly they have to be answered.

use serde::Deserialize;
use skein_proto::v1::{self, Ceiling, Quantile, ceiling::Bound};

const RUNS: u32 = 100;

/// Queries, how often each is run, and what is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    pub queries: Vec<String>,
    pub runs: u32,
    pub ceilings: Vec<Ceiling>,
}

impl Latency {
    pub(super) fn to_wire(&self) -> v1::Latency {
        let Self { queries, runs, ceilings } = self.clone();
        v1::Latency { queries, runs, ceilings }
    }
}

/// As it stands in a strategy; what is expected stands beside it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLatency {
    queries: Vec<String>,
    #[serde(default = "runs")]
    runs: u32,
}

fn runs() -> u32 {
    RUNS
}

impl RawLatency {
    /// With what is expected: `p95 <= 1.5x, p99 <= 50ms`.
    pub(super) fn of(self, expect: &str) -> Result<Latency, String> {
        let ceilings: Vec<Ceiling> =
            expect.split(',').map(|one| ceiling(one.trim())).collect::<Result<_, _>>()?;
        if let Some(empty) = self.queries.iter().position(|query| query.trim().is_empty()) {
            return Err(format!("query {} is empty", empty + 1));
        }
        Ok(Latency { queries: self.queries, runs: self.runs, ceilings })
    }
}

fn ceiling(text: &str) -> Result<Ceiling, String> {
    let wrong = || {
        format!(
            "`expect` has {text:?}: write it like \"p95 <= 1.5x\" (of what it was before) or \"p99 <= 50ms\"; \
             p50, p95 and p99 are known"
        )
    };
    let (name, most) = text.split_once("<=").ok_or_else(wrong)?;
    let quantile = match name.trim() {
        "p50" => Quantile::P50,
        "p95" => Quantile::P95,
        "p99" => Quantile::P99,
        _ => return Err(wrong()),
    };
    let most = most.trim();
    let units =
        [("x", 1_000, true), ("ms", 1_000, false), ("us", 1, false), ("s", 1_000_000, false)];
    let found = units.iter().find_map(|(unit, times, of_before)| {
        let number = most.strip_suffix(unit)?;
        Some((scaled(number.trim(), *times)?, *of_before))
    });
    let bound = match found {
        Some((0, _)) | None => return Err(wrong()),
        Some((number, true)) => Bound::Thousandths(number),
        Some((number, false)) => Bound::Micros(number),
    };
    Ok(Ceiling { quantile: quantile.into(), bound: Some(bound) })
}

/// A decimal number, times a thousand or a million, without the detour over binary fractions.
fn scaled(number: &str, times: u64) -> Option<u64> {
    let (whole, broken) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || (number.contains('.') && !digits(broken)) || broken.len() > 6 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(times)?;
    let tenths = 10_u64.pow(u32::try_from(broken.len()).ok()?);
    let broken = if broken.is_empty() { 0 } else { broken.parse::<u64>().ok()? };
    whole.checked_add(broken.checked_mul(times)? / tenths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected() {
        let raw = || RawLatency { queries: vec!["SELECT 1".to_owned()], runs: 100 };
        let of = raw().of("p95 <= 1.5x, p99<=50ms,p50 <= 2 s").unwrap();
        let bounds: Vec<_> = of.ceilings.iter().map(|it| (it.quantile(), it.bound)).collect();
        assert_eq!(
            bounds,
            [
                (Quantile::P95, Some(Bound::Thousandths(1_500))),
                (Quantile::P99, Some(Bound::Micros(50_000))),
                (Quantile::P50, Some(Bound::Micros(2_000_000))),
            ]
        );
        for wrong in [
            "",
            "p95",
            "p90 <= 2x",
            "p95 <= x",
            "p95 <= 0x",
            "p95 <= -1ms",
            "p95 <= 5",
            "p95 < 2x",
            "p95 <= 1.x",
        ] {
            assert!(raw().of(wrong).unwrap_err().contains("write it like"), "{wrong}");
        }
        let empty = RawLatency { queries: vec![" ".to_owned()], runs: 1 };
        assert!(empty.of("p50 <= 2x").unwrap_err().contains("query 1 is empty"));
    }
}
