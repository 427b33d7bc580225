//! Questions that are asked before a rollout goes on.

use super::Latency;

/// When a gate is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before each step, by whoever carries it out.
    BeforeStep,
    /// After each step, before it counts as verified.
    AfterStep,
    /// Once, when a wave's last target is done.
    AfterWave,
    /// Again and again for as long as a wave is watched.
    Soak,
}

impl When {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeStep => "before_step",
            Self::AfterStep => "after_step",
            Self::AfterWave => "after_wave",
            Self::Soak => "soak",
        }
    }

    /// It is work of its own, and no part of a leg.
    pub fn is_of_a_wave(self) -> bool {
        match self {
            Self::AfterWave | Self::Soak => true,
            Self::BeforeStep | Self::AfterStep => false,
        }
    }
}

/// What is asked. What runs, and where, is named by the agents' own configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A query, in each target: the first value that it answers.
    Sql(String),
    /// The status of an address that agents know by this name.
    Http(String),
    /// The exit code of a program that agents know by this name.
    Command(String),
    /// The value of an expression, from a server that agents know by this name.
    Prometheus {
        /// Which server.
        source: String,
        /// In its language.
        query: String,
    },
    /// How quickly queries are answered, in each target.
    Latency(Latency),
}

impl Question {
    /// It is asked in each target, and not once for all of them.
    pub fn is_of_a_target(&self) -> bool {
        match self {
            Self::Sql(_) | Self::Latency(_) => true,
            Self::Http(_) | Self::Command(_) | Self::Prometheus { .. } => false,
        }
    }

    /// By which name agents know what is asked.
    pub fn source(&self) -> Option<&str> {
        match self {
            Self::Sql(_) | Self::Latency(_) => None,
            Self::Http(source) | Self::Command(source) | Self::Prometheus { source, .. } => {
                Some(source)
            }
        }
    }
}

/// How an answer is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Equal, as a number or as text.
    Is,
    /// Not equal.
    IsNot,
    /// Less.
    Below,
    /// Less, or equal.
    AtMost,
    /// More.
    Above,
    /// More, or equal.
    AtLeast,
}

impl Comparison {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Is => "=",
            Self::IsNot => "!=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
        }
    }

    /// It means something of numbers only.
    pub fn is_of_numbers(self) -> bool {
        match self {
            Self::Is | Self::IsNot => false,
            Self::Below | Self::AtMost | Self::Above | Self::AtLeast => true,
        }
    }
}

/// A condition that has to hold before a rollout goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// For people.
    pub name: String,
    /// When it is asked.
    pub when: When,
    /// Of these waves, by name. Empty: of each.
    pub waves: Vec<String>,
    /// What is asked.
    pub question: Question,
    /// How the answer is compared.
    pub comparison: Comparison,
    /// With what.
    pub expected: String,
    /// How often it is asked at the most; in a soak, how many of the last answers count.
    pub samples: u32,
    /// How many of these answers must be as expected.
    pub need: u32,
    /// From one asking to the next, milliseconds.
    pub interval_ms: u64,
    /// How long one answer may take, milliseconds.
    pub timeout_ms: u64,
    /// Around a step: not to pass is a breach. Without it the target fails, and counts against the budget.
    /// Of waves it always is.
    pub breach: bool,
}

impl Gate {
    /// Whether a wave of that name is meant.
    pub fn is_for(&self, wave: &str) -> bool {
        self.waves.is_empty() || self.waves.iter().any(|name| name == wave)
    }
}
