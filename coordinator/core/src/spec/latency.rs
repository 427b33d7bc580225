//! How quickly queries are answered, and what is expected of it.

/// Of how many answers it is the slowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantile {
    /// Half of them.
    P50,
    /// 95 of a hundred.
    P95,
    /// 99 of a hundred.
    P99,
}

impl Quantile {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
        }
    }

    /// So many answers it takes at least before it is more than the slowest of them.
    pub fn runs_min(self) -> u32 {
        match self {
            Self::P50 => 2,
            Self::P95 => 20,
            Self::P99 => 100,
        }
    }
}

/// How long it may be at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// So many thousandths of what it was before the target's first step.
    Thousandths(u64),
    /// So many microseconds.
    Micros(u64),
}

/// What is expected of each query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// Of which answers.
    pub quantile: Quantile,
    /// How long.
    pub bound: Bound,
}

/// Queries that are run in a target again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    /// Each by itself.
    pub queries: Vec<String>,
    /// So often each.
    pub runs: u32,
    /// All of them have to hold.
    pub ceilings: Vec<Ceiling>,
}

impl Latency {
    /// It is held against what was before: that has to be measured then.
    pub fn compares(&self) -> bool {
        self.ceilings.iter().any(|ceiling| matches!(ceiling.bound, Bound::Thousandths(_)))
    }
}

/// How long one query's answers took, microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// Half of them took no longer.
    pub p50: u64,
    /// 95 of a hundred took no longer.
    pub p95: u64,
    /// 99 of a hundred took no longer.
    pub p99: u64,
}
