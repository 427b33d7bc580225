//! What work waits for while a database, or something beside it, has too much to do.

use super::Selector;

/// What is measured. Where it cannot be, work waits as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// How far the replica that is furthest behind is, of so many at the least.
    ReplicaLag {
        /// Fewer that answer are as bad as one that is too far behind.
        replicas: u32,
    },
    /// Statements that the target's server runs now.
    Load,
    /// The first value that a query answers in the target.
    Query(String),
    /// The status of an address that agents know by this name: anything but 200 says wait.
    Http(String),
}

impl Measure {
    /// Its limit is a time.
    pub fn is_of_time(&self) -> bool {
        match self {
            Self::ReplicaLag { .. } => true,
            Self::Load | Self::Query(_) | Self::Http(_) => false,
        }
    }

    /// It has a limit; otherwise what is measured says by itself whether to wait.
    pub fn has_limit(&self) -> bool {
        match self {
            Self::ReplicaLag { .. } | Self::Load | Self::Query(_) => true,
            Self::Http(_) => false,
        }
    }

    /// It is asked of a database server, which SQLite has none of.
    pub fn is_of_a_server(&self) -> bool {
        match self {
            Self::ReplicaLag { replicas } => *replicas > 0,
            Self::Load => true,
            Self::Query(_) | Self::Http(_) => false,
        }
    }
}

/// Steps of the targets that it is for begin only while what it measures is below its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttle {
    /// For people, and to set it by.
    pub name: String,
    /// Which targets it is for, by ids and labels.
    pub selector: Selector,
    /// What is measured.
    pub measure: Measure,
    /// From here on work waits: milliseconds of time, thousandths of anything else.
    pub limit: u64,
    /// From one measuring to the next, milliseconds; one that was good holds for so long.
    pub interval_ms: u64,
    /// How long one answer may take, milliseconds.
    pub timeout_ms: u64,
}

/// What a throttle was set to while its rollout ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// It holds nothing back.
    Off,
    /// It holds as it was planned.
    On,
    /// At another limit, milliseconds.
    Time(u64),
    /// At another limit, thousandths.
    Value(u64),
}

impl Throttle {
    /// Why a setting means nothing to it.
    pub(crate) fn wrong(&self, setting: Setting) -> Option<String> {
        let name = &self.name;
        match setting {
            Setting::Off | Setting::On => None,
            Setting::Time(_) | Setting::Value(_) if !self.measure.has_limit() => {
                Some(format!("throttle `{name}` has no limit: it is on or off"))
            }
            Setting::Time(0) | Setting::Value(0) => {
                Some(format!("throttle `{name}` at 0 would hold everything back for ever"))
            }
            Setting::Time(_) if !self.measure.is_of_time() => {
                Some(format!("throttle `{name}` measures no time"))
            }
            Setting::Value(_) if self.measure.is_of_time() => {
                Some(format!("throttle `{name}` measures a time"))
            }
            Setting::Time(_) | Setting::Value(_) => None,
        }
    }
}
