//! `[[throttle]]`: what steps wait for while a database, or something beside it, has too much to do.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use skein_proto::v1;

use super::time::millis;

const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);

/// A throttle as it stands in a strategy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Throttle {
    pub name: String,
    /// Target ids, or patterns with `*`. With no labels either: every target.
    pub targets: Vec<String>,
    /// Each label must have one of its values.
    pub labels: BTreeMap<String, Vec<String>>,
    pub measure: Measure,
    /// From one measuring to the next.
    pub interval: Duration,
    /// For one answer.
    pub timeout: Duration,
}

/// What is measured, and from where on work waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// Of so many replicas at the least.
    ReplicaLag { limit: Duration, replicas: u32 },
    /// Statements that the server runs.
    Load { limit: Thousandths },
    /// The first value that it answers.
    Query { sql: String, limit: Thousandths },
    /// An address that agents know by this name.
    Http(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default, deserialize_with = "super::labels::matches")]
    labels: BTreeMap<String, Vec<String>>,
    #[serde(default, deserialize_with = "super::time::read_option")]
    replica_lag: Option<Duration>,
    replicas: Option<u32>,
    load: Option<Thousandths>,
    query: Option<String>,
    limit: Option<Thousandths>,
    http: Option<String>,
    #[serde(default = "interval", deserialize_with = "super::time::read")]
    interval: Duration,
    #[serde(default = "timeout", deserialize_with = "super::time::read")]
    timeout: Duration,
}

fn interval() -> Duration {
    INTERVAL
}

fn timeout() -> Duration {
    TIMEOUT
}

/// A number with three places behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thousandths(pub u64);

impl std::str::FromStr for Thousandths {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no number like 25 or 0.8");
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        if whole.is_empty() || part.is_empty() || part.len() > 3 {
            return Err(format!("{}, with three places behind the point at the most", wrong()));
        }
        if !whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_too_large| wrong())?;
        let part: u64 = format!("{part:0<3}").parse().map_err(|_not_a_number| wrong())?;
        let sum = whole.checked_mul(1_000).and_then(|whole| whole.checked_add(part));
        sum.map(Self).ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for Thousandths {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number like 25 or 0.8")]
        enum Either {
            Whole(u64),
            Broken(f64),
        }
        let text = match Either::deserialize(from)? {
            Either::Whole(number) => number.to_string(),
            Either::Broken(number) => number.to_string(),
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl TryFrom<Raw> for Throttle {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let name = raw.name;
        if raw.replicas.is_some() && raw.replica_lag.is_none() {
            return Err(format!("throttle `{name}`: `replicas` belongs to replica_lag"));
        }
        if raw.limit.is_some() && raw.query.is_none() {
            return Err(format!(
                "throttle `{name}`: `limit` belongs to a query; write replica_lag = \"2s\" or load = 25"
            ));
        }
        let measure = match (raw.replica_lag, raw.load, raw.query, raw.http) {
            (Some(limit), None, None, None) => {
                Measure::ReplicaLag { limit, replicas: raw.replicas.unwrap_or(1) }
            }
            (None, Some(limit), None, None) => Measure::Load { limit },
            (None, None, Some(sql), None) => {
                let limit = raw.limit.ok_or_else(|| {
                    format!("throttle `{name}`: say from which `limit` on work waits: limit = 1000")
                })?;
                Measure::Query { sql, limit }
            }
            (None, None, None, Some(source)) => Measure::Http(source),
            _ => {
                return Err(format!(
                    "throttle `{name}`: give one of replica_lag, load, query, http"
                ));
            }
        };
        let Raw { targets, labels, interval, timeout, .. } = raw;
        Ok(Self { name, targets, labels, measure, interval, timeout })
    }
}

impl Throttle {
    pub fn to_wire(&self) -> v1::Throttle {
        use v1::throttle::Measure as Wire;
        let label = |(name, values): (&String, &Vec<String>)| v1::LabelMatch {
            name: name.clone(),
            values: values.clone(),
        };
        let (measure, limit) = match &self.measure {
            Measure::ReplicaLag { limit, replicas } => {
                (Wire::ReplicaLag(v1::ReplicaLag { replicas: *replicas }), millis(*limit))
            }
            Measure::Load { limit } => (Wire::Load(v1::Load {}), limit.0),
            Measure::Query { sql, limit } => (Wire::Query(sql.clone()), limit.0),
            Measure::Http(source) => (Wire::Http(source.clone()), 0),
        };
        v1::Throttle {
            name: self.name.clone(),
            selector: Some(v1::Selector {
                targets: self.targets.clone(),
                labels: self.labels.iter().map(label).collect(),
                r#where: String::new(),
            }),
            measure: Some(measure),
            limit,
            interval_ms: millis(self.interval),
            timeout_ms: millis(self.timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, thousandths) in
            [("25", 25_000), ("0.8", 800), ("1.25", 1_250), ("0", 0), ("12.345", 12_345)]
        {
            assert_eq!(text.parse(), Ok(Thousandths(thousandths)), "{text}");
        }
        for text in ["", ".5", "5.", "-1", "0.1234", "many", "1e9", "99999999999999999999"] {
            assert!(text.parse::<Thousandths>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_throttle_says_what_is_missing() {
        let throttle = |text: &str| toml::from_str::<Throttle>(text);
        let of = throttle("name = \"a\"\nreplica_lag = \"2s\"").unwrap();
        assert_eq!(of.measure, Measure::ReplicaLag { limit: Duration::from_secs(2), replicas: 1 });
        let of = throttle("name = \"a\"\nquery = \"SELECT 1\"\nlimit = 0.8").unwrap();
        assert_eq!(of.to_wire().limit, 800);
        assert_eq!((of.interval, of.timeout), (INTERVAL, TIMEOUT));
        for (text, expect) in [
            ("", "give one of"),
            ("load = 25\nhttp = \"a\"", "give one of"),
            ("query = \"SELECT 1\"", "from which `limit`"),
            ("load = 25\nlimit = 25", "belongs to a query"),
            ("load = 25\nreplicas = 2", "belongs to replica_lag"),
            ("load = -3", "no number like 25"),
            ("replica_lag = \"soon\"", "90s, 5m or 2h"),
            ("http = \"a\"\nwhen = \"soak\"", "unknown field"),
        ] {
            let error = throttle(&format!("name = \"a\"\n{text}")).unwrap_err();
            assert!(error.to_string().contains(expect), "{text}: {error}");
        }
    }
}
