//! Names and numbers that must not be mixed up.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Position of an event in the history; the first event has 0.
    Seq(u64)
);
number!(
    /// Wall-clock time, milliseconds since the Unix epoch. Never goes back in the log.
    Millis(u64)
);
number!(
    /// Event sequence of the assignment under which an executor works, behind a floor that each restore of
    /// the cluster raises. Later assignments of a target have greater fences.
    Fence(u64)
);
/// Which beginning of the cluster: all zero for the first, by chance after each restore.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub [u8; 16]);

number!(
    /// A target's place in the fleet's table.
    TargetIx(u32)
);
number!(
    /// A lane's place in its rollout: one target's way through it.
    LaneIx(u32)
);
number!(
    /// A class's place in its plan.
    ClassIx(u32)
);
number!(
    /// A wave's place in its plan.
    WaveIx(u32)
);
number!(
    /// A step's place among the steps of its class.
    StepIx(u32)
);

name!(
    /// A target's id, such as `eu/orders-017`.
    TargetId
);
name!(
    /// An agent's id.
    AgentId
);
name!(
    /// A migration's version, as its files have it.
    Version
);

/// A rollout's number; shown as `mig-0042`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RolloutId(pub u32);

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mig-{:04}", self.0)
    }
}

impl RolloutId {
    /// Reads `mig-0042` or `42`.
    pub fn parse(text: &str) -> Option<Self> {
        text.strip_prefix("mig-").unwrap_or(text).parse().ok().map(Self)
    }
}

/// A repair's number; shown as `rep-0042`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepairId(pub u32);

impl fmt::Display for RepairId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rep-{:04}", self.0)
    }
}

impl RepairId {
    /// Reads `rep-0042` or `42`.
    pub fn parse(text: &str) -> Option<Self> {
        text.strip_prefix("rep-").unwrap_or(text).parse().ok().map(Self)
    }
}

/// A freeze's number; shown as `frz-0042`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FreezeId(pub u32);

impl fmt::Display for FreezeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frz-{:04}", self.0)
    }
}

impl FreezeId {
    /// Reads `frz-0042` or `42`.
    pub fn parse(text: &str) -> Option<Self> {
        text.strip_prefix("frz-").unwrap_or(text).parse().ok().map(Self)
    }
}

/// So many targets, for people.
pub(crate) fn count_of_targets(count: usize) -> String {
    if count == 1 { "1 target".to_owned() } else { format!("{count} targets") }
}

/// A SHA-256 value.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The first four bytes in hexadecimal, for people.
    pub fn short(&self) -> String {
        format!("{self:?}")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Names a request for ever: a repeat gets the first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub [u8; 16]);

/// Names a cluster: sixteen random bytes given when it is formed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub [u8; 16]);
