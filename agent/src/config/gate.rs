//! `[[strategy.gate]]`: what has to hold before a rollout goes on. `[agent.gate.NAME]`: what this agent may be
//! asked to ask besides its targets.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use skein_proto::v1;

use super::latency::{Latency, RawLatency};
use super::time::millis;
use super::url::Url;

const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);

/// A gate as it stands in a strategy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Gate {
    pub name: String,
    pub when: When,
    /// Of these waves; none: of each.
    pub waves: Vec<String>,
    pub question: Question,
    pub expect: Expect,
    /// How often it is asked at the most; in a soak, how many of the last answers count.
    pub samples: u32,
    /// How many of these answers must be as expected.
    pub need: u32,
    /// From one asking to the next.
    pub interval: Duration,
    /// For one answer.
    pub timeout: Duration,
    /// What it does not to pass.
    pub on_failure: OnFailure,
}

/// What it does to a rollout when a gate does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The whole rollout is held back, and what `on_breach` says is done.
    Breach,
    /// Of a gate around a step: the target fails, and counts against the budget.
    Budget,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    when: When,
    #[serde(default)]
    waves: Vec<String>,
    sql: Option<String>,
    http: Option<String>,
    command: Option<String>,
    prometheus: Option<Prometheus>,
    latency: Option<RawLatency>,
    expect: Option<Expect>,
    #[serde(default = "one")]
    samples: u32,
    need: Option<u32>,
    #[serde(default = "interval", deserialize_with = "super::time::read")]
    interval: Duration,
    #[serde(default = "timeout", deserialize_with = "super::time::read")]
    timeout: Duration,
    #[serde(default = "breach")]
    on_failure: OnFailure,
}

fn breach() -> OnFailure {
    OnFailure::Breach
}

fn one() -> u32 {
    1
}

fn interval() -> Duration {
    INTERVAL
}

fn timeout() -> Duration {
    TIMEOUT
}

/// When it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    BeforeStep,
    AfterStep,
    AfterWave,
    Soak,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    Sql(String),
    Http(String),
    Command(String),
    Prometheus(Prometheus),
    Latency(Latency),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prometheus {
    pub source: String,
    pub query: String,
}

/// `0`, `= 0`, `!= broken`, `< 0.01`, `<= 5`, `> 0`, `>= 3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    pub comparison: v1::Comparison,
    pub value: String,
}

impl Expect {
    fn is(value: &str) -> Self {
        Self { comparison: v1::Comparison::Equal, value: value.to_owned() }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let words = [
            ("<=", v1::Comparison::AtMost),
            (">=", v1::Comparison::AtLeast),
            ("!=", v1::Comparison::NotEqual),
            ("==", v1::Comparison::Equal),
            ("=", v1::Comparison::Equal),
            ("<", v1::Comparison::Below),
            (">", v1::Comparison::Above),
        ];
        let text = text.trim();
        let found = words.iter().find_map(|(word, it)| Some((*it, text.strip_prefix(word)?)));
        let (comparison, value) = found.unwrap_or((v1::Comparison::Equal, text));
        let value = value.trim().to_owned();
        let of_text = matches!(comparison, v1::Comparison::Equal | v1::Comparison::NotEqual);
        if !of_text && !value.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(format!("{value:?} is no number: write it like \"< 0.01\""));
        }
        Ok(Self { comparison, value })
    }
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a value, or a comparison like \"< 0.01\"")]
        enum Either {
            Text(String),
            Whole(i64),
            Broken(f64),
        }
        match Either::deserialize(from)? {
            Either::Text(text) => Self::parse(&text).map_err(serde::de::Error::custom),
            Either::Whole(number) => Ok(Self::is(&number.to_string())),
            Either::Broken(number) => Ok(Self::is(&number.to_string())),
        }
    }
}

impl TryFrom<Raw> for Gate {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let asked = (raw.sql, raw.http, raw.command, raw.prometheus, raw.latency);
        let (question, usual) = match asked {
            (Some(query), None, None, None, None) => (Question::Sql(query), None),
            (None, Some(source), None, None, None) => (Question::Http(source), Some("200")),
            (None, None, Some(source), None, None) => (Question::Command(source), Some("0")),
            (None, None, None, Some(it), None) => (Question::Prometheus(it), None),
            (None, None, None, None, Some(it)) => {
                let expect = raw.expect.as_ref().map_or("", |expect| expect.value.as_str());
                let of = it.of(expect).map_err(|why| format!("gate `{}`: {why}", raw.name))?;
                (Question::Latency(of), None)
            }
            _ => {
                let name = raw.name;
                return Err(format!(
                    "gate `{name}`: give one of sql, http, command, prometheus, latency"
                ));
            }
        };
        let expect = raw.expect.or_else(|| usual.map(Expect::is));
        let Some(expect) = expect else {
            return Err(format!("gate `{}`: say what you `expect`: \"0\" or \"< 0.01\"", raw.name));
        };
        let of_a_step = matches!(raw.when, When::BeforeStep | When::AfterStep);
        if raw.on_failure == OnFailure::Budget && !of_a_step {
            return Err(format!(
                "gate `{}`: `on_failure = \"budget\"` is for gates around steps: one that is asked of a wave is always a breach",
                raw.name
            ));
        }
        Ok(Self {
            name: raw.name,
            when: raw.when,
            waves: raw.waves,
            question,
            expect,
            samples: raw.samples,
            need: raw.need.unwrap_or(raw.samples),
            interval: raw.interval,
            timeout: raw.timeout,
            on_failure: raw.on_failure,
        })
    }
}

impl Gate {
    /// It holds a whole rollout back, which coordinators of an earlier release do not know of gates around steps.
    pub fn breaks_around_steps(&self) -> bool {
        let of_a_step = matches!(self.when, When::BeforeStep | When::AfterStep);
        of_a_step && self.on_failure == OnFailure::Breach
    }

    pub fn to_wire(&self) -> v1::Gate {
        v1::Gate {
            name: self.name.clone(),
            when: match self.when {
                When::BeforeStep => v1::GateWhen::BeforeStep,
                When::AfterStep => v1::GateWhen::AfterStep,
                When::AfterWave => v1::GateWhen::AfterWave,
                When::Soak => v1::GateWhen::InSoak,
            }
            .into(),
            waves: self.waves.clone(),
            question: Some(match &self.question {
                Question::Sql(query) => v1::gate::Question::Sql(query.clone()),
                Question::Http(source) => v1::gate::Question::Http(source.clone()),
                Question::Command(source) => v1::gate::Question::Command(source.clone()),
                Question::Latency(it) => v1::gate::Question::Latency(it.to_wire()),
                Question::Prometheus(it) => v1::gate::Question::Prometheus(v1::Prometheus {
                    source: it.source.clone(),
                    query: it.query.clone(),
                }),
            }),
            comparison: self.expect.comparison.into(),
            expected: self.expect.value.clone(),
            samples: self.samples,
            need: self.need,
            interval_ms: millis(self.interval),
            timeout_ms: millis(self.timeout),
            breach: self.on_failure == OnFailure::Breach,
        }
    }
}

/// What an agent may be asked to ask besides its targets.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawSource")]
pub enum GateSource {
    /// A program, and its arguments: its exit code is the answer. No shell stands between.
    Command(Vec<String>),
    /// An address: the status of its answer.
    Http(Address),
    /// A Prometheus server.
    Prometheus(Address),
}

/// Where something is asked by HTTP, and with which token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub url: Url,
    pub bearer: Option<Url>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    command: Option<Vec<String>>,
    http: Option<Url>,
    prometheus: Option<Url>,
    bearer: Option<Url>,
}

impl TryFrom<RawSource> for GateSource {
    type Error = String;

    fn try_from(raw: RawSource) -> Result<Self, String> {
        let bearer = raw.bearer;
        match (raw.command, raw.http, raw.prometheus) {
            (Some(command), None, None) if bearer.is_none() => {
                if command.first().is_none_or(String::is_empty) {
                    return Err("name the program, then its arguments".to_owned());
                }
                Ok(Self::Command(command))
            }
            (None, Some(url), None) => Ok(Self::Http(Address { url, bearer })),
            (None, None, Some(url)) => Ok(Self::Prometheus(Address { url, bearer })),
            _ => Err("give a command, or http or prometheus with a bearer or without".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons() {
        for (text, comparison, value) in [
            ("0", v1::Comparison::Equal, "0"),
            ("= ok", v1::Comparison::Equal, "ok"),
            ("!= broken", v1::Comparison::NotEqual, "broken"),
            ("<0.01", v1::Comparison::Below, "0.01"),
            ("<= 5", v1::Comparison::AtMost, "5"),
            ("> -1", v1::Comparison::Above, "-1"),
            (">= 3", v1::Comparison::AtLeast, "3"),
        ] {
            let expect = Expect { comparison, value: value.to_owned() };
            assert_eq!(Expect::parse(text), Ok(expect), "{text}");
        }
        assert!(Expect::parse("< many").is_err());
        assert!(Expect::parse("> inf").is_err());
    }

    #[test]
    fn a_gate_says_what_is_missing() {
        let gate = |text: &str| toml::from_str::<Gate>(text);
        let of = gate("name = \"a\"\nwhen = \"soak\"\nsql = \"SELECT 1\"\nexpect = 1").unwrap();
        assert_eq!((of.samples, of.need, of.expect.value.as_str()), (1, 1, "1"));
        let of =
            gate("name = \"a\"\nwhen = \"after_wave\"\nhttp = \"health\"\nsamples = 3").unwrap();
        assert_eq!((of.need, of.expect.value.as_str()), (3, "200"));
        for (text, expect) in [
            ("when = \"soak\"\nsql = \"SELECT 1\"", "say what you `expect`"),
            ("when = \"soak\"", "give one of"),
            ("when = \"soak\"\nhttp = \"a\"\ncommand = \"b\"", "give one of"),
            ("when = \"later\"\nhttp = \"a\"", "before_step"),
            ("when = \"soak\"\nhttp = \"a\"\nurl = \"b\"", "unknown field"),
            ("when = \"soak\"\nhttp = \"a\"\ninterval = \"soon\"", "90s, 5m or 2h"),
        ] {
            let error = gate(&format!("name = \"a\"\n{text}")).unwrap_err();
            assert!(error.to_string().contains(expect), "{text}: {error}");
        }
    }

    #[test]
    fn a_source_is_one_thing() {
        let source = |text: &str| toml::from_str::<GateSource>(text);
        assert!(matches!(source("command = [\"./smoke\"]"), Ok(GateSource::Command(_))));
        let of = source("http = { env = \"HEALTH_URL\" }\nbearer = { env = \"TOKEN\" }").unwrap();
        assert!(matches!(of, GateSource::Http(Address { bearer: Some(_), .. })));
        for text in ["command = []", "bearer = \"x\"", "command = [\"a\"]\nhttp = \"http://b\""] {
            assert!(source(text).is_err(), "{text}");
        }
    }
}
